#!/bin/bash
# A search on the nodes of a Slurm job: `sbatch deploy/slurm.sh studies/mine.yaml -o /shared/runs/mine`
#
# The arguments are those of `nasfuse search`. The environment of nasfuse (VENV) and the run folder (-o) must be on a
# file system that all nodes share. Slurm ends the job with SIGTERM: the search then saves its progress and ends, and
# the same command in a new job continues it.
#SBATCH --job-name=nasfuse
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=8
#SBATCH --time=04:00:00
#SBATCH --signal=B:TERM@60
set -euo pipefail

VENV=${VENV:-.venv}
PORT=${PORT:-6379}

# Only holders of this token may use the cluster.
export RAY_AUTH_MODE=token
RAY_AUTH_TOKEN=$(head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n')
export RAY_AUTH_TOKEN

head=$(hostname)
address="$head:$PORT"
"$VENV/bin/ray" start --head --node-ip-address="$head" --port="$PORT" --num-cpus="$SLURM_CPUS_PER_TASK" \
    --disable-usage-stats --block &
ray=$!
trap 'kill "$ray"' EXIT
until (: >"/dev/tcp/$head/$PORT") 2>/dev/null; do
    kill -0 "$ray" # ends the job if Ray could not start
    sleep 1
done

others=$((SLURM_JOB_NUM_NODES - 1))
if ((others > 0)); then
    srun --nodes="$others" --ntasks="$others" --exclude="$head" \
        "$VENV/bin/ray" start --address="$address" --num-cpus="$SLURM_CPUS_PER_TASK" --disable-usage-stats --block &
fi

# In the background, so that the signal of Slurm reaches this script, which passes it on.
"$VENV/bin/nasfuse" search "$@" --address "$address" &
search=$!
trap 'kill -TERM "$search"' TERM
wait "$search" && status=0 || status=$?
if ((status > 128)); then
    wait "$search" && status=0 || status=$? # the first wait ended with the signal, not with the search
fi
exit "$status"
