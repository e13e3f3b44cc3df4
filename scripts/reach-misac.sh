#!/usr/bin/env bash
# What `h-moe` of task misac reaches with the default preset, on seeds that no rate, width or other setting was tried
# on: against the exact optimum with one constant β, against the causal reference where β follows the vehicles.
#
#   scripts/reach-misac.sh [DEVICE, default auto] [FOLDER, default runs/reach-misac]
#
# For every case: trains, evaluates sampled and greedy, and writes a folder with the manifest, the learning curves and
# what `isacbench evaluate --json` tells; then FOLDER/reach.md, a table of all. What is there already is not done again,
# and a training that was interrupted goes on.
#
#   CASES="constant:0 constant:3 constant:5 constant:10 constant:15 constant:20 kinematic:10:500"  uncertainty:SNR in dB:updates; without updates those of
#                                 the preset
#   KINEMATIC="…"                 settings of training with `kinematic` uncertainty, docs/misac.md
#   SEEDS="[20,21,22,23,24]"      of training
#   EPISODES=1024                 of an evaluation, a seed
#   ISACBENCH=                    the program; without it, it is built
set -euo pipefail
cd "$(dirname "$0")/.."
device=${1:-auto}
folder=${2:-runs/reach-misac}
cases=${CASES:-constant:0 constant:3 constant:5 constant:10 constant:15 constant:20 kinematic:10:500}
read -ra kinematic <<<"${KINEMATIC:-temporal.gamma=0.95 temporal.gae_lambda=0.9 temporal.lr_critic=5e-3 temporal.critic=[128,128] temporal.envs=64}"
seeds=${SEEDS:-[20,21,22,23,24]}
episodes=${EPISODES:-1024}
program=${ISACBENCH:-}
if [ -z "$program" ]; then
    cargo build --release
    program=${CARGO_TARGET_DIR:-target}/release/isacbench
fi
mkdir -p "$folder"

# "mean low high" of a metric in a file of `evaluate --json`.
metric() {
    sed -n 's/.*"'"$2"'":{"ci95":\[\([^],]*\),\([^]]*\)\],"mean":\([^,}]*\)[,}].*/\3 \1 \2/p' "$1"
}
# Writes stdout to a file that is there whole or not at all.
into() {
    local to=$1
    shift
    "$@" >"$to.part" && mv "$to.part" "$to"
}
# The cost and the share over Γ of `h-moe` in both modes, then of references without their intervals.
row() {
    echo "$1 $(sed -n 's/.*updates = \([0-9]*\)\\n.*/\1/p' "$2/manifest.json" | head -1)"
    for mode in sampled greedy; do
        metric "$2/$mode.json" cost_j
        metric "$2/$mode.json" share_over_gamma | cut -d' ' -f1
    done
    shift 2
    for file in "$@"; do
        metric "$file" cost_j | cut -d' ' -f1
    done
}

constant=$folder/constant.part
varying=$folder/kinematic.part
: >"$constant"
: >"$varying"
for case in $cases; do
    IFS=: read -r uncertainty snr length <<<"$case"
    own=$folder/$uncertainty-$snr
    task=(--device "$device" --set "task.uncertainty=$uncertainty" --set "task.snr_db=$snr")
    sets=(--set "train.seeds=$seeds")
    [ -z "$length" ] || sets+=(--set "train.updates=$length")
    references=(dp-optimal)
    if [ "$uncertainty" = kinematic ]; then
        references=(best-periodic dp-causal dp-bound)
        for key in "${kinematic[@]}"; do sets+=(--set "$key"); done
    fi
    for reference in "${references[@]}"; do
        file=$folder/$reference-$uncertainty-$snr.json
        [ -s "$file" ] || into "$file" "$program" evaluate --agent "$reference" "${task[@]}" --episodes $((5 * episodes)) --json
    done
    "$program" train --agent h-moe "${task[@]}" "${sets[@]}" --out "$own" --resume >&2
    for mode in sampled greedy; do
        [ -s "$own/$mode.json" ] || into "$own/$mode.json" "$program" evaluate --agent h-moe --device "$device" \
            --checkpoint "$own/checkpoint.safetensors" --episodes "$episodes" "--$mode" --json
    done
    if [ "$uncertainty" = constant ]; then
        optimum=$folder/dp-optimal-$uncertainty-$snr.json
        { row "$snr" "$own" "$optimum" && metric "$optimum" share_over_gamma | cut -d' ' -f1; } | tr '\n' ' ' | awk '{
            printf "| %s | %s | %.3f (%.3f to %.3f) | %+.2f %% | %.2f %% | %.3f (%.3f to %.3f) | %+.2f %% | %.2f %% | %.3f | %.2f %% |\n",
            $1, $2, $3, $4, $5, 100 * ($3 / $11 - 1), 100 * $6, $7, $8, $9, 100 * ($7 / $11 - 1), 100 * $10, $11, 100 * $12 }' >>"$constant"
    else
        files=()
        for reference in "${references[@]}"; do files+=("$folder/$reference-$uncertainty-$snr.json"); done
        row "$snr" "$own" "${files[@]}" | tr '\n' ' ' | awk '{
            gain = $11 - $12
            printf "| %s | %s | %.3f (%.3f to %.3f) | %.1f %% (%.1f to %.1f) | %.3f (%.3f to %.3f) | %.1f %% (%.1f to %.1f) | %.3f | %.3f | %.3f |\n",
            $1, $2, $3, $4, $5, 100 * ($11 - $3) / gain, 100 * ($11 - $5) / gain, 100 * ($11 - $4) / gain,
            $7, $8, $9, 100 * ($11 - $7) / gain, 100 * ($11 - $9) / gain, 100 * ($11 - $8) / gain, $11, $12, $13 }' >>"$varying"
    fi
done
{
    if [ -s "$constant" ]; then
        echo 'With one constant β. Cost (11) in J per slot of `h-moe`, mean and 95 % interval over seeds; against `dp-optimal`:'
        echo
        echo '| dB | updates | sampled, J | above | over Γ | greedy, J | above | over Γ | `dp-optimal`, J | over Γ |'
        echo '|---|---|---|---|---|---|---|---|---|---|'
        cat "$constant"
        echo
    fi
    if [ -s "$varying" ]; then
        echo 'With `uncertainty = "kinematic"`: the same cost, and its share of what `dp-causal` saves against `best-periodic`:'
        echo
        echo '| dB | updates | sampled, J | share | greedy, J | share | `best-periodic`, J | `dp-causal`, J | `dp-bound`, J |'
        echo '|---|---|---|---|---|---|---|---|---|'
        cat "$varying"
    fi
} >"$folder/reach.md.part"
mv "$folder/reach.md.part" "$folder/reach.md"
rm "$constant" "$varying"
cat "$folder/reach.md"
