#!/usr/bin/env bash
# How soon learned agents of task v2x reach a share of the genie's sum-rate, on the CPU, beside the JAX peer
# (benches/peers/v2x_level_jax.py) with the same networks, observation map, rate rule and numbers. Both read the level
# off the rollouts of their trainings: the mean of five updates.
#
#   scripts/time-to-level.sh [REPORT.md, default runs/time-to-level.md]
#
# The two sides take turns, seed by seed. Ours is the time of `isacbench train` up to there, start included, as its
# share of the updates; the peer's is without its compilation. Agents that the peer does not have stand in the table
# without it. Needs python3 with jax, optax and pyarrow.
#
#   AGENTS="ppo:800 spiking-ac:800 apg:150 spiking-apg:150"   agent:updates, the length of the training, which its rates follow
#   SEEDS="20 21 22"   SHARE=0.95   POWER=40 (dBm)   PYTHON=python3   ISACBENCH= the program; without it, it is built
set -euo pipefail
cd "$(dirname "$0")/.."
agents=${AGENTS:-ppo:800 spiking-ac:800 apg:150 spiking-apg:150}
seeds=${SEEDS:-20 21 22}
share=${SHARE:-0.95}
power=${POWER:-40}
python=${PYTHON:-python3}
report=${1:-runs/time-to-level.md}
program=${ISACBENCH:-}
if [ -z "$program" ]; then
    cargo build --release
    program=${CARGO_TARGET_DIR:-target}/release/isacbench
fi
"$python" -c 'import jax, optax, pyarrow' 2>/dev/null || {
    echo "time-to-level: $python cannot import jax, optax and pyarrow; install them with: pip install jax optax pyarrow" >&2
    exit 1
}
mkdir -p "$(dirname "$report")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

genie=$("$program" evaluate --agent genie --device cpu --episodes 4096 --set "task.p_max_dbm=$power" --json |
    sed -n 's/.*"sum_rate_bps_hz":{[^}]*"mean":\([^,}]*\).*/\1/p')
level=$(awk "BEGIN { print $genie * $share }")
for seed in $seeds; do
    for entry in $agents; do
        IFS=: read -r agent updates <<<"$entry"
        echo "seed $seed, $agent: isacbench" >&2
        begin=$(date +%s.%N)
        "$program" train --agent "$agent" --device cpu --set "train.seeds=[$seed]" --set "train.updates=$updates" --set "task.p_max_dbm=$power" \
            --set reproduce.checkpoint_every=1000000 --out "$work/$agent-$seed" >&2
        end=$(date +%s.%N)
        "$python" - "$work" "$agent" "$seed" "$level" "$begin" "$end" "$updates" <<'PY'
import json, os, subprocess, sys, tomllib
import pyarrow.parquet as parquet

work, agent, seed, level, begin, end, updates = sys.argv[1:]
level, wall = float(level), float(end) - float(begin)
folder = f"{work}/{agent}-{seed}"
rows = parquet.read_table(f"{folder}/curves.parquet").sort_by("update").to_pylist()
reached = None
for i in range(4, len(rows)):
    if sum(r["sum_rate_bps_hz"] for r in rows[i - 4 : i + 1]) / 5 >= level:
        reached = dict(env_steps=rows[i]["env_steps"], seconds=wall * (i + 1) / len(rows))
        break
last = sum(r["sum_rate_bps_hz"] for r in rows[-5:]) / 5
ours = dict(reached=reached, last=last, train_sps=rows[-1]["env_steps"] / wall)
config = tomllib.loads(json.load(open(f"{folder}/manifest.json"))["config"])
ppo, spiking = config["ppo"], config["spiking"]
def done(peer):
    with open(f"{work}/rows.jsonl", "a") as out:
        print(json.dumps(dict(agent=agent, seed=int(seed), isacbench=ours, peer=peer)), file=out)
    sys.exit()
if agent not in ("ppo", "spiking-ac"):
    done(None)
own = spiking if agent == "spiking-ac" else ppo
arguments = {
    "agent": "spiking" if agent == "spiking-ac" else "mlp",
    "level": level, "updates": updates, "seed": seed,
    "envs": ppo["envs"], "epochs": ppo["epochs"], "minibatch": ppo["minibatch"],
    "hidden": json.dumps(own["hidden"] or ppo["hidden"]),
    "lr-actor": own["lr_actor"], "lr-critic": own["lr_critic"], "lr-final-share": ppo["lr_final_share"],
    "target-kl": own["target_kl"], "log-std-min": ppo["log_std_min"], "reward-scale": ppo["reward_scale"],
    "hidden-gain": spiking["hidden_gain"],
}
assert ppo["gamma"] == 0 == ppo["gae_lambda"] or ppo["gamma"] == 0, "the peer discounts everything"
command = [sys.executable, "benches/peers/v2x_level_jax.py"] + [f"--{k}={v}" for k, v in arguments.items()]
peer = json.loads(subprocess.run(command, check=True, capture_output=True, text=True, env={**os.environ, "JAX_PLATFORMS": "cpu"}).stdout)
done(peer)
PY
    done
done
"$python" - "$work/rows.jsonl" "$level" "$genie" "$power" <<'PY' >"$report.part"
import json, sys

rows = [json.loads(line) for line in open(sys.argv[1])]
level, genie, power = float(sys.argv[2]), float(sys.argv[3]), sys.argv[4]
print(f"# Time to {level:.2f} bps/Hz, {100 * level / genie:.0f} % of `genie`, at {power} dBm, on the CPU\n")
print("| agent | seed | side | slots to the level | seconds to the level | sooner than the peer | sooner than `ppo` here | at the end, bps/Hz | training, slots/s |\n|---|---|---|---|---|---|---|---|---|")
ppo = {r["seed"]: r["isacbench"]["reached"] for r in rows if r["agent"] == "ppo"}
sooner = lambda at, other: f"{other['seconds'] / at['seconds']:.1f}" if at and other else ""
for row in rows:
    for side in ("isacbench", "peer"):
        x, ours = row[side], side == "isacbench"
        if x is None:
            continue
        at, other = x["reached"], row["peer"] and row["peer"]["reached"]
        reached = f"{at['env_steps'] / 1e6:.2f} M | {at['seconds']:.1f}" if at else "not reached | not reached"
        ratios = f"{sooner(at, other) if ours else ''} | {sooner(at, ppo.get(row['seed'])) if ours and row['agent'] != 'ppo' else ''}"
        print(f"| `{row['agent']}` | {row['seed']} | {side} | {reached} | {ratios} | {x['last']:.2f} | {x['train_sps']:.3g} |")
PY
mv "$report.part" "$report"
cat "$report"
