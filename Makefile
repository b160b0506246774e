PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: run test test-embedded test-full test-embedded-inside test-full-inside test-live test-faults test-fairness test-switching test-fuzz test-schemas check permissions bench bench-ingest bench-quality bench-search bench-footprint bench-memory bench-limits formats bench-ocr clean

run: $(VENV)/.run  ## serve on http://127.0.0.1:8000 (HOST, PORT and DATA_DIR override)
	@exec $(BIN)/python manage.py serve

test:  ## every test, on each topology, side by side: each part is shown when it has ended
	@$(MAKE) --no-print-directory --jobs=3 --output-sync=target test-embedded-inside test-full-inside test-live

test-embedded-inside: $(VENV)/.dev
	$(BIN)/python -m pytest --topology embedded -m "not live" $(ARGS)

test-full-inside: $(VENV)/.dev
	$(BIN)/python -m pytest --topology full -m "not live" $(ARGS)

test-live: $(VENV)/.dev  ## those that start servers as real processes, and mostly wait for them
	$(BIN)/python -m tests.services.converted_models
	$(BIN)/python -m pytest --topology embedded -m live $(ARGS)
	$(BIN)/python -m pytest --topology full -m live $(ARGS)

test-embedded: $(VENV)/.dev
	$(BIN)/python -m pytest --topology embedded $(ARGS)

test-full: $(VENV)/.dev
	$(BIN)/python -m pytest --topology full $(ARGS)

test-faults: $(VENV)/.dev  ## 300 files, three workers, kill -9 and every outage; FAULTS_SEED repeats a run
	$(BIN)/python -m pytest --topology full --long -q -s tests/faults/test_faults.py $(ARGS)

test-fairness: $(VENV)/.dev  ## one organization's file behind another's thousand, on each topology
	$(BIN)/python -m pytest --topology full --long -q -s tests/faults/test_fairness.py $(ARGS)
	$(BIN)/python -m pytest --topology embedded --long -q -s tests/faults/test_fairness.py $(ARGS)

test-switching: $(VENV)/.dev  ## 10,000 searches while files are indexed again and embedding models switched, on each topology
	$(BIN)/python -m pytest --topology embedded --long -q -s tests/faults/test_switching.py $(ARGS)
	$(BIN)/python -m pytest --topology full --long -q -s tests/faults/test_switching.py $(ARGS)

test-schemas: $(VENV)/.dev  ## every operation called by everybody, many times; SCHEMA_EXAMPLES says how often
	SCHEMA_EXAMPLES=$${SCHEMA_EXAMPLES:-100} $(BIN)/python -m pytest --topology embedded --timeout 0 -q tests/api/test_operations.py $(ARGS)

test-fuzz: $(VENV)/.dev  ## damaged files of every format; FUZZ_VARIANTS says how many, FUZZ_SEED repeats a run
	$(BIN)/python -m pytest --topology embedded --long -q -s tests/fuzz $(ARGS)

check: $(VENV)/.dev  ## style, types, import direction, Django's checks, migrations, OpenAPI
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python manage.py check --settings config.settings.test
	$(BIN)/python manage.py makemigrations --check --dry-run --settings config.settings.test
	$(BIN)/python manage.py check_schemas --settings config.settings.test

permissions: $(VENV)/.dev  ## docs/permissions.md: every call as every role and with keys of every scope
	WRITE_PERMISSIONS=1 $(BIN)/python -m pytest --topology embedded -q tests/api/test_permissions.py

bench: $(VENV)/.dev  ## ingest and search beside the bare model and engine; CORPUS_DIR names a folder of documents
	$(BIN)/python -m benchmarks.ingest
	$(BIN)/python -m benchmarks.search

bench-ingest: $(VENV)/.dev .venv-peer/.installed  ## from PUT to READY beside a LlamaIndex pipeline; EVAL_DIR, CORPUS_DIR
	$(BIN)/python -m benchmarks.ingest_peer .venv-peer/bin/python

bench-quality: $(VENV)/.dev  ## docs/quality.md: nDCG, recall and MRR of each leg and of the whole; EVAL_DIR, COLLECTIONS, MODELS, RERANKER_DIR
	$(BIN)/python -m benchmarks.quality

bench-search: $(VENV)/.dev  ## latency and rates over 1k, 10k and 100k passages of 20 organizations; SIZES, EVAL_DIR
	$(BIN)/python -m benchmarks.search_scale

bench-memory: $(VENV)/.dev  ## resident memory over a PDF of a thousand pages and a scan of a hundred
	$(BIN)/python -m benchmarks.long_documents

bench-limits: $(VENV)/.dev  ## what a counted call costs, and summing what an organization stores
	$(BIN)/python -m benchmarks.limits

formats: $(VENV)/.dev  ## docs/formats.md: what becomes of each document in CORPUS_DIR, and whether that is right
	$(BIN)/python -m benchmarks.formats

bench-footprint: $(VENV)/.dev  ## seconds to serve, and memory idle and after 100 files
	$(BIN)/python -m benchmarks.footprint

bench-ocr: $(VENV)/.dev  ## character error rate beside plain Tesseract; CORPUS_DIR adds real scans
	$(BIN)/python -m benchmarks.ocr

clean:
	rm -rf $(VENV) .venv-peer .mypy_cache .ruff_cache .pytest_cache

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "Installing (once; some minutes)…"
	$(PIP) --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.run
	$(PIP) --editable ".[postgres,s3,dev]"
	@touch $@

.venv-peer/.installed: benchmarks/peers/llamaindex.txt
	$(PYTHON) -m venv .venv-peer
	.venv-peer/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt \
		--requirement $< torch
	@touch $@
