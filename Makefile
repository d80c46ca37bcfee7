# These rules make a virtual environment, .venv, and run everything in it; no other tool is needed. All paths are relative,
# so the path of the checkout can contain spaces.

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
.PHONY: help demo quick test slow lint fuzz bench docs pictures schema clean

help: ## show this list
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' Makefile | while IFS="$$(printf '\t')" read -r target does; do \
		printf '  make %-8s %s\n' "$$target" "$$does"; done
	@printf '\n  PYTHON=%s makes the environment; BENCH="--only vgg16 --runs 3" passes options to the benchmarks.\n' '$(PYTHON)'

demo: $(RUN) ## convert the digits model, prove the result, run it on a picture, and draw the answers
	@mkdir -p $(DEMO)
	$(BIN)/caffe-fcn inspect $(DIGITS).prototxt $(DIGITS).caffemodel
	$(BIN)/caffe-fcn convert $(DIGITS).prototxt $(DIGITS).caffemodel --force --diff -o $(FCN).prototxt -w $(FCN).caffemodel
	$(BIN)/caffe-fcn verify $(DIGITS).prototxt $(DIGITS).caffemodel $(FCN).prototxt $(FCN).caffemodel
	$(BIN)/caffe-fcn run $(FCN).prototxt $(FCN).caffemodel models/digits/scattered.png --scale 0.00392157 \
		--labels models/digits/labels.txt --heatmap $(DEMO)/heat.png --label-map $(DEMO)/labels.png --force
	@printf '\nThe net reads one digit in 20x20 pixels; the converted net read 192x256 pixels, a window every 4 pixels. Look at:\n'
	@printf '  %s  %s\n' '$(DEMO)/heat.png  ' 'each of the 14 digits is bright, everything else is dark' \
		'$(DEMO)/labels.png' 'the class of each digit, by colour'

quick: $(DEV) ## run the quick tests, in about a minute
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

bench: $(DEV) ## measure speed and memory against cp, the protobuf package, and other programs that run nets
	$(BIN)/python benchmarks/run.py $(BENCH)

docs: $(DEV) ## write the reference pages docs/cli.md and docs/api.md
	$(BIN)/python docs/generate.py

pictures: $(DEV) ## make the pictures of the pages again; that of the report page needs Chromium
	$(BIN)/python docs/pictures.py

schema: $(DEV) ## compile proto/*.proto into the descriptor sets of the package
	$(BIN)/python -m grpc_tools.protoc -Iproto --descriptor_set_out=caffe_fcn/schema/caffe.binpb proto/caffe.proto
	$(BIN)/python -m grpc_tools.protoc -Iproto --descriptor_set_out=/dev/stdout proto/forks.proto \
		| $(BIN)/python -m caffe_fcn.schema.merge

clean: ## remove all generated files, also .venv
	rm -rf $(VENV) $(DEMO) build dist caffe_fcn.egg-info .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find caffe_fcn tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp file shows that the environment has the packages that setup.cfg required at that time. In the mode "compat" the
# checkout is one more directory on the path. The default mode, a hook on every import, makes each start 50 % slower.
$(RUN): setup.cfg pyproject.toml | $(BIN)/python
	$(INSTALL) -e '.[run]'
	@touch $@

$(DEV): setup.cfg pyproject.toml | $(BIN)/python
	$(INSTALL) -e '.[dev]'
	@touch $@ $(RUN)

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)
