#!/usr/bin/env bash
# Equivalence suite, benches and the JAX peers on a machine with a GPU, into one folder, in under ten minutes.
#
#   scripts/bench-on-gpu.sh [--device NAME] [--out DIR]                       from source, with cargo (building is not counted)
#   scripts/bench-on-gpu.sh --bin DIR [--vulkan DIR] [--device NAME] [--out DIR]   from binaries that --pack made
#   scripts/bench-on-gpu.sh --pack DIR                                        builds those, to carry to a machine without cargo
#
#   --device NAME   gpu (any adapter, hardware first: the default), or a part of an adapter's name
#   --vulkan DIR    folder with libvulkan.so.1, for a machine without a Vulkan loader (default: DIR of --bin, its folder vulkan)
#   --out DIR       default: runs/bench-on-gpu-TIME; must not exist
#
#   ISACBENCH_GRID=default    sizes of the benches: small, default or large
#   SECONDS_ALL=570           for everything; parts that do not fit are cut and named as cut
#   SECONDS_TESTS=140 SECONDS_BENCHES=260 SECONDS_PEERS=110   the most for these parts
#   TESTS="..."               test binaries to build and run (default: equiv)
#   PEERS=auto                auto: where jax computes on a GPU; any: also where it does not; no: never
#   PEER_ENVS="16384 65536"   environments of the peers of task v2x; those of task misac are a sixteenth
#   PROGRAM_FLAGS="--features nvml"   features of the program
#
# The folder has manifest.json (machine, versions, each step with its seconds and whether it passed, failed, was cut or
# skipped), the logs, criterion's samples with their records, the report of `isacbench bench`, and the peers' lines.
# Exit code: 0 if nothing failed; what was cut has not failed.
set -uo pipefail
root=$(cd "$(dirname "$0")/.." 2>/dev/null && pwd)

die() { echo "bench-on-gpu: $*" >&2 && exit 2; }

device=gpu bin="" vulkan="" out="" pack=""
while [ $# -gt 0 ]; do
    case $1 in
    --device | --bin | --vulkan | --out | --pack)
        [ $# -ge 2 ] || die "$1 needs a value"
        case $1 in
        --device) device=$2 ;;
        --bin) bin=$2 ;;
        --vulkan) vulkan=$2 ;;
        --out) out=$2 ;;
        --pack) pack=$2 ;;
        esac
        shift 2
        ;;
    -h | --help) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0" && exit 0 ;;
    *) die "no option '$1' (--help names them)" ;;
    esac
done

tests_wanted() {
    if [ -n "${TESTS:-}" ]; then
        printf '%s\n' $TESTS
    else
        printf '%s\n' equiv
    fi
}

