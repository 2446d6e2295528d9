# `make demo` and `make test` do all the set-up on a Debian or Ubuntu machine that has Rust.

TARGET_DIR := $(or $(CARGO_TARGET_DIR),$(CURDIR)/target)
VENV := $(TARGET_DIR)/venv
SUDO := $(if $(filter 0,$(shell id -u)),,sudo)
# Installs the Debian package of a command that is missing: $(call need,COMMAND,PACKAGE).
need = command -v $(1) >/dev/null || { $(SUDO) apt-get update -qq && $(SUDO) apt-get install -y -qq $(2); }

export CULVERT_TEST_PYTHON := $(VENV)/bin/python

.PHONY: demo test lint unit edge bench bench-rules tools clean

demo: tools
	cargo build --release --locked
	$(TARGET_DIR)/release/culvert demo

test: lint unit edge

lint: tools
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings

unit: tools
	cargo test --locked --lib --bins --test allocations

edge: tools $(VENV)/ready
	cargo test --locked --test edge

bench: export PATH := $(PATH):/usr/sbin
bench: tools
	@$(call need,haproxy,haproxy)
	@$(call need,nginx,nginx)
	cargo bench --locked --bench peers

bench-rules: tools
	cargo bench --locked --bench rules

# What building Pingora needs.
tools:
	@$(call need,cmake,cmake)
	@$(call need,cc,gcc)

# The WebSocket implementation in Python that the tests talk to.
$(VENV)/ready: tests/edge/python/requirements.txt
	@$(call need,python3,python3)
	@python3 -c 'import ensurepip, venv' 2>/dev/null || { $(SUDO) apt-get update -qq && $(SUDO) apt-get install -y -qq python3-venv; }
	python3 -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	touch $@

clean:
	cargo clean
