#!/usr/bin/env bash
# Throughput of this program's CPU backend against the JAX peers (benches/peers/v2x_ppo_jax.py, misac_hmoe_jax.py) on
# this machine.
#
#   scripts/compare-peer.sh [REPORT.md]
#
# Needs python3 with jax and optax, and cargo. The two sides take turns, batch size by batch size and round by round, so
# that a drift of the machine meets both; each side is then represented by its best run at its best batch size. Without
# an argument the report goes to results/<processor>-<cores>-cores/compare-peer.md.
#
#   AGENTS="ppo spiking-ac h-moe" agents, each against its own of the peers (mlp, spiking; task misac)
#   ENVS="256 1024 4096"   environments of both sides
#   PRNGS="threefry2x32"   generators of the peer (threefry2x32 rbg unsafe_rbg); the best counts
#   ROUNDS=3               turns; in each, both sides run every workload twice and time the second run
#   UPDATES=2              updates of a training run
set -euo pipefail
cd "$(dirname "$0")/.."

agents=${AGENTS:-ppo spiking-ac h-moe}
envs=${ENVS:-256 1024 4096}
prngs=${PRNGS:-threefry2x32}
rounds=${ROUNDS:-3}
updates=${UPDATES:-2}

python3 -c 'import jax, optax' 2>/dev/null || {
    echo "compare-peer: python3 cannot import jax and optax; install them with: pip install jax optax" >&2
    exit 1
}

cpu=$(LC_ALL=C lscpu | sed -n 's/^Model name: *//p' | head -1)
cores=$(nproc)
slug=$(printf '%s' "$cpu" | tr '[:upper:]' '[:lower:]' | sed -e 's/([a-z]*)//g' -e 's/[^a-z0-9]\{1,\}/-/g' -e 's/^-//' -e 's/-$//')
report=${1:-results/$slug-$cores-cores/compare-peer.md}
mkdir -p "$(dirname "$report")"

cargo build --release --no-default-features --example throughput
ours="${CARGO_TARGET_DIR:-target}/release/examples/throughput"

runs=$(mktemp)
trap 'rm -f "$runs"' EXIT
for round in $(seq "$rounds"); do
    for agent in $agents; do
        case $agent in
        ppo) peer="v2x_ppo_jax.py --agent mlp --minibatches 16" generators=$prngs ;;
        spiking-ac) peer="v2x_ppo_jax.py --agent spiking --minibatches 16" generators=$prngs ;;
        h-moe) peer="misac_hmoe_jax.py" generators=threefry2x32 ;;
        *) echo "compare-peer: AGENTS may name ppo, spiking-ac and h-moe, not '$agent'" >&2 && exit 1 ;;
        esac
        for b in $envs; do
            for prng in $generators; do
                echo "round $round of $rounds, $agent, $b environments: peer ($prng)" >&2
                option=""
                [ "$agent" = h-moe ] || option="--prng $prng"
                # shellcheck disable=SC2086  # words on purpose
                printf '{"side": "peer", "agent": "%s", "prng": "%s", "run": %s}\n' "$agent" "$prng" \
                    "$(JAX_PLATFORMS=cpu python3 benches/peers/$peer --envs "$b" --updates "$updates" $option | tail -1)" >>"$runs"
            done
            echo "round $round of $rounds, $agent, $b environments: isacbench" >&2
            printf '{"side": "isacbench", "agent": "%s", "prng": "philox4x32-10", "run": %s}\n' "$agent" "$("$ours" "$b" 1 "$updates" "$agent")" >>"$runs"
        done
    done
done

CPU="$cpu" CORES="$cores" RUSTC="$(rustc --version)" COMMIT="$(git rev-parse --short HEAD 2>/dev/null || echo unknown)" \
DIRTY="$(git status --porcelain --untracked-files=no 2>/dev/null | head -1)" LOAD="$(cut -d' ' -f1-3 /proc/loadavg)" \
SETTINGS="AGENTS=\"$agents\" ENVS=\"$envs\" PRNGS=\"$prngs\" ROUNDS=$rounds UPDATES=$updates" UPDATES="$updates" \
python3 - "$runs" >"$report" <<'PY'
import json, os, platform, sys
import jax, jaxlib, optax

