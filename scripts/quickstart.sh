#!/usr/bin/env bash
# The first command of the README as a test: `make run ONCE=1` in a new directory, on free ports.
# After the tests it must not build a dependency again: run and test share one profile and one set
# of features (docs/decisions/0009).
set -euo pipefail
cd "$(dirname "$0")/.."

scratch="$(mktemp -d)"
trap 'rm -rf "$scratch"' EXIT

# Our own crates come with their path in brackets; what has none is a dependency.
built="$(CARGO_TERM_COLOR=never cargo build --workspace --bins --locked 2>&1 |
  tee >(cat >&2) | grep -E '^ *Compiling [^(]*$' || true)"
if [[ -n "$built" ]]; then
  printf 'make run builds dependencies again that make test had built:\n%s\n' "$built" >&2
  printf 'remedy: give bench/Cargo.toml the features that dev-dependencies turn on\n' >&2
  exit 1
fi

make --no-print-directory run ONCE=1 DATA="$scratch/data" \
  LISTEN=127.0.0.1:0 ADMIN=127.0.0.1:0 EVENTS=2000
