#!/usr/bin/env bash
# Every check and every test: rustfmt, tidy, clippy, cargo-deny, tests, doc tests, the quickstart.
# Ends with one line `N passed, N failed, N skipped`, each skip named above it.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/toolchain.sh
source scripts/toolchain.sh

ensure_toolchain
scratch="$(mktemp -d)"
trap 'rm -rf "$scratch"' EXIT

# A test that cannot run here leaves a line with the reason in this file; it is shown and counted.
export MILLSTREAM_SKIPS="$scratch/skips"
: >"$MILLSTREAM_SKIPS"

# The Python with which tests read our tables through PyIceberg and DuckDB.
if python="$(scripts/python.sh)"; then
  export MILLSTREAM_PYTHON="$python"
else
  echo "reading our tables with PyIceberg and DuckDB: no Python with them could be had" \
    >>"$MILLSTREAM_SKIPS"
fi

# Without it the check of licences and sources is skipped, and xtask says so.
if deny="$(scripts/deny.sh)"; then
  export PATH="$deny:$PATH"
fi

cargo run --quiet --locked -p xtask -- ci
