#!/usr/bin/env bash
# Prints the directory of a cargo-deny of the version that deny.toml is written for. It is built
# once, unoptimised, into the cache. Ends with 69 when it cannot be had: the check is then shown
# as skipped.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/toolchain.sh
source scripts/toolchain.sh

readonly version=0.20.2
root="$(cache_dir)/cargo-deny-$version"
if [[ ! -x "$root/bin/cargo-deny" ]]; then
  say "building cargo-deny $version in $root"
  building="$root.$$"
  trap 'rm -rf "$building"' EXIT
  # Its own target directory: ours is for one profile and one set of features.
  CARGO_TARGET_DIR="$building/target" cargo install --quiet --locked --debug \
    --version "$version" --root "$building" cargo-deny >&2 || exit 69
  rm -rf "$building/target" "$root"
  mv "$building" "$root"
fi
printf '%s\n' "$root/bin"
