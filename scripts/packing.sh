#!/usr/bin/env bash
# How much longer 64 trials with numbers of their own take in one batch than 64 replicas with equal settings: two sweeps
# of agent ppo, a batch each.
#   scripts/packing.sh [DEVICE, default auto] [FOLDER, default runs/packing]
# Prints the shorter of two times of each and their ratio. Exit status 1 if the ratio is above 1.3. ISACBENCH names
# another program.
set -euo pipefail
cd "$(dirname "$0")/.."
device=${1:-auto}
folder=${2:-runs/packing}
program=${ISACBENCH:-}
if [ -z "$program" ]; then
    cargo build --release
    program=${CARGO_TARGET_DIR:-target}/release/isacbench
fi
rm -rf "$folder"
mkdir -p "$folder"
common='task = "v2x"
agents = ["ppo"]
replicas = 64
config = { train.updates = 8, evaluate.episodes = 64, ppo = { envs = 32, minibatch = 800 } }'
printf '%s\nseeds = { first = 0, count = 64 }\n' "$common" >"$folder/equal.toml"
printf '%s\nseeds = [0]\ndraws = 64\n[random]\n%s\n' "$common" 'ppo.lr_actor = { log_uniform = [1e-4, 1e-2] }
ppo.lr_critic = { log_uniform = [1e-4, 1e-2] }
ppo.gamma = { uniform = [0.0, 0.99] }
ppo.gae_lambda = { uniform = [0.0, 1.0] }
ppo.clip = { uniform = [0.1, 0.4] }
ppo.entropy_coef = { uniform = [0.0, 0.01] }
ppo.vf_coef = { uniform = [0.25, 1.0] }
ppo.target_kl = { log_uniform = [0.01, 0.1] }' >"$folder/trials.toml"
# Milliseconds of a sweep, which must be one batch.
time_of() {
    local out=$folder/$1-$2 began
    began=$(date +%s%N)
    "$program" sweep "$folder/$1.toml" --device "$device" --out "$out" >"$folder/out.txt" 2>&1 || { cat "$folder/out.txt" >&2 && exit 1; }
    echo $((($(date +%s%N) - began) / 1000000))
    grep -q 'batch 1/1' "$folder/out.txt" || { echo "'$1' was not one batch" >&2 && exit 1; }
}
best=()
for which in equal trials; do
    first=$(time_of "$which" 1)
    second=$(time_of "$which" 2)
    best+=($((first < second ? first : second)))
done
awk -v equal="${best[0]}" -v trials="${best[1]}" 'BEGIN {
    printf "64 replicas with equal settings: %d ms, 64 trials: %d ms, ratio %.2f\n", equal, trials, trials / equal
    exit trials > 1.3 * equal
}'
