#!/usr/bin/env bash
# The pages of the program in a real browser, before a release: each is opened in a headless Chromium whose WebGPU is
# SwiftShader, clicked, read and photographed.
#
#   scripts/test-browser.sh [PICTURES]      folder for the pictures (default: runs/browser)
#
#   ISACBENCH=path     a program that is there [default: cargo build --release]
#   CHROMIUM=path      a browser [default: chromium, installed from Debian's packages if there is none]
#   PYTHON=python3     gets a virtual environment with the package websockets, which is gone afterwards
#   PAGES=DIR          folders with further pages, DIR/*/*.html
#   OPEN_MS=5000       most milliseconds until a page is open: it is under 2000 on a quiet machine
#   FRAMES=15          fewest pictures a second of a replay: 30 and more on a quiet machine
#   START_S=90         most seconds until the live page computes
#
# Exit code: 0 if every page is as it should be. tests/browser/chrome.py drives the browser, tests/browser/pages.py
# says what a page must do: at 1280 and 400 pixels, light and dark, nothing logged as an error, no request to the
# network, no word of the live page's kernels that differs from the CPU's.
set -euo pipefail
cd "$(dirname "$0")/.."
case "${1:-}" in
-h | --help) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0" && exit 0 ;;
-*) echo "test-browser: no option '$1' (--help names what there is)" >&2 && exit 2 ;;
esac
pictures="${1:-runs/browser}"

if [ -z "${CHROMIUM:-}" ] && ! command -v chromium chromium-browser google-chrome >/dev/null; then
    sudo=""
    [ "$(id -u)" = 0 ] || sudo="sudo"
    echo "no Chromium: installing Debian's" >&2
    $sudo apt-get update -qq
    $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium >/dev/null
fi
if [ -z "${ISACBENCH:-}" ]; then
    cargo build --release --bin isacbench
    ISACBENCH="${CARGO_TARGET_DIR:-target}/release/isacbench"
fi

folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'websockets>=15,<17'

# Pages of what is committed, written anew by this program: a folder each.
pages="$folder/pages"
results=results/intel-xeon-processor-2-cores
"$ISACBENCH" page --live "$pages/live" >&2
# As long as they come: 200 slots, three agents.
mkdir -p "$pages/replay"
"$ISACBENCH" replay misac --agents best-periodic,dp-optimal,radar-only --out "$pages/replay/replay.html" >&2
# A reproduction in miniature: every section of a report is there, its numbers mean nothing.
"$ISACBENCH" reproduce spiking-ac --scale smoke --device cpu --out "$folder/smoke" --set 'train.seeds=[0]' \
    --set train.updates=2 --set evaluate.episodes=64 --set 'reproduce.p_max_dbm=[20.0,40.0]' --set 'ppo.hidden=[16]' \
    --set 'ddpg.hidden=[16]' --set 'dqn.hidden=[16]' --set 'spiking.hidden=[16]' >&2
mkdir -p "$pages/smoke"
cp "$folder/smoke/report.html" "$pages/smoke/"
"$ISACBENCH" report "$results/sweep-v2x-quick" --out "$pages/sweep" >&2
"$ISACBENCH" evaluate --agent last-estimate,ekf-zf,genie --device cpu --episodes 64 --seeds 3 --out "$pages/compare" >&2
[ -z "${PAGES:-}" ] || cp -r "$PAGES"/*/ "$pages/"

"$folder/venv/bin/python" -B -W error tests/browser/pages.py "$pages" "$pictures"
