#!/usr/bin/env bash
# Runs every benchmark, each beside its baseline: `make bench`, or with a scenario and options:
#
#   scripts/bench.sh collector --cores shared --rounds 5
#   scripts/bench.sh --help
#
# Everything after the first word goes to the runner; see bench/README.md.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/toolchain.sh
source scripts/toolchain.sh

ensure_toolchain
# DataFusion is not linked: a release build of this takes minutes, not half an hour.
cargo build --release --locked -p millstream-bench

if command -v go >/dev/null; then
  (cd bench/go/collector && go build -o ../bin/collector .)
else
  say "skipped: the Go baseline of the collector: go is not installed (apt-get install golang)"
fi

# The latency scenario runs the whole binary, in the profile of `make run`.
if [[ " ${1:-all} " == " all " || " ${1:-} " == " latency " ]]; then
  cargo build --workspace --bins --locked
fi

target="${CARGO_TARGET_DIR:-target}"
scenario="${1:-all}"
shift || true
"$target/release/bench" "$scenario" "$@"
