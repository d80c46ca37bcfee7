# Everything runs in a virtual environment of its own, .venv, which these rules make; no other tool is needed.
# Paths are relative throughout, so that the checkout may lie anywhere, also under a name with spaces.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUN := $(VENV)/.for-use
DEV := $(VENV)/.for-development
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --config-settings editable_mode=compat
DEMO := demo
DIGITS := models/digits/digits
FCN := $(DEMO)/digits_fcn
BENCH ?=
SECONDS ?= 600
SEED ?=

.DEFAULT_GOAL := help
.PHONY: help demo quick test slow lint fuzz bench docs schema clean

help: ## show this list
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' Makefile | while IFS="$$(printf '\t')" read -r target does; do \
		printf '  make %-8s %s\n' "$$target" "$$does"; done
	@printf '\n  PYTHON=%s makes the environment; BENCH="--only vgg16 --runs 3" is handed to the benchmarks.\n' '$(PYTHON)'

demo: $(RUN) ## convert the digits model, prove its twin, run that on a picture, and draw what it sees
	@mkdir -p $(DEMO)
	$(BIN)/caffe-fcn inspect $(DIGITS).prototxt $(DIGITS).caffemodel
	$(BIN)/caffe-fcn convert $(DIGITS).prototxt $(DIGITS).caffemodel --force --diff -o $(FCN).prototxt -w $(FCN).caffemodel
	$(BIN)/caffe-fcn verify $(DIGITS).prototxt $(DIGITS).caffemodel $(FCN).prototxt $(FCN).caffemodel
	$(BIN)/caffe-fcn run $(FCN).prototxt $(FCN).caffemodel models/digits/scattered.png --scale 0.00392157 \
		--labels models/digits/labels.txt --heatmap $(DEMO)/heat.png --label-map $(DEMO)/labels.png --force
	@printf '\nThe net reads one digit in 20x20 pixels; its twin looked at 192x256 of them, a window every 4 pixels. Look at:\n'
	@printf '  %s  %s\n' '$(DEMO)/heat.png  ' 'each of the 14 digits lights up where it stands, all else is dark' \
		'$(DEMO)/labels.png' 'which digit it is, by colour'

quick: $(DEV) ## run the quick tests, in less than a minute: for work
	$(BIN)/python -m pytest -q -n auto -m 'not thorough and not slow' --durations 5 --durations-min 0.1

test: $(DEV) lint ## lint, then run all tests except the slow ones: before each commit
	$(BIN)/python -m pytest -n auto -m 'not slow'

slow: $(DEV) ## run the slow tests
	$(BIN)/python -m pytest -n auto -m slow

lint: $(DEV) ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

fuzz: $(DEV) ## convert, run, compare and verify random nets for SECONDS, or the one of SEED
	$(BIN)/python -m tests.random $(SECONDS) $(if $(SEED),--seed $(SEED))

bench: $(DEV) ## speed and memory against cp, the protobuf package, and other programs that run nets
	$(BIN)/python benchmarks/run.py $(BENCH)

docs: $(DEV) ## write the reference pages docs/cli.md and docs/api.md
	$(BIN)/python docs/generate.py

schema: $(DEV) ## compile proto/*.proto into the descriptor sets of the package
	$(BIN)/python -m grpc_tools.protoc -Iproto --descriptor_set_out=caffe_fcn/schema/caffe.binpb proto/caffe.proto
	$(BIN)/python -m grpc_tools.protoc -Iproto --descriptor_set_out=caffe_fcn/schema/forks.binpb proto/forks.proto
	$(BIN)/python -m caffe_fcn.schema.merge

clean: ## remove all that was made, .venv too
	rm -rf $(VENV) $(DEMO) build dist caffe_fcn.egg-info .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find caffe_fcn tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp says that the environment holds what setup.cfg asked for when the stamp was made. In the mode "compat" the
# checkout is one more directory on the path; the default, a hook on every import, would slow each start by half.
$(RUN): setup.cfg pyproject.toml | $(BIN)/python
	$(INSTALL) -e '.[run]'
	@touch $@

$(DEV): setup.cfg pyproject.toml | $(BIN)/python
	$(INSTALL) -e '.[dev]'
	@touch $@ $(RUN)

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)
