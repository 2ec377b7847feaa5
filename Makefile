PYTHON ?= python3
QUIET = --quiet --disable-pip-version-check
# Packages are checked by hash; PyTorch, which has other files for each kind of GPU, and what it needs, by version.
HASHED = $(QUIET) --require-hashes --no-deps -r
INSTALL = $(QUIET) -c constraints.txt
COMPILE = uv pip compile pyproject.toml -c constraints.txt --overrides /dev/stdin --generate-hashes --universal --quiet \
	--no-annotate --no-header
MINUTES ?= 10
PLUGIN_TESTS = PATH="$$PWD/.venv-integrations/bin:$$PATH" SPISONET_REQUIRE_PLUGINS=1 PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 \
	OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive .venv-integrations/bin/python -m pytest
WINDOW_TESTS = tests/integrations/test_napari.py tests/integrations/test_himena.py
XVFB ?= $(if $(DISPLAY),,xvfb-run -a)
DEMO = examples/hemagglutinin
WHEEL_TESTS ?= tests

.PHONY: demo test docs test-relion5 test-integrations fuzz wheel wheel-test lint javascript faults load audit lock clean

demo: .venv/ready
	. .venv/bin/activate && sh $(DEMO)/run.sh

# One process for each core, with one thread in each; the tests of a file share fixtures and run in one process.
test: lint
	OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive .venv-test/bin/python -m pytest -n auto --maxprocesses 8 --dist loadfile

# The tests of RELION with the programs of RELION 5: make test-relion5 SPISONET_RELION5=$(tools/build_relion5.sh ~/relion)
test-relion5: .venv-test/ready
	SPISONET_RELION5="$(SPISONET_RELION5)" SPISONET_REQUIRE_RELION5=1 OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive \
		.venv-test/bin/python -m pytest -m "relion or relion5"

# The plugins with their programs, all in one environment. The pytest plugins of these programs are not loaded; warnings of windows
# are not errors. Windows need an X server or xvfb-run.
test-integrations: .venv-integrations/ready
	$(PLUGIN_TESTS) tests/integrations $(addprefix --ignore ,$(WINDOW_TESTS))
	$(XVFB) env $(PLUGIN_TESTS) -W default $(WINDOW_TESTS)

# Hostile inputs for as long as wanted: make fuzz MINUTES=60 (half for the parsers, half for the programs).
fuzz: .venv-test/ready
	OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive .venv-test/bin/python -m tests.hostile.fuzz $$(($(MINUTES) / 2))
	OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive .venv-test/bin/python -m tests.hostile.programs $$(($(MINUTES) / 2))

# Wheel and source distribution, in dist/.
wheel:
	$(PYTHON) -m venv .venv-build
	.venv-build/bin/pip install $(QUIET) build
	rm -rf dist
	.venv-build/bin/python -m build --outdir dist

# The tests of the source distribution with the installed wheel; no source of the package is on the path.
wheel-test: wheel .venv-wheel/ready
	.venv-wheel/bin/pip install $(QUIET) --force-reinstall --no-deps dist/*.whl
	.venv-wheel/bin/pip check
	mkdir dist/tests
	tar -xzf dist/*.tar.gz -C dist/tests --strip-components 1
	rm -r dist/tests/spisonet dist/tests/relion_external dist/tests/spisonet_launcher.py dist/tests/spisonet_plugins
	cd dist/tests && OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive ../../.venv-wheel/bin/python -m pytest $(WHEEL_TESTS) \
		-n auto --maxprocesses 8 --dist loadfile

# The documentation site, in site/index.html; executes the notebooks (SPISONET_DOCS_SKIP_NOTEBOOKS=1: shows them only).
docs: .venv-test/ready
	NO_MKDOCS_2_WARNING=1 OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive .venv-test/bin/python -m mkdocs build --strict

lint: .venv-test/ready javascript
	.venv-test/bin/ruff check .
	.venv-test/bin/ruff format --check .
	.venv-test/bin/mypy

# ESLint, types and unit tests of the interface's JavaScript, which itself needs neither Node nor a build.
javascript:
	@if command -v npm >/dev/null; then \
		$(MAKE) --no-print-directory node_modules/ready && npm run --silent lint && npm run --silent test; \
	elif [ -n "$$SPISONET_REQUIRE_NODE" ]; then \
		echo "Node.js is required: install nodejs and npm." >&2; exit 1; \
	else \
		echo "SKIPPED: the JavaScript is not checked, because npm is not installed (Debian: nodejs, npm)." >&2; \
	fi

node_modules/ready: package.json package-lock.json
	npm ci --silent --no-audit --no-fund
	touch $@

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
	.venv-audit/bin/pip-audit --strict --disable-pip --no-deps -r constraints.txt

# The lists of hashes, after a change of constraints.txt or of the dependencies; needs uv.
lock:
	echo 'torch ; python_version < "3"' | $(COMPILE) -o requirements.txt
	echo 'torch ; python_version < "3"' | $(COMPILE) --extra dev -o requirements-dev.txt

.venv/ready: pyproject.toml constraints.txt requirements.txt
	$(PYTHON) -m venv .venv
	.venv/bin/pip install $(HASHED) requirements.txt
	.venv/bin/pip install $(INSTALL) -e .
	touch $@

.venv-test/ready: pyproject.toml constraints.txt requirements-dev.txt
	$(PYTHON) -m venv .venv-test
	.venv-test/bin/pip install $(HASHED) requirements-dev.txt
	.venv-test/bin/pip install $(INSTALL) -e '.[dev]'
	touch $@

.venv-wheel/ready: pyproject.toml constraints.txt requirements-dev.txt
	$(PYTHON) -m venv .venv-wheel
	.venv-wheel/bin/pip install $(HASHED) requirements-dev.txt
	.venv-wheel/bin/pip install $(INSTALL) 'torch>=2.5'
	touch $@

# The programs pin packages of their own: only PyTorch has the tested version.
.venv-integrations/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv-integrations
	.venv-integrations/bin/pip install $(QUIET) -e '.[integrations]' alnfile hypothesis mdocfile pytest $$(grep '^torch==' constraints.txt)
	touch $@

clean:
	rm -rf .venv .venv-test .venv-wheel .venv-build .venv-integrations .venv-audit dist demo_output node_modules site
