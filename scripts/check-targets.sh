#!/usr/bin/env bash
# What other machines have, as far as a Linux machine on x86-64 can tell: types for macOS and Windows; the program for
# 64-bit Arm under emulation; every kernel on a second software Vulkan, with the lowest limits of WebGPU, and under the
# Khronos validation layer, as three trainings are.
#   scripts/check-targets.sh [FILE, default runs/check-targets.txt]
# Needs rustup, python3 and Debian's gcc-aarch64-linux-gnu, libc6-dev-arm64-cross, qemu-user-static,
# mesa-vulkan-drivers, vulkan-validationlayers and chromium (for SwiftShader). Takes an hour on two cores and 3 GB in
# target/; run it before a release. Exit status 1 on failures.
#   ONLY="types arm kernels validation"      the parts
#   ISACBENCH=target/release/isacbench       the program for this machine; absent: it is built
#   PROFILE=release                          what the programs are built with; dev is faster to build
#   PROGRAM_FLAGS="--no-default-features"    flags of the programs, such as these, which leave out figures and tables
set -uo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root" || exit 2
[ $# -le 1 ] || { sed -n '2,12s/^# \{0,1\}//p' "$0" >&2 && exit 2; }
file=${1:-$root/runs/check-targets.txt}
mkdir -p "$(dirname "$file")"
file=$(realpath "$file")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
target=${CARGO_TARGET_DIR:-$root/target}
profile=${PROFILE:-release}
built=$profile
[ "$profile" != dev ] || built=debug
program=${ISACBENCH:-$target/$built/isacbench}
read -ra flags <<<"${PROGRAM_FLAGS:-}"
export NODEVICE_SELECT=1 CARGO_TERM_PROGRESS_WHEN=never
failed=0
say() { echo "$*" | tee -a "$file"; }
wanted() { [[ " ${ONLY:-types arm kernels validation} " == *" $1 "* ]]; }
: >"$file"

# step NAME COMMAND…: runs it; what it says goes to $work/log.
step() {
    local name=$1 began
    shift
    began=$(date +%s)
    if "$@" >"$work/log" 2>&1; then
        say "passed: $name, $(($(date +%s) - began)) s"
    else
        failed=1
        say "FAILED: $name, $(($(date +%s) - began)) s"
        { grep -A 2 'FAILED' "$work/log" || tail -n 30 "$work/log"; } | head -n 30 | sed -e "s#$work/##g" -e "s#$root/##g" -e "s#$HOME/##g" -e 's/^/    /' | tee -a "$file"
        return 1
    fi
}

changes=$(git diff --quiet HEAD -- 2>/dev/null || echo " with changes")
processor=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)
say "scripts/check-targets.sh, revision $(git rev-parse --short=12 HEAD 2>/dev/null)$changes," \
    "$(rustc --version | cut -d' ' -f1-2), $processor, $(nproc) cores, programs ${flags[*]+${flags[*]} }of profile $profile"
[ -z "${ISACBENCH:-}" ] || say "the program for this machine is $ISACBENCH"

# ---- Types for macOS and Windows ----
# Nothing is linked, so nothing of C has to be compiled: a stand-in leaves empty files where a compiler would be.
types() {
    cat >"$work/standin" <<'STANDIN'
#!/bin/sh
for word in "$@"; do
    case "$word" in
        [-/][oO][uU][tT]:*) : >"${word#*:}" ;;
        *.a | *.lib) : >"$word" ;;
    esac
done
STANDIN
    chmod +x "$work/standin"
    local triple name
    for triple in aarch64-apple-darwin x86_64-pc-windows-msvc; do
        rustup target add "$triple" >/dev/null 2>&1
        name=${triple//-/_}
        step "types for $triple" env "CC_$name=$work/standin" "AR_$name=$work/standin" cargo check --target "$triple"
        say "  backends of wgpu: $(cargo tree --target "$triple" -e features -i wgpu-hal 2>/dev/null |
            grep -oE 'wgpu-hal feature "(metal|dx12|vulkan|gles)"' | cut -d'"' -f2 | sort -u | xargs)"
    done
}

