#!/usr/bin/env bash
#SBATCH --job-name=rsuq-shards
#SBATCH --gres=gpu:1
#SBATCH --time=04:00:00
# One run shared out to the tasks of a job array, each with a database of its own, and merged when all are done.
#
#     TASKS=16 bash examples/slurm_array.sh --model resnet110 --dataset cifar10 --sigma 0.25 --preset paper
#
# Where there is no queue, the tasks run side by side on this machine. Give the same command again to go on with what is
# missing: finished inputs are not sampled again. The first task begins the run and fixes its bins for all of them.
set -uo pipefail
TASKS=${TASKS:-4}
FOLDER=${FOLDER:-shards}

# The work of task $1: its shard, in its own database.
task() {
  local number=$1
  shift
  rsuq certify "$@" --shard "$number/$TASKS" --db "$FOLDER/$number.db" > /dev/null
}

# Samples the first shard, which begins the run, and gives every other task a copy of its database.
begin() {
  mkdir -p "$FOLDER"
  [ -e "$FOLDER/begun" ] && return
  task 1 "$@" || return
  for number in $(seq 2 "$TASKS"); do
    rsuq db backup "$FOLDER/$number.db" --force --db "$FOLDER/1.db" > /dev/null || return
  done
  touch "$FOLDER/begun"
}

collect() {
  for number in $(seq 1 "$TASKS"); do
    rsuq db merge "$FOLDER/$number.db" > /dev/null || return
  done
  rsuq report
}

if [ -n "${SLURM_ARRAY_TASK_ID:-}" ]; then
  task "$SLURM_ARRAY_TASK_ID" "$@"
elif [ -n "${SLURM_JOB_ID:-}" ]; then
  case ${STEP:?} in
    begin) begin "$@" ;;
    collect) collect ;;
  esac
elif command -v sbatch > /dev/null; then
  export TASKS FOLDER
  first=$(STEP=begin sbatch --parsable --export=ALL "$0" "$@") || exit
  array=$(sbatch --parsable --export=ALL --array="2-$TASKS" --dependency="afterok:$first" "$0" "$@") || exit
  STEP=collect sbatch --export=ALL --dependency="afterok:$array" "$0"
else
  begin "$@" || exit
  running=()
  for number in $(seq 1 "$TASKS"); do
    task "$number" "$@" &
    running+=($!)
  done
  failed=0
  for process in "${running[@]}"; do
    wait "$process" || failed=$?
  done
  [ "$failed" -eq 0 ] || exit "$failed"
  collect
fi
