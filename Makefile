PYTHON ?= $(shell command -v python3.11 || command -v python3)
TORCH := $(shell grep '^torch==' requirements.txt)
BIN := .venv/bin

# Each worker is a process of its own: without compiled modules it takes twice as long to start.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help quickstart test check docs schemas lock

help:  ## list the targets
	@grep -hE '^[a-z]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 14

quickstart: .venv/installed  ## make a small corpus with the bundled models
	$(BIN)/factory run jobs/quickstart.yaml
	@echo; $(BIN)/factory show out/quickstart --decision accept --limit 2
	@$(BIN)/factory status out/quickstart

test: .venv/installed  ## run all tests
	$(BIN)/python -m pytest

check: .venv/installed  ## lint and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: .venv/installed  ## build the documentation's site into out/site
	$(BIN)/python docs/build.py

schemas: .venv/installed  ## write the JSON Schemas
	$(BIN)/python schemas/generate.py

# The groups and extras say what is asked for; what is pinned stays, unless the file is removed before. It names no host.
# Left out are CUDA builds, which break `import transformers` beside the CPU torch, and triton, which no CPU build uses.
lock: .venv/installed  ## pin in requirements.txt what pyproject.toml asks for
	echo torch==2.13.0+cpu | UV_FIND_LINKS="$${PIP_FIND_LINKS:-https://download.pytorch.org/whl/cpu/torch/}" \
		$(BIN)/uv pip compile pyproject.toml --quiet --no-header --no-annotate --python-version 3.11 --overrides - \
		--extra cpu --extra train --extra cluster --group dev --no-emit-package persona-factory-models \
		--no-emit-package torchaudio --no-emit-package torchcodec --no-emit-package torchvision --no-emit-package triton \
		--output-file requirements.txt

# torch's CPU build is not on the package index: pip finds it where it is configured to look, else at PyTorch's own.
# Everything is pinned, so nothing is resolved: the plain install would pull CUDA builds beside the CPU torch. The others
# are installed by uv, which takes a tenth of the time, or by pip where uv does not reach the index that pip is told of.
.venv/installed: requirements.txt pyproject.toml models/pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -q --no-compile --no-deps $(TORCH) 2>/dev/null \
		|| $(BIN)/pip install -q --no-compile --no-deps --index-url https://download.pytorch.org/whl/cpu $(TORCH)
	$(BIN)/pip install -q --no-compile --no-deps "$$(grep '^uv==' requirements.txt)"
	grep -v '^torch==' requirements.txt | $(BIN)/uv pip install -q --python $(BIN)/python --no-deps -r - \
		|| $(BIN)/pip install -q --no-compile --no-deps -r requirements.txt
	$(BIN)/pip install -q --no-deps --no-build-isolation -e models -e .
	touch $@
