# `make demo` and `make test` set up a fresh machine by themselves: both use the same .venv.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
DEMO := runs/demo

.PHONY: demo test lint clean

$(INSTALLED): pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[dev]"
	touch $@

# Train on synthetic digits, transcribe a file of a voice unheard in training, print the WER.
demo: $(INSTALLED)
	rm -rf $(DEMO)
	$(BIN)/python train.py run_dir=$(DEMO) trainer=cpu_processes
	@echo
	@echo "The first words of the test set: $$(head -n 1 data/digits/test.jsonl)"
	@echo "and what the model hears:"
	$(BIN)/asr-attn transcribe $(DEMO) data/digits/audio/test-00000.wav
	@echo
	@echo "Word error rate on voices unheard in training:"
	$(BIN)/asr-attn evaluate $(DEMO) data/digits/test.jsonl
	@echo
	@echo "model:                 $(DEMO)/model.safetensors"
	@echo "figures per epoch:     $(DEMO)/metrics.csv"
	@echo "pictures of attention: $(DEMO)/attention/"
	@echo "your own recordings:   $(BIN)/asr-attn transcribe $(DEMO) FILE"
	@echo "where it listens:      $(BIN)/asr-attn attention $(DEMO) FILE --output speech.html"

test: $(INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis
