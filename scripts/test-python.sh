#!/usr/bin/env bash
# The Python module: formatting, lints, its wheel, and python/tests against that wheel in a clean virtual environment
# that has Gymnasium and numpy alone, away from the sources. `scripts/test-python.sh WHEEL` tests a wheel that is there
# and builds nothing. PYTHON is the interpreter (python3).
set -euo pipefail
cd "$(dirname "$0")/.."
python="${PYTHON:-python3}"
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT

wheel="${1:+$(realpath "$1")}"
if [ -z "$wheel" ]; then
    cargo fmt --check --package isacbench-python
    cargo clippy --package isacbench-python -- -D warnings
    "$python" -m venv "$folder/build"
    "$folder/build/bin/pip" install --quiet --disable-pip-version-check 'maturin>=1.9,<2'
    # Next to the program, whose compiled libraries it shares.
    "$folder/build/bin/maturin" build --release --manifest-path python/Cargo.toml --target-dir target \
        --interpreter "$folder/build/bin/python" --out "$folder"
    wheel="$(echo "$folder"/isacbench-*.whl)"
fi

"$python" -m venv "$folder/clean"
"$folder/clean/bin/pip" install --quiet --disable-pip-version-check "$wheel"
cp -r python/tests "$folder/tests"
cd "$folder"
./clean/bin/pip list --disable-pip-version-check --format freeze
./clean/bin/python -W error -c 'import isacbench'
./clean/bin/isacbench --version
./clean/bin/python -m unittest discover --start-directory tests --top-level-directory .
