#!/usr/bin/env bash
# Exported policies in other programs: trains a small policy of every kind, writes each as ONNX, for PyTorch and, if it
# has spikes, as NIR, and runs the files in onnxruntime, PyTorch, snnTorch, Norse and SpikingJelly against the policies
# themselves.
#   scripts/test-network-clients.sh WHEEL [FILE, default runs/network-clients.txt]
# Installs them from pip into a virtual environment of its own (7 GB in $TMPDIR), or takes that of $VENV. Some minutes;
# run it before a release. Exit status 1 if anything differs.
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
venv=${VENV:-$work/venv}
[ -d "$venv" ] || python3 -m venv "$venv"
"$venv/bin/pip" install -q --upgrade --force-reinstall --no-deps "$wheel"
"$venv/bin/pip" install -q gymnasium onnx onnxruntime safetensors torch nir snntorch norse spikingjelly
cp "$root/python/tests/clients/"network_*.py "$work/"
cd "$work"
export PATH=$venv/bin:$PATH
failed=0
for client in onnx nir; do
    python "network_$client.py" 2>&1 | grep -v "Warning\|warn(" | tee "network_$client.txt" || failed=1
done
cat network_onnx.txt network_nir.txt >"$file"
exit $failed
