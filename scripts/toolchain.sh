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

# Makes sure that there is a Rust toolchain, a compiler for C and C++ (SQLite, zstd and Kafka's client
# are built from source) and OpenSSL to link into the binary.
ensure_toolchain() {
  if ! command -v cargo >/dev/null; then
    say "missing: cargo. Install Rust from https://rustup.rs, then run the command again;"
    say "the right version comes by itself (rust-toolchain.toml)."
    return 69
  fi
  if ! command -v cc >/dev/null || ! command -v c++ >/dev/null || ! command -v make >/dev/null; then
    install_packages build-essential
  fi
  # Told a library it does not have, the compiler answers with the bare name.
  if [[ "$(cc -print-file-name=libssl.a)" != /* ]]; then
    install_packages libssl-dev
  fi
  find_openssl
}

# Tells cargo where OpenSSL lies, if it is elsewhere than on Debian (.cargo/config.toml): an unchanged
# environment spares building Kafka's client again.
find_openssl() {
  local library target
  library="$(realpath "$(dirname "$(cc -print-file-name=libssl.a)")")"
  target="$(rustc -vV | sed -n 's/^host: //p' | tr 'a-z-' 'A-Z_')"
  if [[ "$library" != "/usr/lib/$(cc -dumpmachine)" ]]; then
    export "${target}_OPENSSL_LIB_DIR=$library"
  fi
}

# Where what the tests fetch is kept between runs, by version.
cache_dir() {
  printf '%s/millstream' "${XDG_CACHE_HOME:-$HOME/.cache}"
}
