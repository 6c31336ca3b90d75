#!/bin/bash
# A Slurm job that is one worker of the station for as long as the job lasts: sbatch deploy/slurm/pilot.sh
# See README.md beside this file. Change the lines of your cluster: cpus, memory, time, partition.
#SBATCH --job-name=contimg-worker
#SBATCH --cpus-per-task=2
#SBATCH --mem=8G
#SBATCH --time=12:00:00
# Half an hour before the end (Slurm may be a minute early): longer than the longest run.
#SBATCH --signal=B:TERM@1800
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=contimg-worker-%j.log
set -euo pipefail
# Job control: without it the shell's background ignores interrupts, and so would every stage.
set -m

# Addresses and passwords: a file that only you can read, never the job's command line.
set -a
source "${CONTIMG_ENVIRONMENT:-$HOME/.config/contimg.env}"
set +a

"${CONTIMG_BIN:?is not set in the environment file}/celery" -A contimg_assets.resources.celery_app worker \
    -Q bulk -n "slurm-$SLURM_JOB_ID@%h" --loglevel INFO &
worker=$!
# The worker ends the run in hand, takes no other, and is gone; then so is the job.
trap 'echo "draining before the walltime"; kill -TERM "$worker"' TERM
code=0
wait "$worker" || code=$?
# The signal ended that wait, not the worker.
while kill -0 "$worker" 2>/dev/null; do
    code=0
    wait "$worker" || code=$?
done
exit "$code"
