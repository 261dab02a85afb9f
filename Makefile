# make demo    two arms hand a cube over: a video, a picture and metrics, in runs/demo
# make test    all tests, of the core, the plugins, the docs and the examples
# make check   style, types, import contracts, docs with warnings as errors
# make docs    the documentation, in docs/_build/html; it can be read without a network
# make format  rewrite the code as `make check` wants it
# make clean   remove environments, caches and builds (but not runs/ and data/)
#
# Each makes the virtual environment that it needs. Python 3.11 to 3.13 with venv, and make, are
# all that must be there before.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
PYTEST_ARGS ?=
DEMO_EPISODES ?= 8
# Both arms take part in this episode, one after the other.
DEMO_SEED ?= 8
DEMO_VIDEO ?= 3
DEMO_OUTPUT ?= runs/demo

DEV := .venv
DEMO := .venv-demo
PROJECTS := pyproject.toml constraints.txt $(wildcard plugins/*/pyproject.toml)
INSTALL := -m pip install --disable-pip-version-check --quiet -c constraints.txt
SPHINX := $(DEV)/bin/sphinx-build -q -W --keep-going -b html docs docs/_build/html
SUITED := "$(PYTHON)" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))'

.PHONY: help demo test check docs format clean
.DELETE_ON_ERROR:

help:
	@sed -n 's/^# \(make .*\)/\1/p' Makefile

$(DEV)/.installed: $(PROJECTS)
	@$(SUITED) || { \
	  echo "Python 3.11, 3.12 or 3.13 is needed; name one: make PYTHON=/path/to/python" >&2; exit 1; }
	@echo "installing into $(DEV) (some minutes)"
	@test -x $(DEV)/bin/python || "$(PYTHON)" -m venv $(DEV)
	@$(DEV)/bin/python $(INSTALL) -e '.[dev]' \
	  -e './plugins/codi_franka[test]' -e './plugins/codi_navigation[test]' \
	  -e './plugins/codi_baselines[test]'
	@touch $@

$(DEMO)/.installed: $(PROJECTS)
	@$(SUITED) || { \
	  echo "Python 3.11, 3.12 or 3.13 is needed; name one: make PYTHON=/path/to/python" >&2; exit 1; }
	@echo "installing into $(DEMO) (some minutes)"
	@test -x $(DEMO)/bin/python || "$(PYTHON)" -m venv $(DEMO)
	@$(DEMO)/bin/python $(INSTALL) -e . -e './plugins/codi_franka[visual]' \
	  -e './plugins/codi_navigation[visual]'
	@touch $@

demo: $(DEMO)/.installed
	@$(DEMO)/bin/codi-run --task franka-handoff --episodes $(DEMO_EPISODES) --seed $(DEMO_SEED) \
	  --video-episodes $(DEMO_VIDEO) --output $(DEMO_OUTPUT) --overwrite
	@echo
	@for file in video.mp4 report.png metrics.json; do \
	  if test -e $(DEMO_OUTPUT)/$$file; then echo "made $(DEMO_OUTPUT)/$$file"; \
	  else echo "$$file is missing, for the reason above"; fi; \
	done

# Two processes share what does not look at the clock; what does comes last, and has the machine for
# itself. Both parts run, whatever the first finds.
test: $(DEV)/.installed
ifdef PYTEST_ARGS
	@$(DEV)/bin/python -m pytest $(PYTEST_ARGS)
else
	@failed=; \
	$(DEV)/bin/python -m pytest -n 2 -m "not alone" || failed="$$failed 'not alone'"; \
	$(DEV)/bin/python -m pytest -m alone || failed="$$failed 'alone'"; \
	if test -n "$$failed"; then echo "tests failed among those marked$$failed" >&2; exit 1; fi
endif

# All of them run, so that one call shows all that is wrong.
check: $(DEV)/.installed
	@failed=; \
	run() { echo "== $$*"; "$$@" || failed="$$failed $$(basename $$1)"; }; \
	run $(DEV)/bin/ruff check .; \
	run $(DEV)/bin/ruff format --check --output-format concise .; \
	run $(DEV)/bin/mypy; \
	run $(DEV)/bin/lint-imports --no-cache; \
	run $(SPHINX) -E; \
	if test -n "$$failed"; then echo "failed:$$failed" >&2; exit 1; fi; \
	echo "all checks passed"

docs: $(DEV)/.installed
	@$(SPHINX)
	@echo "made docs/_build/html/index.html"

format: $(DEV)/.installed
	@$(DEV)/bin/ruff check --fix-only --quiet .
	@$(DEV)/bin/ruff format .

clean:
	rm -rf $(DEV) $(DEMO) build dist docs/_build docs/api/generated plugins/*/build plugins/*/dist
	rm -rf .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
	find codi_core plugins tests benchmarks docs -name __pycache__ -prune -exec rm -rf {} +
	find . -maxdepth 3 -name '*.egg-info' -not -path './.git/*' -prune -exec rm -rf {} +
