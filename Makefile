# make demo: sets itself up, lays out a run image with real launchers, and starts real apps through metalauncher.
#   LAUNCHERS=DIR: with those of a folder, launcher-VERSION; LAUNCHERS=stand-ins: with none of lifecycle's.
# make test: sets itself up, builds both dispatching forms, and passes the quick tests over them, on all processors.
# make test-all: passes all tests: long searches, large fleets, every launcher and container runtime; coverage >= 95 %.
# make fresh: runs both commands in a bare Debian 12, and a part in a bare Debian 13; FULL=1: everything in both.
# make static [ARCH=aarch64|all]: builds the static executable for this machine, for another architecture, or for each.
# make release [VERSION=V]: everything that a release has, in dist/release; without VERSION a development version's. It signs
#   and publishes nothing. PARTIAL=1: of the executables that there are, to try it.
# make scene: of a release that was made, in a bare Debian 12: pip install, image --push, an app in crun; timed; as root.
# make reproduce: builds the static executables again, all of them, elsewhere, and fails if they are not the same bytes.
# make profile: takes the compiler's profile anew, after a change of CPython, of the parser or of the compiler.
# make image LIFECYCLE="A.tgz B.tgz" OUT=oci:run BASE=scratch: builds a run image of the static executable and launchers.
# make launchers [VERSIONS=all]: builds real launchers of lifecycle through its Go module, and prints where they are.
# make fuzz SECONDS=60 FORM=all: searches for inputs that break a harness's oracle, and fails where it finds one.
#   FORM=python: atheris over the source. FORM=static: the same mutated files to both forms, whose answers are compared.
# make fuzz-check SECONDS=60 [SEED=S]: random small images, which `check` judges, and which are really started; as root.
# make mutate [MODULES="metalauncher.pins ..."]: changes pure modules, and fails if no test notices.
# make recording: runs the commands of the recording in the README again, and draws what they print today.
# make lock: resolves each requirements.in anew, and pins all that comes with it by hash. Look at the difference.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PYZ := dist/metalauncher.pyz
MACHINE := $(shell uname -m)
STATIC := dist/metalauncher-linux-$(MACHINE)
ARCH ?= $(MACHINE)
LAUNCHERS ?=
VERSIONS ?= quick
FUZZ := build/fuzz-venv
MUTATE := build/mutate-venv
MODULES ?=
SECONDS ?= 60
VERSION ?=
PARTIAL ?=
SEED ?=
FORM ?= all
PYTEST_ARGS ?=
# --upgrade: what no requirements.in names takes its newest version too.
UPGRADE ?=
FULL ?=
# For CI that has little time left: the subset in Debian 12 as well.
PARTLY ?=
# Of the tests, what another Python, C library, compiler or container runtime can make fail.
SUBSET := $(addprefix tests/test_,demo.py static.py pyz.py contents.py hot_path.py parser.py execute.py routes.py \
	confined.py containers.py needs.py locks.py) tests/tooling/launchers/test_killed.py tests/tooling/launchers/test_hostile_tarballs.py \
	tests/tooling/oci/test_tree.py
LOCK := build/lock-venv
LOCKED := requirements-dev fuzz/requirements fuzz/build-requirements image/requirements tests/real/go-requirements \
	tools/lock-requirements tools/mutate-requirements
# Each file on its own worker as a rule, since what its tests share is made once a worker; idle workers take over.
PARALLEL := -n auto --dist worksteal
# Wheels alone, each by its hash, and nothing but what the lock lists: nothing that a build would fetch in between.
INSTALL := install -q --disable-pip-version-check --require-hashes --only-binary=:all: --no-deps
EXECUTABLE ?= $(STATIC)
BASE ?= scratch
LIFECYCLE ?=
OUT ?=

.PHONY: demo recording test test-all ready fresh fresh-bookworm fresh-trixie lock image launchers fuzz fuzz-check mutate lint format pyz static profile release release-executables scene reproduce bench venv clean help

help:
	@sed -n 's/^# make/make/p' Makefile

demo: pyz
	$(BIN)/python demo/demo.py $(PYZ) .demo $(LAUNCHERS)

recording: pyz
	$(BIN)/python tools/record.py $(PYZ) docs/recording.svg

test: ready
	$(BIN)/python -m pytest $(PARALLEL) -m "not thorough" $(PYTEST_ARGS)

test-all: VERSIONS = all
# One form more: another architecture's executable, emulated.
test-all: ARCH = all
test-all: ready
	@tools/need release
	@[ "$$(id -u)" != 0 ] || tools/need fresh emulator
	HYPOTHESIS_PROFILE=$${HYPOTHESIS_PROFILE:-thorough} $(BIN)/python -m pytest $(PARALLEL) \
		--cov --cov-report=term --cov-fail-under=95 $(PYTEST_ARGS)

# What the tests need. They run containers as root only.
ready: venv pyz static
	@tools/need test
	@[ "$$(id -u)" != 0 ] || tools/need containers
	@$(BIN)/python tests/real/launchers.py $(VERSIONS) >/dev/null
	@[ "$$(id -u)" != 0 ] || $(BIN)/python tests/real/exporting.py >/dev/null

