# The two commands: `make run` shows an event becoming a row, `make test` proves the promises.
# The work is in scripts/, so that each step can be read and run on its own.

# Where the node keeps its journal and tables; removed by nobody but you.
DATA ?= ./data
# Set to 1 to end after the rows instead of serving on.
ONCE ?=
# Addresses; port 0 takes a free one.
LISTEN ?= 127.0.0.1:8080
ADMIN ?= 127.0.0.1:9090
# How many sample events `make run` posts.
EVENTS ?= 10000

.PHONY: help run test lint bench

help:
	@echo 'make run          build, start, post sample events, show the rows; then serve on'
	@echo 'make run ONCE=1   the same, and end there'
	@echo 'make test         every check and every test'
	@echo 'make lint         rustfmt, tidy and clippy only'
	@echo 'make bench        the benchmarks, each beside its baseline'

run:
	@exec env DATA='$(DATA)' ONCE='$(ONCE)' LISTEN='$(LISTEN)' ADMIN='$(ADMIN)' EVENTS='$(EVENTS)' scripts/run.sh

test:
	@scripts/test.sh

lint:
	@cargo fmt --all --check
	@cargo run --quiet --locked -p xtask -- tidy
	@cargo clippy --workspace --all-targets --locked -- -D warnings

bench:
	@scripts/bench.sh