e = os.environ
runs = [json.loads(line) for line in open(sys.argv[1])]
figures = [("physics", "physics_sps"), ("rollout", "rollout_sps"), ("training", "train_sps")]
sides = ["isacbench", "peer"]
agents = list(dict.fromkeys(r["agent"] for r in runs))


def best(side, agent, key, envs=None):
    """The fastest run of a side: steps/s, environments, generator."""
    here = [r for r in runs if (r["side"], r["agent"]) == (side, agent) and envs in (None, r["run"]["envs"])]
    return max((r["run"][key], r["run"]["envs"], r["prng"]) for r in here)


print("# Environment steps per second against the JAX peer, on the CPU\n")
print("Agents ppo and spiking-ac: task v2x (K = 3, 32 antennas, 100 slots), PPO with hidden layers 128-128 (tanh; LIF neurons, 6 spike steps), 4 epochs of 16 minibatches.")
print("Agent h-moe: task misac (K = 4, 64 antennas, 200 slots), LSTM of 64, critic 64-64, phases 128-128, one step of the policy gradient and of L_spat over all slots of an update.")
print("One replica, f32. Physics: the task alone, with actions drawn every slot (misac: with every vehicle's channel). Rollout: policy, value and physics. Training: whole updates.")
print("Compile time is not counted on either side; each run is timed after one that warms up. Each figure is a side's fastest run at its best number of environments.\n")
print("| agent | | isacbench, steps/s | at environments | JAX peer, steps/s | at environments | ratio |")
print("|---|---|---:|---:|---:|---:|---:|")
for agent in agents:
    for name, key in figures:
        (a, ab, _), (b, bb, prng) = best("isacbench", agent, key), best("peer", agent, key)
        print(f"| {agent} | {name} | {a:,.0f} | {ab} | {b:,.0f} | {bb} ({prng}) | {a / b:.2f} |")
print("\nFastest run at each number of environments, steps/s:\n")
print("| agent | environments | " + " | ".join(f"{n}, {s}" for n, _ in figures for s in sides) + " |")
print("|---|---:|" + "---:|" * (2 * len(figures)))
for agent in agents:
    for envs in sorted({r["run"]["envs"] for r in runs}):
        print(f"| {agent} | {envs} | " + " | ".join(f"{best(s, agent, k, envs)[0]:,.0f}" for _, k in figures for s in sides) + " |")
print("\nAll runs, in order, steps/s (a wide spread means that the machine was busy):\n")
print("| side | agent | generator | environments | physics | rollout | training |")
print("|---|---|---|---:|---:|---:|---:|")
for r in runs:
    print(f"| {r['side']} | {r['agent']} | {r['prng']} | {r['run']['envs']} | " + " | ".join(f"{r['run'][k]:,.0f}" for _, k in figures) + " |")

threads = sorted({r["run"]["threads"] for r in runs if r["side"] == "isacbench"})
simd = sorted({r["run"]["simd"] for r in runs if r["side"] == "isacbench"})
print("\n## Machine and versions\n")
print(f"* {e['CPU']}, {e['CORES']} cores; load averages at the end {e['LOAD']}")
print(f"* isacbench {e['COMMIT']}{' with local changes' if e['DIRTY'] else ''}, {e['RUSTC']}, {', '.join(map(str, threads))} threads, {', '.join(simd)}")
print(f"* Python {platform.python_version()}, jax {jax.__version__}, jaxlib {jaxlib.__version__}, optax {optax.__version__}")
print("\n## Commands\n")
print("```sh")
print(f"{e['SETTINGS']} scripts/compare-peer.sh")
print("# which runs, in turns, for each number of environments B and generator G:")
print(f"JAX_PLATFORMS=cpu python3 benches/peers/v2x_ppo_jax.py --agent mlp|spiking --envs B --updates {e['UPDATES']} --minibatches 16 --prng G")
print(f"JAX_PLATFORMS=cpu python3 benches/peers/misac_hmoe_jax.py --envs B --updates {e['UPDATES']}")
print(f"cargo run --release --no-default-features --example throughput -- B 1 {e['UPDATES']} ppo|spiking-ac|h-moe")
print("```")
PY
echo "$report"
