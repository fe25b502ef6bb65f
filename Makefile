# Two commands for a newcomer: `make run` and `make test`. VENV=path puts the virtual environment elsewhere.
VENV ?= .venv
DEMO ?= demo
PYTHON ?= python3
BIN := $(VENV)/bin

.PHONY: run test lint prove test-real bench proto lock clean

run: $(VENV)/.installed
	@test -f $(DEMO)/oclaw.toml || $(BIN)/oclaw init $(DEMO)
	@$(BIN)/python -c 'import sys, tomllib; listen = tomllib.load(open(sys.argv[1], "rb")).get("listen", {}); \
		[print("Web chat: http://" + each + "/ (stop with Ctrl-C)") for each in listen.get("addresses", ["127.0.0.1:8420"])[:1]]' \
		$(DEMO)/oclaw.toml
	@exec $(BIN)/oclaw run --config $(DEMO)

# On several cores where there are some; the proofs, which load and kill whole gateways, have the machine for themselves.
test: $(VENV)/.installed-test
	@failed=0; \
	$(BIN)/python -m pytest -m "not real and not prove" --ignore tests/proofs -n auto --maxprocesses 4 --dist loadfile || failed=1; \
	$(BIN)/python -m pytest -m "not real and not prove" tests/proofs || failed=1; \
	exit $$failed

# Every linter runs whatever the one before it found.
lint: $(VENV)/.installed-test
	@failed=0; \
	for tool in "ruff check ." "ruff format --check ." "flake8 gateway protocols rules oclaw_sdk" mypy lint-imports; do \
		echo "$$tool"; $(BIN)/$$tool || failed=1; \
	done; \
	exit $$failed

prove: $(VENV)/.installed-test
	$(BIN)/python -m pytest -m prove

test-real: $(VENV)/.installed-test
	$(BIN)/python -m tests.real

# The operator's measurement, then what each part costs; some minutes.
bench: $(VENV)/.installed-test
	$(BIN)/oclaw bench --config $(if $(wildcard $(DEMO)/oclaw.toml),$(DEMO),conf/examples/quickstart)
	@for part in seal hooks rules reload journal http grpc slack matrix channels; do echo; echo "tests/bench/$${part}_bench.py"; \
		$(BIN)/python tests/bench/$${part}_bench.py || exit 1; done

proto: $(VENV)/.installed-test
	$(BIN)/python -m gateway.api.v1.regenerate

# Both lock files name versions alone: which index they come from is the machine's own business.
lock: $(VENV)/.installed-test
	cd $(CURDIR) && CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/pip-compile -q --strip-extras --no-emit-index-url --no-emit-trusted-host \
		--no-emit-find-links --extra fast -o requirements.lock pyproject.toml
	cd $(CURDIR) && CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/pip-compile -q --strip-extras --no-emit-index-url --no-emit-trusted-host \
		--no-emit-find-links --extra fast --extra test -c requirements.lock -o requirements-test.lock pyproject.toml

clean:
	rm -rf $(VENV) build dist *.egg-info

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "oclaw needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1). Another one: make run PYTHON=python3.11"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || \
		{ echo "Python's venv module is missing. On Debian and Ubuntu: sudo apt-get install" \
		"python$$($(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])')-venv"; exit 1; }
	$(PYTHON) -m venv $(VENV)

# pip compiles byte code as it installs; our own is compiled too, as a cold start without it takes three times as long.
$(VENV)/.installed: $(BIN)/python requirements.lock pyproject.toml
	$(BIN)/python -m pip install -q --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps -e .
	$(BIN)/python -m compileall -q gateway protocols rules oclaw_sdk
	@touch $@

$(VENV)/.installed-test: $(VENV)/.installed requirements-test.lock
	$(BIN)/python -m pip install -q --disable-pip-version-check -r requirements-test.lock
	@touch $@
