# `make setup` prepares .venv and install/; every other target calls it first. See CONTRIBUTING.md.
SHELL := /bin/bash
SEQUENCE ?=

# Commands below run in .venv with the overlay on top; ROS 2 traffic stays on this machine.
IN_OVERLAY := source install/setup.bash && PATH="$(CURDIR)/.venv/bin:$$PATH" ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST
COMPILE := .venv/bin/uv pip compile --quiet --upgrade --universal --python-version 3.10 --no-annotate \
	--custom-compile-command "make lock"

.PHONY: help setup demo test lint lock clean

help:
	@echo "make setup               environment in .venv and ROS 2 overlay in install/ (PYTHON=python3.12, TORCH=0)"
	@echo "make demo                segment a generated sequence through the live node (SEQUENCE=folder or bag: that one)"
	@echo "make test                style, types and all tests (PYTEST_ARGS='-k tracker': some of them)"
	@echo "make lint                style and types only"
	@echo "make lock                refresh the exact versions in requirements/*.txt"
	@echo "make clean               remove everything that was built, .venv included"

setup:
	@scripts/setup.sh

demo: setup
	@$(IN_OVERLAY) autoseg3d demo $(if $(SEQUENCE),"$(SEQUENCE)") --out out/demo

test: lint
	@$(IN_OVERLAY) pytest $(PYTEST_ARGS)

lint: setup
	@.venv/bin/ruff check
	@.venv/bin/ruff format --check
	@.venv/bin/mypy

lock: setup
	cd requirements && for name in pip core numpy1 ros dev rerun; do ../$(COMPILE) $$name.in -o $$name.txt || exit; done
	cd requirements && for name in torch masks fastsam; do ../$(COMPILE) --no-deps $$name.in -o $$name.txt || exit; done

clean:
	rm -rf .venv build install log .mypy_cache .pytest_cache .ruff_cache .hypothesis *.egg-info
