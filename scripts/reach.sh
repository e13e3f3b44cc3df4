#!/usr/bin/env bash
# What learned agents of task v2x reach with the default preset, on seeds that no rate, width or other setting was tried
# on.
#
#   scripts/reach.sh [DEVICE, default auto] [FOLDER, default runs/reach]
#
# For every agent, parameterisation of the beams and power: trains, evaluates sampled and by mean action, and writes a
# folder with the manifest, the learning curves and what `isacbench evaluate --json` tells; then FOLDER/reach.md, a
# table of all. What is there already is not done again.
#
#   AGENTS="ppo spiking-ac"       learned agents
#   CASES="angles:40 angles:35 angles:25 tracking:40:300 zf:40:300 zf:20:300"  beam:power in dBm:updates; without updates those of the preset
#   SEEDS="[20,21,22,23,24]"      of training
#   EPISODES=1024                 of an evaluation, a seed
#   ISACBENCH=                    the program; without it, it is built
set -euo pipefail
cd "$(dirname "$0")/.."
device=${1:-auto}
folder=${2:-runs/reach}
agents=${AGENTS:-ppo spiking-ac}
cases=${CASES:-angles:40 angles:35 angles:25 tracking:40:300 zf:40:300 zf:20:300}
seeds=${SEEDS:-[20,21,22,23,24]}
episodes=${EPISODES:-1024}
program=${ISACBENCH:-}
if [ -z "$program" ]; then
    cargo build --release
    program=${CARGO_TARGET_DIR:-target}/release/isacbench
fi
mkdir -p "$folder"

# Number behind "mean" of a metric in a file of `evaluate --json`, and its interval.
metric() {
    sed -n 's/.*"'"$2"'":{"ci95":\[\([^],]*\),\([^]]*\)\],"mean":\([^,}]*\)[,}].*/\3 \1 \2/p' "$1"
}
# Writes stdout to a file that is there whole or not at all.
into() {
    local to=$1
    shift
    "$@" >"$to.part" && mv "$to.part" "$to"
}

table=$folder/reach.md
{
    echo '| agent | beam | dBm | updates | sampled, bps/Hz | of `genie` | by mean action, bps/Hz | of `genie` | `genie` | `genie-zf` |'
    echo '|---|---|---|---|---|---|---|---|---|---|'
} >"$table.part"
for case in $cases; do
    IFS=: read -r beam power length <<<"$case"
    updates=()
    [ -z "$length" ] || updates=(--set "train.updates=$length")
    for reference in genie genie-zf; do
        file=$folder/$reference-$power.json
        [ -s "$file" ] || into "$file" "$program" evaluate --agent "$reference" --device "$device" --episodes $((5 * episodes)) \
            --set "task.p_max_dbm=$power" --json
    done
    for agent in $agents; do
        own=$folder/$agent-$beam-$power
        sets=(--device "$device" --set "task.beam=$beam" --set "task.p_max_dbm=$power")
        [ -s "$own/curves.parquet" ] || [ -s "$own/curves.json" ] ||
            "$program" train --agent "$agent" "${sets[@]}" --set "train.seeds=$seeds" "${updates[@]}" --out "$own" --force >&2
        for mode in sampled greedy; do
            [ -s "$own/$mode.json" ] || into "$own/$mode.json" "$program" evaluate --agent "$agent" --device "$device" \
                --checkpoint "$own/checkpoint.safetensors" --episodes "$episodes" "--$mode" --json
        done
        {
            echo "$agent $beam $power"
            sed -n 's/.*updates = \([0-9]*\)\\n.*/\1/p' "$own/manifest.json" | head -1
            for file in "$own/sampled.json" "$own/greedy.json" "$folder/genie-$power.json" "$folder/genie-zf-$power.json"; do
                metric "$file" sum_rate_bps_hz
            done
        } | tr '\n' ' ' | awk '{ printf "| `%s` | `%s` | %s | %s | %.2f (%.2f to %.2f) | %.1f %% | %.2f (%.2f to %.2f) | %.1f %% | %.2f | %.2f |\n",
            $1, $2, $3, $4, $5, $6, $7, 100 * $5 / $11, $8, $9, $10, 100 * $8 / $11, $11, $14 }' >>"$table.part"
    done
done
mv "$table.part" "$table"
cat "$table"
