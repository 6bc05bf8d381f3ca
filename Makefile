# make demo   the whole method on this machine's CPU (makes .venv itself)
# make test   every test suite, each with its seconds; one that fails does not keep the others from running
# make lint   ruff and mypy
# make bench  speed of sampling, policy update, fine-tuning, a GRPO step and verdicts against others (docs/benchmarks.md)
# make faults every write of a run on a disk that is full, fails or tears (docs/reliability.md)
# make chaos  runs that are killed at random, N times, and taken up again: 25, or make chaos N=200 (docs/reliability.md)
# make docs   the documentation site, in build/site
# make wheel  dist/*.whl
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/installed
SERVER := .venv-vllm/installed
FACTORY := .venv-llamafactory/installed
TRACKERS := .venv-trackers/installed
VERL := .venv-verl/installed
SUITES := unit corpus faults chaos browser docs parallel cli slow llamafactory verl trackers vllm
# Of many tests that compute on one thread, which processes share; those of the others use all cores by themselves.
SHARED := unit corpus cli

.PHONY: demo test lint bench faults chaos docs wheel clean

demo: $(STAMP)
	$(BIN)/rise run tiny

test: $(STAMP) $(SERVER) $(FACTORY) $(VERL) $(TRACKERS)
	@failed=; for suite in $(SUITES); do \
	  start=$$(date +%s); \
	  echo "== tests/$$suite"; \
	  case " $(SHARED) " in *" $$suite "*) workers="-n auto --dist loadfile";; *) workers=;; esac; \
	  OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/$$suite -q $$workers --durations=10 --durations-min=1 \
	    || failed="$$failed $$suite"; \
	  echo "== tests/$$suite: $$(( $$(date +%s) - start )) s"; \
	done; \
	if [ -n "$$failed" ]; then echo "== failed:$$failed"; exit 1; fi

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

faults: $(STAMP)
	$(BIN)/python tests/faults/all_sites.py

N := 25
SEED := 1
chaos: $(STAMP)
	PYTHONPATH=tests/cli $(BIN)/python tests/chaos/kills.py --kills $(N) --seed $(SEED)

docs: $(STAMP)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

wheel: $(STAMP)
	$(BIN)/python -m build --wheel --no-isolation

clean:
	rm -rf .venv .venv-vllm .venv-llamafactory .venv-verl .venv-trackers dist build

# torch comes first and alone, so that its wheel is chosen by the machine (CPU or CUDA): its hash differs, and so does what
# some of its builds bring along (CUDA libraries), which the third step adds, without hashes too. All else is taken by hash.
# The lock has wheels for Python 3.11 to 3.13: with a newer one the second step is refused, so name one (make PYTHON=...).
PIP := $(BIN)/python -m pip --disable-pip-version-check -q
$(STAMP): pyproject.toml constraints.txt requirements.lock
	$(PYTHON) -m venv .venv
	$(PIP) install --no-deps torch==2.13.0
	$(PIP) install --require-hashes --no-deps -r requirements.lock
	$(PIP) install -c constraints.txt torch==2.13.0
	$(PIP) install --no-deps --no-build-isolation -e .
	$(PIP) check
	touch $(STAMP)

# A vLLM server for tests/vllm, LLaMA-Factory's loader for tests/llamafactory, verl's data set for tests/verl and the
# trackers for tests/trackers, in environments of their own.
$(SERVER): tests/vllm/install.py tests/vllm/requirements.lock tests/separate.py
	$(PYTHON) tests/vllm/install.py
$(FACTORY): tests/llamafactory/install.py tests/llamafactory/requirements.lock tests/separate.py
	$(PYTHON) tests/llamafactory/install.py
$(TRACKERS): tests/trackers/install.py tests/trackers/requirements.lock tests/separate.py
	$(PYTHON) tests/trackers/install.py
$(VERL): tests/verl/install.py tests/verl/requirements.lock tests/separate.py
	$(PYTHON) tests/verl/install.py
