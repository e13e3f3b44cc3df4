#!/usr/bin/env bash
# The Python module under every Python that is here (3.10 to 3.13), with numpy 1.26 and the newest, with Gymnasium
# 0.29.1 and the newest; then Stable-Baselines3, SBX, TorchRL and CleanRL, as they are, on its environments.
#   scripts/test-python-clients.sh WHEEL [FILE, default runs/python-clients.txt]
# Each has a virtual environment of its own, from pip; the tests run from a copy, so that the wheel is what is tested.
# Takes twenty minutes on two cores and 7 GB in $TMPDIR; run it before a release. ONLY=tests or ONLY=clients runs one
# half. Exit status 1 if anything fails.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
[ $# -ge 1 ] && [ $# -le 2 ] || { sed -n '2,7s/^# \{0,1\}//p' "$0" >&2 && exit 2; }
case "${ONLY:-tests}" in tests | clients) ;; *) echo "ONLY is tests, clients or not set" >&2 && exit 2 ;; esac
wheel=$(realpath "$1")
file=${2:-$root/runs/python-clients.txt}
mkdir -p "$(dirname "$file")"
file=$(realpath "$file")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp -r "$root/python/tests" "$work/tests"
export PYTHONDONTWRITEBYTECODE=1 PIP_DISABLE_PIP_VERSION_CHECK=1
failed=0
say() { echo "$*" | tee -a "$file"; }
: >"$file"

# The interpreter of a version, of the system or of pyenv; nothing where there is none.
python_of() {
    local root_of_pyenv candidate
    root_of_pyenv=$(pyenv root 2>/dev/null || true)
    for candidate in "python$1" "${root_of_pyenv:-$HOME/.pyenv}"/versions/"$1".*/bin/python3; do
        if "$candidate" -c 'import sys, venv, ensurepip; sys.exit("%d.%d" % sys.version_info[:2] != sys.argv[1])' \
            "$1" >/dev/null 2>&1; then
            echo "$candidate"
            return
        fi
    done
}

# fresh NAME PYTHON PACKAGES…: a virtual environment with the wheel and these.
fresh() {
    local name=$1 python=$2
    shift 2
    "$python" -m venv "$work/$name" && "$work/$name/bin/pip" install -q "$wheel" "$@" >"$work/log" 2>&1
}

versions() {
    "$work/$1/bin/python" - "${@:2}" <<'PY'
import platform, sys
from importlib.metadata import version
print(", ".join([f"Python {platform.python_version()}", *(f"{name} {version(name)}" for name in sys.argv[1:])]))
PY
}

# Removes what stands in paths of this machine.
plain() { sed -e "s#$work/##g" -e "s#$root/##g" -e "s#$HOME/##g"; }

wrong() {
    failed=1
    say "FAILED: $1"
    tail -n 40 "$work/log" | plain | sed 's/^/    /' | tee -a "$file"
}

# unit NAME PYTHON PACKAGES…
unit() {
    local name=$1 began
    began=$(date +%s)
    if fresh "$@" && (cd "$work" && "$work/$name/bin/python" -m unittest discover -s tests -t .) >"$work/log" 2>&1; then
        say "$(versions "$name" numpy gymnasium isacbench):" \
            "$(grep -E '^Ran ' "$work/log" | cut -d' ' -f1-3), $(tail -n 1 "$work/log"), $(($(date +%s) - began)) s"
    else
        wrong "$(versions "$name" numpy gymnasium isacbench 2>/dev/null || echo "$name: not installed")"
    fi
    rm -rf "${work:?}/$name"
}

# client ENVIRONMENT FILE ARGUMENTS…
client() {
    local began
    began=$(date +%s)
    if (cd "$work" && "$work/$1/bin/python" "tests/clients/$2" "${@:3}") >"$work/out" 2>"$work/log"; then
        plain <"$work/out" | tee -a "$file"
        say "  $(($(date +%s) - began)) s"
    else
        plain <"$work/out" | tee -a "$file"
        wrong "$2"
    fi
}

say "scripts/test-python-clients.sh, $(basename "$wheel")," \
    "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), $(nproc) cores"
found=""
for version in 3.10 3.11 3.12 3.13; do
    python=$(python_of "$version")
    if [ -z "$python" ]; then
        say "Python $version: not on this machine"
        continue
    fi
    found=$python
    [ "${ONLY:-tests}" = tests ] || continue
    [ "$version" = 3.13 ] || unit "$version-numpy-1.26" "$python" 'numpy==1.26.*'
    unit "$version" "$python"
    [ "$version" != 3.11 ] || unit "$version-gymnasium-0.29.1" "$python" gymnasium==0.29.1
done
[ -n "$found" ] || { wrong "no Python at all" && exit 1; }

if [ "${ONLY:-clients}" = clients ]; then
    python=$(python_of 3.11)
    python=${python:-$found}
    say ""
    if fresh heavy "$python" stable-baselines3 sbx-rl torchrl; then
        say "$(versions heavy numpy gymnasium torch stable-baselines3 sbx-rl jax torchrl tensordict)"
        client heavy client_sb3.py
        client heavy client_sbx.py
        client heavy client_torchrl.py
    else
        wrong "stable-baselines3, sbx-rl and torchrl: not installed"
    fi
    rm -rf "$work/heavy"
    say ""
    # CleanRL is a folder of programs; its package asks for versions that its continuous PPO does not need.
    if fresh cleanrl "$python" gymnasium==0.29.1 'numpy<2' torch tensorboard setuptools &&
        "$work/cleanrl/bin/pip" download -q --no-deps --ignore-requires-python -d "$work/wheels" cleanrl==1.2.0 \
            >"$work/log" 2>&1 &&
        "$work/cleanrl/bin/python" -m zipfile -e "$work"/wheels/cleanrl-*.whl "$work/files"; then
        say "$(versions cleanrl numpy gymnasium torch), cleanrl 1.2.0"
        client cleanrl client_cleanrl.py "$work/files/cleanrl/ppo_continuous_action.py"
    else
        wrong "cleanrl: not installed"
    fi
fi
[ "$failed" = 0 ] && say "" && say "all passed"
exit "$failed"
