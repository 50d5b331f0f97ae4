#!/usr/bin/env bash
# Sourced by the other scripts: brings what a build needs and the machine lacks.

# Prints a line to the terminal, apart from the data on stdout.
say() {
  printf '%s\n' "$*" >&2
}

# Installs Debian packages, as root or through sudo.
install_packages() {
  local as_root=()
  if [[ $(id -u) -ne 0 ]]; then
    command -v sudo >/dev/null || {
      say "missing: $*; install it and run the command again (no root, no sudo here)"
      return 69
    }
    as_root=(sudo)
  fi
  command -v apt-get >/dev/null || {
    say "missing: $*; install it with this system's package manager and run the command again"
    return 69
  }
  say "installing: $*"
  "${as_root[@]}" apt-get update -qq >&2
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$@" >&2
}

# Makes sure that there is a Rust toolchain and a C compiler (SQLite and zstd are built from C).
ensure_toolchain() {
  if ! command -v cargo >/dev/null; then
    say "missing: cargo. Install Rust from https://rustup.rs, then run the command again;"
    say "the right version comes by itself (rust-toolchain.toml)."
    return 69
  fi
  if ! command -v cc >/dev/null; then
    install_packages build-essential
  fi
}

# Where what the tests fetch is kept between runs, by version.
cache_dir() {
  printf '%s/millstream' "${XDG_CACHE_HOME:-$HOME/.cache}"
}