# ---- 64-bit Arm under emulation ----
arm() {
    local triple=aarch64-unknown-linux-gnu
    rustup target add "$triple" >/dev/null 2>&1
    export CC_aarch64_unknown_linux_gnu=aarch64-linux-gnu-gcc
    export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
    export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="qemu-aarch64-static -L /usr/aarch64-linux-gnu"
    step "the program for $triple" cargo build --profile "$profile" "${flags[@]}" --target "$triple" || return
    step "arithmetic in NEON lanes, unit tests under qemu" \
        cargo test --profile "$profile" "${flags[@]}" --target "$triple" --lib -- num:: nets::product || true
    grep -E '^test result' "$work/log" | sed 's/^/  /; s/;.*measured//' | tee -a "$file"
    # The metrics of the program there and here.
    local level out
    evaluate() {
        local out=$1
        shift
        local agents=random,last-estimate,genie,ekf,ekf-zf,two-stage
        "$@" evaluate --agent $agents --episodes 256 --device cpu --json >"$out-v2x" &&
            "$@" evaluate --agent dp-causal --set task.slots=20 --episodes 256 --device cpu --json >"$out-misac"
    }
    step "metrics here" evaluate "$work/here" "$program" || return
    for level in neon scalar; do
        out=$work/arm-$level
        step "metrics under qemu, $level" env_of "$level" evaluate "$out" \
            qemu-aarch64-static -L /usr/aarch64-linux-gnu "$target/$triple/$built/isacbench" || continue
        step "metrics under qemu, $level, are those of here, bit for bit" same "$work/here" "$out" &&
            sed 's/^/  /' "$work/log" | tee -a "$file"
    done
}
env_of() {
    local level=$1
    shift
    if [ "$level" = scalar ]; then ISACBENCH_SIMD=scalar "$@"; else "$@"; fi
}
same() {
    python3 - "$1" "$2" <<'PY'
import json, sys
count = 0
def numbers(here, there, at):
    global count
    if isinstance(here, dict):
        assert here.keys() == there.keys(), f"{at}: other keys"
        for key in here:
            numbers(here[key], there[key], f"{at}.{key}")
    elif isinstance(here, list):
        assert len(here) == len(there), f"{at}: another length"
        for i, (a, b) in enumerate(zip(here, there)):
            numbers(a, b, f"{at}[{i}]")
    else:
        # Every number is printed so that it reads back as itself.
        assert here == there, f"{at}: {here} here, {there} there"
        count += isinstance(here, float)
for task in ("v2x", "misac"):
    here, there = (json.load(open(f"{path}-{task}")) for path in sys.argv[1:])
    for a, b in zip(here.get("agents", [here]), there.get("agents", [there])):
        for part in ("metrics", "slots"):
            numbers(a[part], b[part], f"{a['agent']}.{part}")
        print(f"{a['agent']}: {a['device']} and {b['device']}")
assert count > 1000, f"{count} numbers"
print(f"{count} numbers, none differs")
PY
}

# ---- Kernels on two software Vulkans, with all that they have and with the least that WebGPU promises ----
swiftshader=/usr/lib/chromium/vk_swiftshader_icd.json
mesa=$(ls /usr/share/vulkan/icd.d/lvp_icd*.json 2>/dev/null | head -n 1)
# check NAME DRIVER REACH [ENVIRONMENT…]
check() {
    local name=$1 driver=$2 reach=$3
    shift 3
    [ -e "$driver" ] || { failed=1 && say "FAILED: no $driver" && return 1; }
    step "every kernel on $name" env "$@" "ISACBENCH_GPU=$reach" "VK_DRIVER_FILES=$driver" "VK_ICD_FILENAMES=$driver" \
        "$program" check --device gpu
    grep -E '^device|skipped:' "$work/log" | sed 's/^/  /' | tee -a "$file"
    grep -E '^[0-9]+ comparisons' "$work/log" | sed 's/^/  /' | tee -a "$file"
}
kernels() {
    check "Mesa" "$mesa" full
    check "Mesa with the lowest limits of WebGPU and no features" "$mesa" least
    check "SwiftShader" "$swiftshader" full
    check "SwiftShader with the lowest limits of WebGPU and no features" "$swiftshader" least
}

# ---- The Khronos validation layer, with its synchronisation checks ----
validation() {
    cat >"$work/vk_layer_settings.txt" <<LAYER
khronos_validation.debug_action = VK_DBG_LAYER_ACTION_LOG_MSG
khronos_validation.report_flags = error,warn
khronos_validation.enables = VK_VALIDATION_FEATURE_ENABLE_SYNCHRONIZATION_VALIDATION_EXT
khronos_validation.log_filename = $work/validation
LAYER
    local layer=(VK_INSTANCE_LAYERS=VK_LAYER_KHRONOS_validation "VK_LAYER_SETTINGS_PATH=$work" VK_LOADER_DEBUG=layer)
    # silent NAME: the layer was there and wrote nothing.
    silent() {
        if ! grep -q 'VK_LAYER_KHRONOS_validation' "$work/log"; then
            failed=1 && say "FAILED: $1: the layer was not loaded"
        elif [ -s "$work/validation" ]; then
            failed=1 && say "FAILED: $1: $(grep -c 'Validation' "$work/validation") messages, the first:"
            head -n 3 "$work/validation" | cut -c1-400 | sed 's/^/    /' | tee -a "$file"
        else
            say "  the layer is silent"
        fi
        rm -f "$work/validation"
    }
    check "Mesa under validation" "$mesa" full "${layer[@]}"
    silent "every kernel"
    check "Mesa with the lowest limits under validation" "$mesa" least "${layer[@]}"
    silent "every kernel with the lowest limits"
    local agent small
    for agent in ppo spiking-ac h-moe; do
        case $agent in
        h-moe) small=(--set temporal.envs=64 --set task.slots=20) ;;
        *) small=(--set task.slots=20 --set ppo.horizon=20 --set ppo.envs=64 --set ppo.minibatch=320) ;;
        esac
        step "training $agent under validation" env "${layer[@]}" "VK_DRIVER_FILES=$mesa" "VK_ICD_FILENAMES=$mesa" \
            "$program" train --agent "$agent" --device gpu --set train.updates=3 --set train.seeds=[0,1] "${small[@]}" \
            --out "$work/run-$agent"
        silent "training $agent"
    done
}

if wanted types; then types; fi
if [ -z "${ISACBENCH:-}" ] && { wanted arm || wanted kernels || wanted validation; }; then
    step "the program for this machine" cargo build --profile "$profile" "${flags[@]}"
fi
if wanted arm; then arm; fi
if wanted kernels; then kernels; fi
if wanted validation; then validation; fi
[ $failed = 0 ] && say "nothing failed" || say "something failed"
exit $failed
