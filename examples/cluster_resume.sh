#!/usr/bin/env bash
#SBATCH --job-name=rsuq
#SBATCH --gres=gpu:1
#SBATCH --time=04:00:00
# A run that takes longer than the queue allows: it stops in time, and goes on in the next job.
#
#     sbatch examples/cluster_resume.sh --model resnet110 --dataset cifar10 --sigma 0.25 --preset paper
#     JOB_SECONDS=600 bash examples/cluster_resume.sh --model cnn --sigma 0.25     (without a queue: one part after another)
#
# Ctrl-C and SIGINT end `rsuq certify` with exit code 130; every finished input is safe by then. The same command goes on
# with the same noise, so the parts together are the run that an uninterrupted one would have been. A part must be long
# enough to finish an input.
set -uo pipefail
JOB_SECONDS=${JOB_SECONDS:-14000}

while true; do
  timeout --preserve-status --signal=INT "$JOB_SECONDS" rsuq certify "$@" > /dev/null
  status=$?
  case $status in
    0) break ;;
    3 | 130) ;; # not finished: go on
    *) exit "$status" ;;
  esac
  if [ -n "${SLURM_JOB_ID:-}" ]; then
    exec sbatch "$0" "$@"
  fi
done
rsuq report
