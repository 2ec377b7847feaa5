PYTHON ?= python3
INSTALL = --quiet --disable-pip-version-check -c constraints.txt
DEMO = examples/hemagglutinin

.PHONY: demo test lint clean

demo: .venv/ready
	. .venv/bin/activate && sh $(DEMO)/run.sh

test: lint
	.venv-test/bin/python -m pytest

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
