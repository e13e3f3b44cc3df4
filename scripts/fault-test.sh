#!/usr/bin/env bash
# Kills a sweep, a training, a reproduction and a tuning with SIGKILL at random moments, continues them, and compares
# what they leave with that of runs that nobody disturbed, byte for byte. Then two processes want one folder, and disks
# are full.
#   scripts/fault-test.sh [KILLS, default 200] [FOLDER, default runs/fault-test]
# KILLS are dealt out to the four jobs. A job that got to its end is begun again in a new folder until there were enough
# kills. A disk is a small tmpfs where this user may mount one, else files may not grow beyond a limit. Writes
# FOLDER/log.txt: a line per fault, then faults injected, faults survived, points lost. Exit status 1 if anything was
# lost. ISACBENCH names another program, SWEEP another sweep file, SEED the moments.
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
disk=$folder/disk
umount "$disk" 2>/dev/null || true
trap 'umount "$disk" 2>/dev/null || true' EXIT
rm -rf "$folder"
mkdir -p "$folder"
log=$folder/log.txt
say() { echo "$*" | tee -a "$log"; }

small=(task.slots=10 task.antennas_tx=8 task.antennas_rx=8 ppo.hidden=[8] spiking.hidden=[] ppo.envs=8 ppo.horizon=10 ppo.minibatch=40 spiking.steps=2
    evaluate.episodes=64 reproduce.checkpoint_every=10)
for agent in ddpg dqn; do small+=("$agent.hidden=[8]" "$agent.envs=4" "$agent.capacity=160" "$agent.minibatch=16" "$agent.learning_starts=40"); done
# The command of a job but for its folder.
words_of() {
    local keys=("${small[@]}")
    case $1 in
    sweep) words=(sweep "$file" --device cpu) && return ;;
    train) words=(train --agent spiking-ac --device cpu) && keys+=("train.seeds=[0,1,2,3]" train.updates=200) ;;
    reproduce)
        words=(reproduce spiking-ac --scale smoke --device cpu)
        keys+=("train.seeds=[0,1]" train.updates=40 "reproduce.p_max_dbm=[0,40]")
        ;;
    tune) words=(tune v2x --agent ppo,ddpg --trials 8 --budget 8000 --halving 2 --device cpu) ;;
    esac
    local key
    for key in "${keys[@]}"; do words+=(--set "$key"); done
}
# What a process that is killed must have left whole, a line each: checksum and name of every part of a dataset, and
# every row of a training. What it was writing has another ending and is none of it.
items() {
    [ -d "$1" ] || return 0
    (cd "$1" && {
        [ ! -d data ] || find data -name '*.parquet' -print0 | xargs -0r sha256sum
        find . -name '*.jsonl' -print0 | xargs -0r grep -H ''
    }) | sort
}
# Checksum and name of every file of a finished job, but for those that tell of time and process.
files() {
    (cd "$1" && find . -type f ! -name manifest.json ! -name lock ! -name 'report.*' -print0 | sort -z | xargs -0r sha256sum)
}
# The errors of a job that failed, and whether it said one line and did not panic.
why() { grep -a '^error\|panicked' "$1" || tail -1 "$1"; }
in_order() { [ "$(grep -ac '^error: ' "$1")" = 1 ] && ! grep -aq panicked "$1"; }

injected=0 survived=0 lost=0 wrong=0 finished=0
# Compares a job that came to its end with the undisturbed one; the rest are words for the log.
same() {
    files "$1" >"$folder/now"
    if cmp -s "$folder/now" "$want/files"; then
        say "$2: complete, equal to the undisturbed $job"
    else
        lost=$((lost + $(comm -13 <(sort "$folder/now") <(sort "$want/files") | wc -l)))
        wrong=$((wrong + 1))
        say "$2: differs from the undisturbed $job: $(comm -3 <(sort "$folder/now") <(sort "$want/files") | awk '{print $NF}' | sort -u | head -5 | paste -sd' ')"
    fi
}