# Asked for nothing, it says so at once, and not after building the executable.
image: $(if $(and $(LIFECYCLE),$(OUT)),venv $(if $(filter $(STATIC),$(EXECUTABLE)),static))
	@[ -n "$(LIFECYCLE)" ] && [ -n "$(OUT)" ] || \
		{ echo 'make image LIFECYCLE="A.tgz B.tgz" OUT=oci:run [BASE=oci:base]' >&2; exit 2; }
	$(BIN)/python -m metalauncher image --base $(BASE) --executable $(EXECUTABLE) \
		$(addprefix --bundle ,$(LIFECYCLE)) --out $(OUT)

launchers: venv
	@$(BIN)/python tests/real/launchers.py $(VERSIONS)

fuzz: $(FUZZ)/.installed pyz static
	$(FUZZ)/bin/python fuzz/fuzz.py --seconds $(SECONDS) --form $(FORM)

fuzz-check: venv static
	@tools/need test containers
	$(BIN)/python fuzz/check_images.py --seconds $(SECONDS) $(if $(SEED),--seed $(SEED))

$(FUZZ)/.installed: fuzz/requirements.txt fuzz/build-requirements.txt
	@PYTHON=$(PYTHON) tools/need venv
	rm -rf $(FUZZ)
	$(PYTHON) -m venv $(FUZZ)
	$(FUZZ)/bin/pip $(INSTALL) -r fuzz/build-requirements.txt
	$(FUZZ)/bin/pip $(INSTALL) --no-binary=tomli --no-build-isolation -r fuzz/requirements.txt
	touch $@

mutate: $(MUTATE)/.installed
	$(MUTATE)/bin/python tools/mutate.py $(MODULES)

$(MUTATE)/.installed: tools/mutate-requirements.txt
	@PYTHON=$(PYTHON) tools/need venv
	rm -rf $(MUTATE)
	$(PYTHON) -m venv $(MUTATE)
	$(MUTATE)/bin/pip $(INSTALL) -r $<
	touch $@

lint: venv
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: venv
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

pyz: venv
	PYTHONPATH=. $(BIN)/python image/pyz.py $(PYZ)

# Each in a machine of its own: what this one has installed must not be what makes them pass.
fresh: fresh-bookworm fresh-trixie

fresh-bookworm:
	tools/fresh bookworm 'make demo && make test PYTEST_ARGS="$(if $(PARTLY),$(SUBSET))"'
	tools/fresh bookworm 'make demo' --user somebody --need venv
ifneq ($(FULL),)
	tools/fresh bookworm 'make test' --user somebody --need venv static test
endif

fresh-trixie:
ifeq ($(FULL),)
	tools/fresh trixie 'make demo && make test PYTEST_ARGS="$(SUBSET)"'
else
	tools/fresh trixie 'make demo && make test'
	tools/fresh trixie 'make demo && make test' --user somebody --need venv static test
endif

reproduce: ARCH = all
# The executables are built from what is cached; PARTIAL=1 takes those of dist/.
release: venv $(if $(PARTIAL),,release-executables)
	@tools/need release
	$(BIN)/python image/release/release.py $(if $(VERSION),--version $(VERSION)) $(if $(PARTIAL),--partial)

scene: venv
	@tools/need fresh containers test
	$(BIN)/python tests/real/scene.py

release-executables:
	$(MAKE) static ARCH=all

reproduce: static
	@tools/need reproduce
	$(BIN)/python image/static/reproduce.py

static: venv
	$(BIN)/python image/static/build $(ARCH)

profile: venv
	@tools/need profile
	$(BIN)/python image/static/take_profile.py

bench: pyz static
	@tools/need test bench
	$(BIN)/python bench/bench.py; first=$$?; $(BIN)/python bench/fleet.py; second=$$?; $(BIN)/python bench/patch.py && exit $$((first | second))

venv: $(VENV)/.installed

# Moved into place whole: an interrupted installation is not taken for a finished one.
$(VENV)/.installed: requirements-dev.txt
	@$(PYTHON) -c 'import sys; sys.exit("metalauncher needs Python 3.11 or newer; PYTHON=... names one" if sys.version_info < (3, 11) else 0)'
	@PYTHON=$(PYTHON) tools/need venv
	rm -rf $(VENV)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip $(INSTALL) -r requirements-dev.txt
	touch $@

# Resolved for every Python from 3.11 on, and every platform.
lock: $(LOCK)/.installed
	for name in $(LOCKED); do \
		$(LOCK)/bin/uv pip compile -q --no-config --universal --python-version 3.11 --generate-hashes $(UPGRADE) \
			--custom-compile-command "make lock" --output-file $$name.txt $$name.in || exit; \
	done

$(LOCK)/.installed: tools/lock-requirements.txt
	@PYTHON=$(PYTHON) tools/need venv
	rm -rf $(LOCK)
	$(PYTHON) -m venv $(LOCK)
	$(LOCK)/bin/pip $(INSTALL) -r $<
	touch $@

clean:
	rm -rf $(VENV) dist build .demo