# Prints "KIND NAME PATH" of the program, the bench and each test, building them first.
build() {
    cd "$root" || exit 1
    command -v cargo >/dev/null || die "no cargo: give --bin DIR with binaries that --pack made elsewhere"
    local names=() log status
    while read -r t; do names+=(--test "$t"); done < <(tests_wanted)
    log=$(mktemp)
    # Tests and benches do without reports, which take long to link.
    cargo test --release --no-default-features --no-run "${names[@]}" --bench performance 2> >(tee "$log" >&2)
    status=$?
    [ $status = 0 ] || { rm -f "$log" && die "tests and benches do not build"; }
    # The program last: cargo builds one for the tests too, without reports, in the same place.
    # shellcheck disable=SC2086  # words on purpose
    cargo build --release ${PROGRAM_FLAGS---features nvml} --bin isacbench >&2 || { rm -f "$log" && die "the program does not build"; }
    echo "program isacbench ${CARGO_TARGET_DIR:-$root/target}/release/isacbench"
    sed -n 's|^ *Executable \(.*\) (\(.*\))$|\1 \2|p' "$log" | while read -r source path; do
        case $path in /*) ;; *) path=$root/$path ;; esac
        case $source in
        benches/*) echo "bench performance $path" ;;
        tests/*/main.rs) echo "test $(basename "$(dirname "$source")") $path" ;;
        tests/*) echo "test $(basename "$source" .rs) $path" ;;
        esac
    done
    rm -f "$log"
}

if [ -n "$pack" ]; then
    mkdir -p "$pack/tests" "$pack/peers" || die "cannot write to '$pack'"
    list=$(build) || exit 1
    while read -r kind name path; do
        case $kind in test) to=$pack/tests/$name ;; *) to=$pack/$name ;; esac
        cp "$path" "$to" && { strip "$to" 2>/dev/null || true; }
    done <<<"$list"
    cp "$root"/benches/peers/*.py "$pack/peers/"
    cp "$0" "$pack/bench-on-gpu.sh"
    git -C "$root" rev-parse HEAD >"$pack/revision" 2>/dev/null || true
    [ -z "$(git -C "$root" status --porcelain --untracked-files=no 2>/dev/null | head -1)" ] || echo "with local changes" >>"$pack/revision"
    echo "$pack: $(du -sh "$pack" | cut -f1) in $(find "$pack" -type f | wc -l) files, much of it alike: tar and xz make it small"
    echo "there: bench-on-gpu.sh --bin FOLDER"
    exit 0
fi

if [ -n "$bin" ]; then
    bin=$(cd "$bin" && pwd) || die "no folder '$bin'"
    [ -x "$bin/isacbench" ] && [ -x "$bin/performance" ] || die "'$bin' lacks isacbench or performance: make it with --pack"
    list=$(
        echo "program isacbench $bin/isacbench"
        echo "bench performance $bin/performance"
        for t in "$bin"/tests/*; do
            [ -x "$t" ] && { [ -z "${TESTS:-}" ] || [[ " $TESTS " = *" $(basename "$t") "* ]]; } && echo "test $(basename "$t") $t"
        done
    )
    peers=$bin/peers
    revision=$(paste -sd ' ' "$bin/revision" 2>/dev/null)
    [ -z "$vulkan" ] && [ -d "$bin/vulkan" ] && vulkan=$bin/vulkan
else
    list=$(build) || exit 1
    peers=$root/benches/peers
    revision=$(git -C "$root" rev-parse HEAD 2>/dev/null)
    [ -z "$(git -C "$root" status --porcelain --untracked-files=no 2>/dev/null | head -1)" ] || revision="$revision with local changes"
fi
binary() { sed -n "s|^$1 $2 ||p" <<<"$list" | head -1; }
program=$(binary program isacbench) performance=$(binary bench performance)

if [ -n "$vulkan" ]; then
    vulkan=$(cd "$vulkan" && pwd) || die "no folder '$vulkan'"
    export LD_LIBRARY_PATH="$vulkan${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
fi
# Containers often have NVIDIA's driver where no loader looks.
if [ -z "${VK_ICD_FILENAMES:-}${VK_DRIVER_FILES:-}" ] && ! ls /usr/share/vulkan/icd.d/*.json /etc/vulkan/icd.d/*.json /usr/local/share/vulkan/icd.d/*.json >/dev/null 2>&1; then
    for icd in /usr/local/*/share/vulkan/icd.d/nvidia_icd.json /usr/local/*/vulkan/icd.d/nvidia_icd.json; do
        [ -e "$icd" ] && export VK_DRIVER_FILES=$icd && break
    done
fi
export NODEVICE_SELECT="${NODEVICE_SELECT:-1}" REQUIRE_GPU=1

out=${out:-$root/runs/bench-on-gpu-$(date -u +%Y%m%dT%H%M%SZ)}
[ ! -e "$out" ] || die "'$out' exists: results are not written over others"
mkdir -p "$out/tests" "$out/peers" || die "cannot write to '$out'"
out=$(cd "$out" && pwd)
: >"$out/steps.tsv"
started=$(date -u +%Y-%m-%dT%H:%M:%SZ)
SECONDS=0
all=${SECONDS_ALL:-570}
failures=0

# step NAME MOST LOG COMMAND…: at most MOST seconds and what is left of all; its end is noted.
step() {
    local name=$1 most=$2 log=$3 left status verdict from
    shift 3
    left=$((all - SECONDS))
    # The report of what was measured always has its turn.
    [ "$name" = report ] || left=$((left - 40))
    [ "$most" -le "$left" ] || most=$left
    if [ "$most" -lt 3 ]; then
        note "$name" "cut" 0 "no time left"
        return 0
    fi
    from=$SECONDS
    timeout -k 5 "$most" "$@" >"$log" 2>&1
    status=$?
    case $status in
    0) verdict=passed ;;
    124 | 137) verdict=cut ;;
    *) verdict=failed ;;
    esac
    note "$name" "$verdict" $((SECONDS - from)) "$([ $verdict = cut ] && echo "after $most s")$([ $verdict = failed ] && echo "exit code $status, see ${log#"$out"/}")"
}
note() {
    [ "$2" != failed ] || failures=$((failures + 1))
    printf '%s\t%s\t%s\t%s\n' "$1" "$2" "$3" "$4" >>"$out/steps.tsv"
    echo "$1: $2 ($3 s)${4:+: $4}"
}

card() { nvidia-smi --query-gpu=name,driver_version,memory.total,power.limit,power.draw,clocks.sm,clocks.max.sm,clocks.mem,temperature.gpu --format=csv >"$out/$1" 2>/dev/null || rm -f "$out/$1"; }

card nvidia-smi-before.csv
step devices 20 "$out/devices.json" "$program" devices --json
step check 60 "$out/check.txt" "$program" check --device "$device"

tests_end=$((SECONDS + ${SECONDS_TESTS:-140}))
while read -r kind name path; do
    [ "$kind" = test ] || continue
    left=$((tests_end - SECONDS))
    if [ "$left" -lt 3 ]; then note "test $name" cut 0 "the time of the tests is over"; else ISACBENCH_DEVICE=$device step "test $name" "$left" "$out/tests/$name.txt" "$path"; fi
done <<<"$list"

CRITERION_HOME=$out/criterion ISACBENCH_DEVICE=$device step benches "${SECONDS_BENCHES:-260}" "$out/benches.txt" "$performance" --bench

# The peers on the same card.
backend=$(timeout 40 python3 -c 'import jax, optax; print(jax.default_backend())' 2>"$out/peers/jax.txt")
peers_end=$((SECONDS + ${SECONDS_PEERS:-110}))
case ${PEERS:-auto}:$backend in
no:*) note peers skipped 0 "PEERS=no" ;;
*:) note peers skipped 0 "python3 cannot import jax and optax" ;;
auto:cpu) note peers skipped 0 "jax computes on the CPU here; for that comparison: scripts/compare-peer.sh" ;;
*)
    for b in ${PEER_ENVS:-16384 65536}; do
        for peer in "v2x_ppo_jax.py --agent mlp --minibatches 16 --envs $b" "v2x_ppo_jax.py --agent spiking --minibatches 16 --envs $b" \
            "misac_hmoe_jax.py --envs $((b / 16))"; do
            left=$((peers_end - SECONDS))
            log=$out/peers/$(tr -cs 'a-z0-9\n' '-' <<<"${peer//.py/}").txt
            # shellcheck disable=SC2086  # words on purpose
            if [ "$left" -lt 3 ]; then note "peer $peer" cut 0 "the time of the peers is over"; else step "peer $peer" "$left" "$log" python3 "$peers"/$peer --updates 2; fi
        done
    done
    ;;
esac
card nvidia-smi-after.csv

if [ -d "$out/criterion" ]; then step report 60 "$out/report.txt" "$program" bench --from "$out/criterion" --out "$out/report"; fi

quote() { printf '"%s"' "$(printf '%s' "$1" | tr '\n\t' '  ' | sed 's/\\/\\\\/g; s/"/\\"/g')"; }
{
    printf '{\n  "started_utc": %s,\n  "seconds": %d,\n' "$(quote "$started")" "$SECONDS"
    printf '  "revision": %s,\n  "from": %s,\n' "$(quote "${revision:-unknown}")" "$(quote "$([ -n "$bin" ] && echo "prebuilt binaries" || echo source)")"
    printf '  "adapter": %s,\n' "$(quote "$(head -1 "$out/check.txt" 2>/dev/null)")"
    printf '  "device_asked": %s,\n  "grid": %s,\n' "$(quote "$device")" "$(quote "${ISACBENCH_GRID:-default}")"
    printf '  "cpu": %s,\n  "cores": %s,\n' "$(quote "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1)")" "$(nproc)"
    printf '  "kernel": %s,\n  "jax_backend": %s,\n' "$(quote "$(uname -sr)")" "$(quote "${backend:-none}")"
    printf '  "failures": %d,\n  "steps": [' "$failures"
    comma=""
    while IFS=$'\t' read -r name verdict seconds why; do
        printf '%s\n    {"step": %s, "verdict": "%s", "seconds": %s, "why": %s}' "$comma" "$(quote "$name")" "$verdict" "$seconds" "$(quote "$why")"
        comma=,
    done <"$out/steps.tsv"
    printf '\n  ]\n}\n'
} >"$out/manifest.json"
rm -f "$out/steps.tsv"
echo "$out: $failures failures, $SECONDS s"
[ "$failures" = 0 ]