kill_often() {
    local kills=$1 round=1 mine=0 pid code wait_ms began took_ms gone bad verdict fresh out
    : >"$folder/before"
    while [ "$mine" -lt "$kills" ] && [ "$wrong" = 0 ]; do
        out=$folder/$job-$round
        fresh=1
        [ -d "$out" ] && fresh=0
        # Not through a function: the process to kill is the program, not a shell around it.
        "$program" "${words[@]}" --out "$out" --resume >"$folder/out.txt" 2>&1 &
        pid=$!
        wait_ms=$(((RANDOM * 32768 + RANDOM) % length_ms))
        began=$(date +%s%N)
        sleep "$(printf '%d.%03d' $((wait_ms / 1000)) $((wait_ms % 1000)))"
        code=0
        kill -9 "$pid" 2>/dev/null || true
        { wait "$pid"; } 2>/dev/null || code=$?
        case $code in
        137)
            mine=$((mine + 1))
            # Every item that was there before is there, and every item is what the undisturbed run made of it.
            items "$out" >"$folder/now"
            gone=$(comm -23 "$folder/before" "$folder/now" | wc -l)
            bad=$(comm -23 "$folder/now" "$want/items" | wc -l)
            mv "$folder/now" "$folder/before"
            lost=$((lost + gone + bad))
            injected=$((injected + 1))
            if [ $((gone + bad)) = 0 ]; then survived=$((survived + 1)); verdict=survived; else verdict=LOST; fi
            say "fault $injected: SIGKILL after $wait_ms ms in round $round of $job: $(wc -l <"$folder/before") of $points points there, $gone gone, $bad wrong: $verdict"
            ;;
        0)
            # It was faster than thought, as on a machine that was busy before: kills must come sooner.
            took_ms=$((($(date +%s%N) - began) / 1000000))
            [ "$fresh" = 1 ] && [ "$took_ms" -lt "$length_ms" ] && length_ms=$took_ms
            end_of_round
            ;;
        *)
            say "round $round: the $job failed with $code: $(why "$folder/out.txt")"
            wrong=$((wrong + 1))
            ;;
        esac
    done
    # What the last kill left is continued to its end.
    out=$folder/$job-$round
    if [ -d "$out" ] && [ "$wrong" = 0 ]; then
        if "$program" "${words[@]}" --out "$out" --resume >"$folder/out.txt" 2>&1; then
            end_of_round
        else
            say "round $round: the $job failed: $(why "$folder/out.txt")"
            wrong=$((wrong + 1))
        fi
    fi
}
end_of_round() {
    same "$out" "round $round"
    [ "$wrong" != 0 ] || rm -rf "$out"
    finished=$((finished + 1))
    round=$((round + 1))
    : >"$folder/before"
}

# One begins, the others find it there; then two begin at once.
two_processes() {
    local out=$folder/two first code option codes
    "$program" "${words[@]}" --out "$out" >"$folder/first.txt" 2>&1 &
    first=$!
    until [ -s "$out/lock" ]; do sleep 0.01; done
    for option in "" --resume --force; do
        [[ "$job$option" != @(sweep|tune)--force ]] || continue
        injected=$((injected + 1)) code=0
        "$program" "${words[@]}" --out "$out" $option >"$folder/out.txt" 2>&1 || code=$?
        if [ "$code" = 1 ] && in_order "$folder/out.txt" && grep -q "in use by process $first" "$folder/out.txt"; then
            survived=$((survived + 1))
        elif ! jobs -rp | grep -qx "$first"; then
            # On a busy machine the first can be over before the second looks: no fault then.
            injected=$((injected - 1))
            rm -rf "$out"
            "$program" "${words[@]}" --out "$out" >"$folder/first.txt" 2>&1 &
            first=$!
            until [ -s "$out/lock" ]; do sleep 0.01; done
        else
            wrong=$((wrong + 1))
            say "a second $job ${option:-without option} ended with $code: $(why "$folder/out.txt")"
        fi
    done
    wait "$first" || say "the first of two failed: $(why "$folder/first.txt")"
    same "$out" "two processes, one after the other"
    rm -rf "$out"
    injected=$((injected + 1))
    "$program" "${words[@]}" --out "$out" --resume >"$folder/first.txt" 2>&1 &
    first=$!
    codes=0
    "$program" "${words[@]}" --out "$out" --resume >"$folder/out.txt" 2>&1 || codes=$?
    code=0
    wait "$first" || code=$?
    if [ $((codes + code)) = 1 ]; then survived=$((survived + 1)); else
        wrong=$((wrong + 1))
        say "two at once ended with $code and $codes: $(why "$folder/first.txt") $(why "$folder/out.txt")"
    fi
    same "$out" "two processes at once"
    rm -rf "$out"
}

