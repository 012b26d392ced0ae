# Two commands do everything: `make run` and `make test`. `make help` lists the rest.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STARTERS ?= smollm2 gemma3-270m

.PHONY: help run setup check unit test test-device test-clients fuzz fuzz-api docs lock bench-gateway bench-hangup bench-switch bench-placement bench-kv proof soak clean

help: ## List these targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

run: $(VENV)/.runtime ## Install, fetch the starter models, start the gateway with a real engine and model
	@$(BIN)/hostler starters fetch $(STARTERS)
	@exec $(BIN)/hostler up

setup: $(VENV)/.dev ## Install what tests and checks need

check: $(VENV)/.dev ## Format, lint, types, import contracts, generated files
	$(BIN)/ruff format --check src tests
	$(BIN)/ruff check src tests
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/python -m hostler.config.reference --check
	$(BIN)/python -m hostler.cli.reference --check
	$(BIN)/python -m hostler.engines.failures.page --check
	$(BIN)/python -m hostler.config.presets.page --check

unit: $(VENV)/.dev ## The tests without processes or sockets
	$(BIN)/pytest tests/unit

# Most tests wait for processes: two at a time keep two cores busy.
WORKERS ?= 2
test: setup check ## Checks and all tests, real engine and model included
	$(BIN)/pytest -n $(WORKERS) --dist loadfile

test-device: $(VENV)/.dev ## Tests that need special hardware; they fail where it is missing
	$(BIN)/pytest tests/device

test-clients: $(VENV)/.dev ## Real clients and agents, installed from their registries; writes the matrix of clients
	HOSTLER_CLIENTS_WRITE=1 $(BIN)/pytest -n $(WORKERS) --dist loadfile -o norecursedirs='.* node_modules' \
	  --ignore tests/clients/test_client_matrix.py tests/clients
	$(BIN)/pytest tests/clients/test_client_matrix.py

CASES ?= 200
fuzz: $(VENV)/.dev ## Send spoilt requests to every path of the inference APIs, other ones each time (CASES=10000)
	HOSTLER_FUZZ_CASES=$(or $(CASES),10000) $(BIN)/pytest tests/integration/gateway/test_front_door_fuzz.py

fuzz-api: $(VENV)/.dev ## Ask the management API whatever its document allows, and much that it does not, for long (CASES=200)
	HOSTLER_FUZZ_CASES=$(CASES) $(BIN)/pytest tests/e2e/test_e2e_api_fuzz.py

docs: $(VENV)/.dev ## Build the documentation into site/
	$(BIN)/mkdocs build --strict

lock: $(VENV)/.bootstrap ## Renew the hashed requirement files
	cd requirements && for f in bootstrap runtime dev clients-aider clients-langchain clients-llm; do \
	  ../$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	    --no-header $(UPGRADE) $$([ $$f = runtime ] && echo ../pyproject.toml || echo $$f.in) -o $$f.txt || exit 1; done
	for f in node agents; do $(BIN)/python tests/tools/lock_node.py tests/clients/$$f || exit 1; done

bench-gateway: $(VENV)/.dev ## Measure the relay against a direct connection
	$(BIN)/python -m hostler.bench.gateway

ROUNDS ?= 20
MODEL ?= .make/models/SmolLM2-135M-Instruct.Q4_1.gguf
bench-hangup: $(VENV)/.dev ## Measure what a client that hangs up costs the next one (MODEL=any chat model; ENGINE=--engine)
	$(BIN)/python -m hostler.bench.hangup $(MODEL) --rounds $(ROUNDS) $(ENGINE) \
	  --data benchmarks/results/hangup.json --page docs/benchmarks/hangup.md

SWITCHES ?= 200
bench-switch: $(VENV)/.dev ## Measure switches against a bare engine, and SERVER=llama-server's router
	$(BIN)/python -m hostler.bench.switch --switches $(SWITCHES) $(if $(SERVER),--server $(SERVER)) \
	  --data benchmarks/results/switching.json --page docs/benchmarks/switching.md

bench-placement: $(VENV)/.dev ## Compare predicted bytes and speed with what the engine says and does
	$(BIN)/python -m hostler.bench.placement_bytes
	$(BIN)/python -m hostler.bench.placement_plans
	$(BIN)/python -m hostler.bench.placement_speed

bench-kv: $(VENV)/.dev ## Measure the next turn of a conversation after a switch away and back, prompts kept and not
	$(BIN)/python -m hostler.bench.kv --data benchmarks/results/kv.json --page docs/benchmarks/switching.md

PARTS ?= storm soak kills stop
REQUESTS ?= 5000
SOAK ?= 2000
KILLS ?= 100
STOPS ?= 5
PROOF = $(BIN)/python -m hostler.bench.proof --requests $(REQUESTS) --switches $(SOAK) --kills $(KILLS) --stops $(STOPS) \
  $(if $(SEED),--seed $(SEED)) --data benchmarks/results/proof.json --page docs/benchmarks/switching.md
proof: $(VENV)/.dev ## Measure what the fleet promises (PARTS="storm soak kills stop", REQUESTS, SOAK, KILLS, STOPS, SEED)
	$(PROOF) $(PARTS)

soak: $(VENV)/.dev ## Only the long series of switches (SOAK=2000)
	$(PROOF) soak

clean: ## Remove the environment and caches; models and state stay
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis site dist

$(VENV)/.bootstrap: requirements/bootstrap.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Hostler needs Python 3.11 or newer: PYTHON=/path/to/python3.11 make ..."; exit 1; }
	@echo "creating $(VENV) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements/bootstrap.txt
	@touch $@

$(VENV)/.runtime: requirements/runtime.txt pyproject.toml $(VENV)/.bootstrap
	@echo "installing Hostler and what it runs on ..."
	@$(BIN)/uv pip install -q --python $(BIN)/python --require-hashes -r requirements/runtime.txt
	@$(BIN)/uv pip install -q --python $(BIN)/python --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.dev: requirements/dev.txt $(VENV)/.runtime
	@echo "installing what tests need ..."
	@$(BIN)/uv pip install -q --python $(BIN)/python --require-hashes -r requirements/dev.txt
	@touch $@
