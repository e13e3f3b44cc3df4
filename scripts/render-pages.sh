#!/usr/bin/env bash
# Renders the pages in results/ again from the rows beside them, after a change of reports: figures, Markdown, HTML.
#
#   scripts/render-pages.sh [PROGRAM]      default: cargo run --release --
#
# Pages without rows (compare-peer.md, reach.md) stay as they are. So do those of readings-quick: with two seeds their
# claims are not judged any more, and docs/readings.md tells of the verdicts that they have. `cargo test --test library
# committed_pages::` holds the pages against their rows.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ $# -gt 0 ]; then program=("$@"); else program=(cargo run --release --quiet --); fi

report() {
    echo "== $1" >&2
    "${program[@]}" report "$@" > /dev/null
}

for machine in results/*/; do
    machine=${machine%/}
    for kind in bench spiking-ac-quick rl-h-moe-quick front-quick; do
        if [ -f "$machine/$kind/manifest.json" ]; then report "$machine/$kind"; fi
    done
    for tuning in "$machine"/tune-*; do
        if [ -d "$tuning/page" ]; then report "$tuning"; fi
    done
    # With the metrics that the page had from the beginning, beside the dataset itself.
    sweep=$machine/sweep-v2x-quick
    if [ -d "$sweep" ]; then report "$sweep" --metric sum_rate_bps_hz --metric reward --out "$sweep"; fi
    sweep=$machine/sweep-misac-quick
    if [ -d "$sweep" ]; then report "$sweep" --metric energy_j --metric cost_j --out "$sweep"; fi
done
