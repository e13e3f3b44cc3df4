#!/usr/bin/env bash
# The pictures in docs/pictures that are taken of pages, from this program and the committed rows.
#   scripts/pictures.sh [FOLDER, default docs/pictures]
# ISACBENCH=path takes a program that is there, else it is built. Needs chromium and python3. Half a minute.
set -euo pipefail
cd "$(dirname "$0")/.."
[ $# -le 1 ] || { sed -n '2,4s/^# \{0,1\}//p' "$0" >&2 && exit 2; }
folder=${1:-docs/pictures}
if [ -z "${ISACBENCH:-}" ]; then
    cargo build --release --bin isacbench
    ISACBENCH="${CARGO_TARGET_DIR:-target}/release/isacbench"
fi
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'websockets>=15,<17'
"$ISACBENCH" replay v2x --agents last-estimate,ekf-zf --out "$work/replay.html" >&2
"$ISACBENCH" page --live "$work/live" >&2
cp results/intel-xeon-processor-2-cores/spiking-ac-quick/report.html "$work/"
"$work/venv/bin/python" -B tests/browser/docs.py "$work" "$folder"
