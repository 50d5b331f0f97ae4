#!/usr/bin/env bash
# Every check and every test: rustfmt, tidy, clippy, cargo-deny, shellcheck, tests, doc tests, the
# quickstart. Ends with one line `N passed, N failed, N skipped`, each skip named above it.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/toolchain.sh
source scripts/toolchain.sh

ensure_toolchain

# The Python with which tests read our tables through PyIceberg and DuckDB. Those tests ask for it
# themselves and are skipped without it; here it is made before the clock of a test runs.
scripts/python.sh >/dev/null || say "no Python with PyIceberg and DuckDB could be had"

# With Java and Maven, tests fetch and run real servers (crates/testkit); without, those are skipped.
if ! command -v java >/dev/null || ! command -v mvn >/dev/null; then
  install_packages openjdk-17-jre-headless maven || say "no Java and Maven could be had"
fi

# Without it the check of licences and sources is skipped, and xtask says so.
if deny="$(scripts/deny.sh)"; then
  export PATH="$deny:$PATH"
fi

# Built first and called by itself: beneath `cargo run` the tests' cargo would inherit variables that
# make build scripts run again, and with them most of the dependencies.
cargo build --quiet --locked -p xtask
"${CARGO_TARGET_DIR:-target}/debug/xtask" ci
