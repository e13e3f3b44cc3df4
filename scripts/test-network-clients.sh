#!/usr/bin/env bash
# Exported policies in other programs: trains a small policy of every kind, writes each as ONNX, and runs the files in
# onnxruntime against the policies themselves: outputs over 10,000 observations of real episodes, and the sum-rate or
# cost of whole evaluations.
#   scripts/test-network-clients.sh WHEEL [FILE, default runs/network-clients.txt]
# Installs onnx and onnxruntime from pip into a virtual environment of its own. Takes some minutes; run it before a
# release. Exit status 1 if anything differs.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
[ $# -ge 1 ] && [ $# -le 2 ] || { sed -n '2,8s/^# \{0,1\}//p' "$0" >&2 && exit 2; }
wheel=$(realpath "$1")
file=${2:-$root/runs/network-clients.txt}
mkdir -p "$(dirname "$file")"
file=$(realpath "$file")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export PYTHONDONTWRITEBYTECODE=1 PIP_DISABLE_PIP_VERSION_CHECK=1
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q "$wheel" onnx onnxruntime
cp "$root/python/tests/clients/network_onnx.py" "$work/"
cd "$work"
"$work/venv/bin/python" network_onnx.py | tee "$file"