# Room for a share of what the job writes: it fails with one line of error, and continues to the same end when there is
# room.
full_disk() {
    local share out code size
    for share in 10 40 70; do
        code=0
        mkdir -p "$disk"
        size=$(($(du -sk "$want/folder" | cut -f1) * share / 100 + 4))
        if mount -t tmpfs -o "size=${size}k" isacbench-fault-test "$disk" 2>/dev/null; then
            out=$disk/job how="a disk of $size KiB"
            "$program" "${words[@]}" --out "$out" --resume >"$folder/out.txt" 2>&1 || code=$?
        else
            size=$(($(find "$want/folder" -type f -printf '%k\n' | sort -n | tail -1) * share / 100))
            out=$folder/full how="files of at most $size KiB"
            # A write beyond the limit is an error, not a signal.
            (trap '' XFSZ && ulimit -f "$size" && exec "$program" "${words[@]}" --out "$out" --resume) >"$folder/pipe.txt" 2> >(cat >"$folder/out.txt") || code=$?
        fi
        injected=$((injected + 1))
        if [ "$code" = 1 ] && in_order "$folder/out.txt"; then
            survived=$((survived + 1))
            say "$job on $how: $(why "$folder/out.txt" | sed "s|$PWD/||g")"
        elif [ "$code" = 0 ]; then
            # It fitted.
            injected=$((injected - 1))
            say "$job on $how: complete"
        else
            wrong=$((wrong + 1))
            say "$job on $how ended with $code: $(why "$folder/out.txt")"
        fi
        [ "$out" = "$folder/full" ] || mount -o remount,size=1g "$disk"
        if "$program" "${words[@]}" --out "$out" --resume >"$folder/out.txt" 2>&1; then
            same "$out" "with room"
        else
            wrong=$((wrong + 1))
            say "with room, the $job failed: $(why "$folder/out.txt")"
        fi
        umount "$disk" 2>/dev/null || true
        rm -rf "$disk" "$folder/full"
    done
}

jobs=(sweep train reproduce tune)
for n in 0 1 2 3; do
    job=${jobs[$n]} want=$folder/undisturbed-${jobs[$n]}
    words_of "$job"
    mkdir -p "$want"
    begin=$(date +%s%N)
    "$program" "${words[@]}" --out "$want/folder" >"$folder/out.txt" 2>&1 || { say "the undisturbed $job failed: $(why "$folder/out.txt")" && exit 1; }
    length_ms=$((($(date +%s%N) - begin) / 1000000))
    items "$want/folder" >"$want/items"
    files "$want/folder" >"$want/files"
    points=$(wc -l <"$want/items")
    say "${job}: $points points, undisturbed in $length_ms ms"
    kill_often $((kills * (n + 1) / 4 - kills * n / 4))
    two_processes
    full_disk
done
rm -rf "$folder"/{before,now,out.txt,first.txt,pipe.txt}
say "faults injected: $injected, faults survived: $survived, points lost: $lost (a point is all rows of a sweep's or a tuning's, or a row of a training); $finished rounds to the end"
[ "$lost" = 0 ] && [ "$wrong" = 0 ] && [ "$injected" = "$survived" ]
