#!/usr/bin/env bash
# Prints the path of a Python that has PyIceberg and DuckDB at the versions the tests check with.
# It is made once, in the cache, under a name that carries the versions. Ends with 69 when it
# cannot be had: the caller then shows the tests that need it as skipped.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/toolchain.sh
source scripts/toolchain.sh

# `duckdb-ext` brings DuckDB's Iceberg extension as a wheel, so that no test fetches it itself.
readonly requirements=(
  'pyiceberg[pyarrow,sql-sqlite]==0.12.0'
  'pandas'
  'duckdb==1.4.4'
  'duckdb-ext[httpfs,iceberg,avro]'
  'duckdb-ext-httpfs==1.4.4.20260205'
)

venv="$(cache_dir)/python-pyiceberg-0.12.0-duckdb-1.4.4"
if [[ -f "$venv/.complete" ]] && "$venv/bin/python" -c '' 2>/dev/null; then
  printf '%s\n' "$venv/bin/python"
  exit 0
fi

if ! command -v python3 >/dev/null || ! python3 -c 'import venv, ensurepip' 2>/dev/null; then
  install_packages python3 python3-venv
fi

say "building the readers' Python in $venv"
building="$venv.$$"
trap 'rm -rf "$building"' EXIT
mkdir -p "$(dirname "$venv")"
python3 -m venv "$building" >&2
"$building/bin/pip" install --quiet --disable-pip-version-check --only-binary :all: \
  "${requirements[@]}" >&2 || exit 69
"$building/bin/python" -c 'import pyiceberg.catalog.sql, duckdb, duckdb_ext' >&2 || exit 69
rm -rf "$venv"
# A virtual environment finds itself by the path of its interpreter, so it can be moved; its
# scripts cannot, and nothing here calls them.
mv "$building" "$venv"
touch "$venv/.complete"
printf '%s\n' "$venv/bin/python"
