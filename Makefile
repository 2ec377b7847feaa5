PYTHON ?= python3
INSTALL = --quiet --disable-pip-version-check -c constraints.txt
MINUTES ?= 10
DEMO = examples/hemagglutinin

.PHONY: demo test fuzz test-relion5 lint clean

demo: .venv/ready
	. .venv/bin/activate && sh $(DEMO)/run.sh

# One process for each core, with one thread in each; the tests of a file share fixtures and run in one process.
test: lint
	OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive .venv-test/bin/python -m pytest -n auto --maxprocesses 8 --dist loadfile

# The tests of RELION with the programs of RELION 5: make test-relion5 SPISONET_RELION5=$(tools/build_relion5.sh ~/relion)
test-relion5: .venv-test/ready
	SPISONET_RELION5="$(SPISONET_RELION5)" SPISONET_REQUIRE_RELION5=1 OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive \
		.venv-test/bin/python -m pytest -m "relion or relion5"

# Hostile inputs for as long as wanted: make fuzz MINUTES=60 (half for the parsers, half for the programs).
fuzz: .venv-test/ready
	OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive .venv-test/bin/python -m tests.hostile.fuzz $$(($(MINUTES) / 2))
	OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive .venv-test/bin/python -m tests.hostile.programs $$(($(MINUTES) / 2))

lint: .venv-test/ready
	.venv-test/bin/ruff check .
	.venv-test/bin/ruff format --check .
	.venv-test/bin/mypy

.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	.venv/bin/pip install $(INSTALL) -e .
	touch $@

.venv-test/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv-test
	.venv-test/bin/pip install $(INSTALL) -e '.[dev]'
	touch $@

clean:
	rm -rf .venv .venv-test demo_output
