# make demo   the whole method on this machine's CPU (makes .venv itself)
# make test   every test suite, each with its seconds
# make lint   ruff and mypy
# make bench  speed of sampling, policy update, fine-tuning, a GRPO step and verdicts against others (docs/benchmarks.md)
# make docs   the documentation site, in build/site
# make wheel  dist/*.whl
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/installed
SERVER := .venv-vllm/installed
FACTORY := .venv-llamafactory/installed
TRACKERS := .venv-trackers/installed
SUITES := unit corpus browser docs parallel cli slow llamafactory trackers vllm

.PHONY: demo test lint bench docs wheel clean

demo: $(STAMP)
	$(BIN)/rise run tiny

test: $(STAMP) $(SERVER) $(FACTORY) $(TRACKERS)
	@set -e; for suite in $(SUITES); do \
	  start=$$(date +%s); \
	  echo "== tests/$$suite"; \
	  $(BIN)/python -m pytest tests/$$suite -q --durations=10 --durations-min=1; \
	  echo "== tests/$$suite: $$(( $$(date +%s) - start )) s"; \
	done

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(STAMP)
	$(BIN)/rise bench rollout
	$(BIN)/rise bench update
	$(BIN)/rise bench sft
	$(BIN)/rise bench step
	$(BIN)/rise bench verify
	$(BIN)/rise bench data

docs: $(STAMP)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

wheel: $(STAMP)
	$(BIN)/python -m build --wheel --no-isolation

clean:
	rm -rf .venv .venv-vllm .venv-llamafactory .venv-trackers dist build

# torch comes first and alone, so that its wheel may be chosen by the machine (CPU or CUDA) before the rest is resolved.
$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --disable-pip-version-check -q torch==2.13.0
	$(BIN)/python -m pip install --disable-pip-version-check -q -c constraints.txt -e '.[test]'
	touch $(STAMP)

# A vLLM server for tests/vllm, LLaMA-Factory's loader for tests/llamafactory and the trackers for tests/trackers, in
# environments of their own.
$(SERVER): tests/vllm/install.py tests/separate.py
	$(PYTHON) tests/vllm/install.py
$(FACTORY): tests/llamafactory/install.py tests/separate.py
	$(PYTHON) tests/llamafactory/install.py
$(TRACKERS): tests/trackers/install.py tests/separate.py
	$(PYTHON) tests/trackers/install.py
