# What people do with a checkout: install, demo, ui, test, test-long, lint.
#
#   make demo                  install, simulate a calibrator transit and a target, process both
#   make ui                    the web UI on CONTIMG_HOME (default: the demo's)
#   make ui PORT=8080          the same on another port
#   make test                  the tests that every change must pass
#   make test-long             the full-size and minutes-long ones
#   make lint                  format, style, types, layers
#   make install PYTHON=...    with another interpreter (3.11 or 3.12)

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.DEFAULT_GOAL := help
.PHONY: help install demo ui test test-long lint system-check

# Stages, tests and web server are processes by the hundred: without compiled files, each would compile all.
unexport PYTHONDONTWRITEBYTECODE

# Empty: the first of python3.11, python3.12, python3 that will do.
PYTHON ?=
PORT ?= 3000
BIN := .venv/bin
CANDIDATES = $(or $(PYTHON),python3.11 python3.12 python3)

# Sets `good` to a Python of the right version that can make virtual environments,
# else leaves it empty, and `halfway` to one that cannot make them.
define FIND_PYTHON
good= halfway=
for python in $(CANDIDATES); do
	"$$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 13))' 2>/dev/null || continue
	if "$$python" -c 'import ensurepip, venv' 2>/dev/null; then good=$$python; break; fi
	halfway=$$python
done
endef

help:
	@sed -n '3,/^$$/s/^# *//p' Makefile

install: .venv/.installed

# Nothing outside the lock is installed: wheels only, each by its hash, and the
# project itself is built with the setuptools that the lock holds.
.venv/.installed: requirements.lock pyproject.toml
	@if [ -n "$(PYTHON)" ] || ! $(BIN)/python -m pip --version >/dev/null 2>&1; then
		$(FIND_PYTHON)
		if [ -z "$$good" ]; then
			if [ -n "$$halfway" ]; then
				echo "$$halfway cannot make virtual environments: it has no module ensurepip." >&2
			else
				echo "There is no Python 3.11 or 3.12 here (looked for: $(CANDIDATES))." >&2
			fi
			echo "On Debian 12, as root: apt-get install python3 python3-venv" >&2
			exit 1
		fi
		"$$good" -m venv --clear .venv
	fi
	echo "installing requirements.lock into .venv ($$($(BIN)/python --version)); this takes some minutes"
	pip="$(BIN)/python -m pip --disable-pip-version-check --no-input"
	$$pip install --quiet --require-hashes --only-binary :all: --requirement requirements.lock
	$$pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

# Everything lands in demo/, which is made anew each time.
demo: install
	@unset DAGSTER_HOME CONTIMG_DATABASE_URL
	export CONTIMG_HOME="$$PWD/demo/home" CONTIMG_INCOMING="$$PWD/demo/incoming"
	began=$$SECONDS
	rm -rf demo
	mkdir demo
	echo "simulating a calibrator transit and a target into demo/incoming"
	$(BIN)/contimg simulate demo/incoming --preset demo >demo/simulate.txt
	$(BIN)/contimg catalogs import demo/incoming/nvss.dat
	echo "processing both through Dagster: files, Measurement Set, flags, calibration, image, quality"
	$(BIN)/contimg process demo/incoming >demo/process.txt || { cat demo/process.txt; exit 1; }
	for truth in demo/incoming/*.truth.json; do
		slug=$$(basename "$$truth" .truth.json | tr -d -)
		printf '\ngroup %s\n' "$$slug"
		$(BIN)/contimg compare "$$truth" demo/home/products/$$slug/image
	done
	# The target comes last: its name is a later time.
	products="$$PWD/demo/home/products/$$slug"
	printf '\n%s\n' "The demo took $$((SECONDS - began)) s. Of the target:"
	printf '  %-34s %s\n' \
		"image, corrected for the beam" "$$(echo "$$products"/image/*.pbcor.fits)" \
		"report (open it in a browser)" "$$products/image_qa/report.html" \
		"everything, in a browser" "make ui, then http://localhost:$(PORT)"
	printf '\n%s\n%s\n' "For other commands, such as $$PWD/$(BIN)/contimg status, point at the demo's home:" \
		"export CONTIMG_HOME=$$CONTIMG_HOME CONTIMG_INCOMING=$$CONTIMG_INCOMING"

ui: install
	@if [ -z "$${CONTIMG_HOME:-}" ]; then
		[ -d demo/home ] || { echo "Set CONTIMG_HOME, or run make demo first: there is no demo/home." >&2; exit 1; }
		export CONTIMG_HOME="$$PWD/demo/home" CONTIMG_INCOMING="$$PWD/demo/incoming"
		unset DAGSTER_HOME CONTIMG_DATABASE_URL
	fi
	exec $(BIN)/contimg ui --port $(PORT)

test: system-check install
	@$(BIN)/lint-imports
	# Three processes, since many tests wait, each with whole files: what the tests of a file share is made once.
	OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder

test-long: system-check install
	@$(BIN)/python -m pytest -m long

lint: install
	@$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright
	$(BIN)/lint-imports

# Names all that the tests need and that is not there, at once.
system-check:
	@missing=()
	if ! $(BIN)/python -m pip --version >/dev/null 2>&1; then
		$(FIND_PYTHON)
		[ -n "$$good" ] || missing+=(python3 python3-venv)
	fi
	command -v wsclean >/dev/null || missing+=(wsclean)
	compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || missing+=(postgresql)
	command -v redis-server >/dev/null || missing+=(redis-server)
	[ -x /usr/sbin/pgbouncer ] || missing+=(pgbouncer)
	command -v systemd-analyze >/dev/null || missing+=(systemd)
	command -v strace >/dev/null || missing+=(strace)
	if [ $${#missing[@]} -gt 0 ]; then
		echo "The tests need Debian packages that are not installed: $${missing[*]}" >&2
		echo "As root: apt-get install $${missing[*]}" >&2
		exit 1
	fi
