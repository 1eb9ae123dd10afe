# make demo: sets itself up, lays out a run image and real apps, and starts each through metalauncher.
# make test: sets itself up, builds both dispatching forms, and passes the tests over them.
# make reproduce: builds the static executable again, all of it, elsewhere, and fails if it is not the same bytes.
# make profile: takes the compiler's profile anew, after a change of CPython, of the parser or of the compiler.
# make image LIFECYCLE="A.tgz B.tgz" OUT=oci:run BASE=scratch: builds a run image of the static executable and launchers.
# make fuzz SECONDS=60 FORM=all: searches for inputs that break a harness's oracle, and fails where it finds one.
#   FORM=python: atheris over the source. FORM=static: the same mutated files to both forms, whose answers are compared.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PYZ := dist/metalauncher.pyz
STATIC := dist/metalauncher-linux-x86_64
LAUNCHERS ?=
FUZZ := build/fuzz-venv
SECONDS ?= 60
FORM ?= all
PYTEST_ARGS ?=
# What the tests run containers with; they do it as root only.
CONTAINERS := crun runc skopeo umoci buildah
EXECUTABLE ?= $(STATIC)
BASE ?= scratch
LIFECYCLE ?=
OUT ?=

.PHONY: demo test image fuzz lint format pyz static profile reproduce bench venv clean help

help:
	@sed -n 's/^# make/make/p' Makefile

demo: pyz
	$(BIN)/python demo/demo.py $(PYZ) .demo $(LAUNCHERS)

test: venv pyz static
	@tools/need gcc:cc libc6-dev:/usr/include/stdlib.h util-linux:unshare libc-bin:getent \
	  docker-registry:docker-registry apache2-utils:htpasswd openssl:openssl chromium:chromium
	@[ "$$(id -u)" != 0 ] || tools/need $(CONTAINERS)
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest $(PYTEST_ARGS)
	$(BIN)/coverage combine -q
	$(BIN)/coverage report --fail-under=95

# Asked for nothing, it says so at once, and not after building the executable.
image: $(if $(and $(LIFECYCLE),$(OUT)),venv $(if $(filter $(STATIC),$(EXECUTABLE)),static))
	@[ -n "$(LIFECYCLE)" ] && [ -n "$(OUT)" ] || \
		{ echo 'make image LIFECYCLE="A.tgz B.tgz" OUT=oci:run [BASE=oci:base]' >&2; exit 2; }
	$(BIN)/python -m metalauncher image --base $(BASE) --executable $(EXECUTABLE) \
		$(addprefix --bundle ,$(LIFECYCLE)) --out $(OUT)

fuzz: $(FUZZ)/.installed pyz static
	$(FUZZ)/bin/python fuzz/fuzz.py --seconds $(SECONDS) --form $(FORM)

$(FUZZ)/.installed: fuzz/requirements.txt
	@PYTHON=$(PYTHON) tools/need python3-venv:venv
	rm -rf $(FUZZ)
	$(PYTHON) -m venv $(FUZZ)
	$(FUZZ)/bin/pip install -q --disable-pip-version-check -r fuzz/requirements.txt
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

reproduce: static
	$(BIN)/python image/static/reproduce.py

static: venv
	$(BIN)/python image/static/build $(STATIC)

profile: venv
	@tools/need llvm-19:llvm-profdata-19
	$(BIN)/python image/static/take_profile.py

bench: pyz static
	@tools/need gcc:cc libc6-dev:/usr/include/stdlib.h
	@[ "$$(id -u)" != 0 ] || tools/need crun util-linux:unshare
	@tools/need docker-registry:docker-registry skopeo:skopeo
	$(BIN)/python bench/bench.py; first=$$?; $(BIN)/python bench/fleet.py && exit $$first

venv: $(VENV)/.installed

# Moved into place whole: an interrupted installation is not taken for a finished one.
$(VENV)/.installed: requirements-dev.txt
	@$(PYTHON) -c 'import sys; sys.exit("metalauncher needs Python 3.11 or newer; PYTHON=... names one" if sys.version_info < (3, 11) else 0)'
	@PYTHON=$(PYTHON) tools/need python3-venv:venv
	rm -rf $(VENV)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q --disable-pip-version-check -r requirements-dev.txt
	touch $@

clean:
	rm -rf $(VENV) dist build .demo
