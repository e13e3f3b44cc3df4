#!/usr/bin/env bash
# The array job scripts/sweep.slurm on a real Slurm of one host: two shards, one of them killed in the middle and
# requeued; the merged dataset must be, byte for byte, that of a sweep which nobody disturbed. Needs root, and Debian's
# or Ubuntu's slurm-wlm and munge, which it installs if they are missing. The daemons are its own, below FOLDER, and end
# with it.
#   scripts/slurm-test.sh [FOLDER, default runs/slurm-test]
# Writes FOLDER/log.txt. Exit status 1 if anything differs. ISACBENCH names another program, SWEEP another sweep file.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=${1:-runs/slurm-test}
file=${SWEEP:-configs/sweep-v2x-tiny.toml}
program=${ISACBENCH:-}
[ "$(id -u)" = 0 ] || { echo "slurm-test: starts daemons of Slurm and needs root" >&2 && exit 2; }
if ! command -v slurmctld >/dev/null || ! command -v slurmd >/dev/null || ! command -v munged >/dev/null; then
    command -v apt-get >/dev/null || { echo "slurm-test: no slurm-wlm and no apt-get to install it" >&2 && exit 2; }
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends slurm-wlm munge >/dev/null
fi
if [ -z "$program" ]; then
    cargo build --release
    program=${CARGO_TARGET_DIR:-target}/release/isacbench
fi
program=$(realpath "$program")
rm -rf "$folder"
mkdir -p "$folder"
log=$folder/log.txt
say() { echo "$*" | tee -a "$log"; }

# One controller, one node, keys of their own.
daemons=$(realpath "$folder")/daemons
host=$(hostname -s)
mkdir -p "$daemons"/{state,spool}
chmod 755 "$daemons"
head -c 1024 /dev/urandom >"$daemons/munge.key"
chmod 600 "$daemons/munge.key"
munged --force --key-file="$daemons/munge.key" --socket="$daemons/munge.socket" --pid-file="$daemons/munged.pid" \
    --log-file="$daemons/munged.log" --seed-file="$daemons/munge.seed"
cat >"$daemons/slurm.conf" <<CONF
ClusterName=one
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
SlurmctldPort=16817
SlurmdPort=16818
AuthType=auth/munge
# Slurm holds a requeued job back until its old credentials are over.
AuthInfo=socket=$daemons/munge.socket,cred_expire=5
StateSaveLocation=$daemons/state
SlurmdSpoolDir=$daemons/spool
SlurmctldPidFile=$daemons/slurmctld.pid
SlurmdPidFile=$daemons/slurmd.pid
SlurmctldLogFile=$daemons/slurmctld.log
SlurmdLogFile=$daemons/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
ReturnToService=2
KillWait=5
NodeName=$host NodeAddr=127.0.0.1 CPUs=2 State=UNKNOWN
PartitionName=main Nodes=$host Default=YES MaxTime=INFINITE State=UP OverSubscribe=FORCE:2
CONF
export SLURM_CONF=$daemons/slurm.conf
end() {
    for daemon in slurmd slurmctld munged; do
        if [ -s "$daemons/$daemon.pid" ]; then kill "$(cat "$daemons/$daemon.pid")" 2>/dev/null || true; fi
    done
}
trap end EXIT
slurmctld
slurmd
for _ in $(seq 60); do
    [ "$(sinfo -h -o %t 2>/dev/null | head -1)" = idle ] && break
    sleep 0.5
done
[ "$(sinfo -h -o %t)" = idle ] || { say "Slurm did not start: see $daemons/*.log" && exit 1; }
say "$(sinfo --version), one controller, one node, $(nproc) CPUs"

parts() { (cd "$1/data" 2>/dev/null && find . -name '*.parquet' -print0 | sort -z | xargs -0r sha256sum) || true; }
count() { find "$1" -name '*.parquet' 2>/dev/null | wc -l; }
state() { scontrol show job "$1" 2>/dev/null | grep -o 'JobState=[A-Z]*' | head -1 | cut -d= -f2; }
# until SECONDS WORDS COMMAND…: the command, again and again, until it succeeds.
until_true() {
    local end=$((SECONDS + $1)) what=$2
    shift 2
    until "$@"; do
        if [ "$SECONDS" -ge "$end" ]; then say "gave up waiting: $what" && exit 1; fi
        sleep 0.05
    done
}

"$program" sweep "$file" --device cpu --out "$folder/undisturbed" >"$folder/undisturbed.txt" 2>&1 ||
    { say "the undisturbed sweep failed: $(grep -a '^error' "$folder/undisturbed.txt")" && exit 1; }
parts "$folder/undisturbed" >"$folder/want"
say "sweep $file: $(wc -l <"$folder/want") points"

export ISACBENCH=$program
job=$(sbatch --parsable --array=1-2 --output="$folder/slurm-%a.log" scripts/sweep.slurm "$file" "$folder/shards")
say "array job of two shards submitted"
first_part() { [ "$(count "$folder/shards/shard-1")" -gt 0 ]; }
until_true 120 "shard 1 commits a point" first_part
# As the kernel does it when memory runs out: the program dies, its job fails.
pkill -KILL -f -- "--shard 1/2 --out $folder/shards"
failed() { [ "$(state "${job}_1")" = FAILED ]; }
until_true 60 "Slurm sees that shard 1 was killed" failed
there=$(count "$folder/shards/shard-1")
say "shard 1: SIGKILL with $there of its points there, job state $(state "${job}_1")"
parts "$folder/shards/shard-1" >"$folder/before"
if "$program" merge "$folder"/shards/shard-* --out "$folder/early" >"$folder/early.txt" 2>&1; then
    say "merge took shards of which one is not complete" && exit 1
fi
say "merge refuses as long as a shard is not complete: $(grep -a '^error' "$folder/early.txt")"
scontrol requeue "${job}_1"
say "shard 1 requeued"
done_both() { [ "$(state "${job}_1")" = COMPLETED ] && [ "$(state "${job}_2")" = COMPLETED ]; }
until_true 300 "both shards end" done_both
restarts=$(scontrol show job "${job}_1" | grep -o 'Restarts=[0-9]*')
say "both shards completed ($restarts of shard 1)"
[ -z "$(comm -23 <(sort "$folder/before") <(parts "$folder/shards/shard-1" | sort))" ] || { say "points that were there before are gone or others" && exit 1; }
"$program" merge "$folder"/shards/shard-* --out "$folder/merged" >/dev/null
parts "$folder/merged" >"$folder/got"
if cmp -s <(sort "$folder/want") <(sort "$folder/got"); then
    say "merged dataset: $(wc -l <"$folder/got") points, equal to the undisturbed one byte for byte"
else
    say "merged dataset differs from the undisturbed one" && exit 1
fi
rm -f "$folder"/{before,want,got,early.txt,undisturbed.txt}
