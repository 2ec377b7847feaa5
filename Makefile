PYTHON ?= python3
INSTALL = --quiet --disable-pip-version-check -c constraints.txt
DEMO = examples/hemagglutinin

.PHONY: demo test test-relion5 lint faults load audit clean

demo: .venv/ready
	. .venv/bin/activate && sh $(DEMO)/run.sh

# One process for each core, with one thread in each; the tests of a file share fixtures and run in one process.
test: lint
	OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive .venv-test/bin/python -m pytest -n auto --maxprocesses 8 --dist loadfile

# The tests of RELION with the programs of RELION 5: make test-relion5 SPISONET_RELION5=$(tools/build_relion5.sh ~/relion)
test-relion5: .venv-test/ready
	SPISONET_RELION5="$(SPISONET_RELION5)" SPISONET_REQUIRE_RELION5=1 OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive \
		.venv-test/bin/python -m pytest -m "relion or relion5"

lint: .venv-test/ready
	.venv-test/bin/ruff check .
	.venv-test/bin/ruff format --check .
	.venv-test/bin/mypy

# Faults of disk and clock at every call that changes a file, in all kinds of runs (docs/reliability.md); hours.
faults: .venv-test/ready
	.venv-test/bin/python -m tests.faults.inject

# Many programs at once, and large projects in the graphical interface.
load: .venv-test/ready
	.venv-test/bin/python benchmarks/load.py

# Known vulnerabilities of the tested versions; asks a database over the network.
audit:
	$(PYTHON) -m venv .venv-audit
	.venv-audit/bin/pip install --quiet --disable-pip-version-check pip-audit
	.venv-audit/bin/pip-audit --disable-pip --no-deps -r constraints.txt

.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	.venv/bin/pip install $(INSTALL) -e .
	touch $@

.venv-test/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv-test
	.venv-test/bin/pip install $(INSTALL) -e '.[dev]'
	touch $@

clean:
	rm -rf .venv .venv-test .venv-audit demo_output
