#!/usr/bin/env bash
# Kills a sweep with SIGKILL at random moments, continues it, and compares the dataset with that of a run that nobody disturbed, byte for byte.
#   scripts/fault-test.sh [KILLS, default 200] [FOLDER, default runs/fault-test]
# A sweep that got to its end is begun again in a new folder until there were enough kills. Writes FOLDER/log.txt: a line per fault, then
# faults injected, faults survived, points lost. Exit status 1 if anything was lost. ISACBENCH names another program, SWEEP another sweep file,
# SEED the moments.
set -euo pipefail
cd "$(dirname "$0")/.."
kills=${1:-200}
folder=${2:-runs/fault-test}
file=${SWEEP:-configs/sweep-v2x-tiny.toml}
program=${ISACBENCH:-}
if [ -z "$program" ]; then
    cargo build --release
    program=${CARGO_TARGET_DIR:-target}/release/isacbench
fi
RANDOM=${SEED:-1}
rm -rf "$folder"
mkdir -p "$folder"
log=$folder/log.txt
say() { echo "$*" | tee -a "$log"; }
sweep() { "$program" sweep "$file" --device cpu --out "$1" --resume; }
# Checksum and name of every part; what a killed process was writing has another ending and is not one.
parts() { (cd "$1/data" 2>/dev/null && find . -name '*.parquet' -print0 | sort -z | xargs -0r sha256sum) || true; }

begin=$(date +%s%N)
sweep "$folder/undisturbed" >"$folder/undisturbed.txt" 2>&1 || { say "the undisturbed sweep failed: $(grep -a '^error' "$folder/undisturbed.txt")" && exit 1; }
length_ms=$((($(date +%s%N) - begin) / 1000000))
parts "$folder/undisturbed" >"$folder/want"
points=$(wc -l <"$folder/want")
say "sweep $file: $points points, undisturbed in $length_ms ms"

injected=0 survived=0 lost=0 round=1 finished=0
: >"$folder/before"
# Every part that was committed before is there, and every part is what the undisturbed run made of it.
judge() {
    parts "$folder/round-$round" >"$folder/now"
    local gone wrong
    gone=$(comm -23 <(sort "$folder/before") <(sort "$folder/now") | wc -l)
    wrong=$(comm -23 <(sort "$folder/now") <(sort "$folder/want") | wc -l)
    lost=$((lost + gone + wrong))
    cp "$folder/now" "$folder/before"
    echo "$gone $wrong $(wc -l <"$folder/now")"
    [ "$gone" = 0 ] && [ "$wrong" = 0 ]
}
end_of_round() {
    local there
    if ! judge >/dev/null || ! cmp -s <(sort "$folder/before") <(sort "$folder/want"); then
        there=$(wc -l <"$folder/before")
        lost=$((lost + points - there))
        say "round $round: its dataset differs from the undisturbed one ($there of $points points)"
    else
        say "round $round: complete, equal to the undisturbed dataset"
        rm -rf "$folder/round-$round"
    fi
    finished=$((finished + 1))
    round=$((round + 1))
    : >"$folder/before"
}
while [ "$injected" -lt "$kills" ]; do
    fresh=1
    [ -d "$folder/round-$round" ] && fresh=0
    # Not through the function: the process to kill is the program, not a shell around it.
    "$program" sweep "$file" --device cpu --out "$folder/round-$round" --resume >"$folder/out.txt" 2>&1 &
    pid=$!
    wait_ms=$((RANDOM * 32768 + RANDOM))
    began=$(date +%s%N)
    wait_ms=$((wait_ms % length_ms))
    sleep "$(printf '%d.%03d' $((wait_ms / 1000)) $((wait_ms % 1000)))"
    if kill -9 "$pid" 2>/dev/null; then
        code=0
        { wait "$pid"; } 2>/dev/null || code=$?
    else
        code=0
        wait "$pid" || code=$?
    fi
    case $code in
    137)
        injected=$((injected + 1))
        # In a subshell the counters would be lost.
        if judge >"$folder/judged"; then survived=$((survived + 1)); verdict=survived; else verdict=LOST; fi
        read -r gone wrong there <"$folder/judged"
        say "fault $injected: SIGKILL after $wait_ms ms in round $round: $there of $points points there, $gone gone, $wrong wrong: $verdict"
        ;;
    0)
        # It was faster than thought, as on a machine that was busy before: kills must come sooner.
        took_ms=$((($(date +%s%N) - began) / 1000000))
        [ "$fresh" = 1 ] && [ "$took_ms" -lt "$length_ms" ] && length_ms=$took_ms
        end_of_round
        ;;
    *)
        say "round $round: the sweep failed with $code: $(grep -a '^error' "$folder/out.txt" || tail -1 "$folder/out.txt")"
        lost=$((lost + points))
        break
        ;;
    esac
done
# What the last kill left is continued to its end.
if [ -d "$folder/round-$round" ] && [ "$lost" = 0 ]; then
    if sweep "$folder/round-$round" >"$folder/out.txt" 2>&1; then
        end_of_round
    else
        say "round $round: the sweep failed: $(grep -a '^error' "$folder/out.txt")"
        lost=$((lost + points))
    fi
fi
rm -f "$folder"/{before,now,judged,out.txt,undisturbed.txt}
say "faults injected: $injected, faults survived: $survived, points lost: $lost (a point is all its rows); $finished rounds to the end"
[ "$lost" = 0 ] && [ "$injected" = "$survived" ]
