#!/usr/bin/env bash
# Starts a Ray cluster on the nodes of a Slurm job, and runs a job file on it:
#   sbatch --nodes=4 deploy/slurm.sh JOB [OPTIONS OF factory run]
# The same environment, with `factory` and `ray` on PATH, must be on every node. The corpus is an s3:// address, or a
# path on a file system that all nodes mount and on which a rename is atomic. When the run ends, Slurm ends the rest.
#SBATCH --job-name=persona-factory
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=16
#SBATCH --gpus-per-node=4
#SBATCH --signal=B:TERM@120
set -euo pipefail

# Others on these nodes can reach Ray's ports: a token keeps them out.
RAY_AUTH_TOKEN=$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')
export RAY_AUTH_TOKEN RAY_AUTH_MODE=token
port=$((20000 + SLURM_JOB_ID % 10000))
address=$SLURMD_NODENAME:$port

ray start --head --port="$port" --num-cpus="$SLURM_CPUS_PER_TASK" --include-dashboard=false
if [ "$SLURM_JOB_NUM_NODES" -gt 1 ]; then
    srun --nodes=$((SLURM_JOB_NUM_NODES - 1)) --exclude="$SLURMD_NODENAME" \
        ray start --block --address="$address" --num-cpus="$SLURM_CPUS_PER_TASK" &
fi
# In the place of this script, so that Slurm's signal reaches it: two minutes before the time is up it commits what is
# in progress, and the same command continues from there.
exec factory run "$@" --address "$address"
