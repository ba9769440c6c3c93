#!/usr/bin/env bash
# One network at several noise levels: train, certify, compare.
#
#     bash examples/sigma_sweep.sh
#     MODEL=resnet20 DATASET=cifar10 SIGMAS="0.25 0.5 1.0" N=100000 SKIP=20 bash examples/sigma_sweep.sh
#
# Interrupted or run again, it goes on where it stopped: trained networks and sampled inputs are not made twice.
set -euo pipefail
MODEL=${MODEL:-cnn} DATASET=${DATASET:-digits} SIGMAS=${SIGMAS:-"0.12 0.25 0.5"} N=${N:-10000} SKIP=${SKIP:-1}

for sigma in $SIGMAS; do
  common=(--model "$MODEL" --dataset "$DATASET" --sigma "$sigma")
  certify() { rsuq certify "${common[@]}" --n "$N" --skip "$SKIP" ${LIMIT:+--limit "$LIMIT"} > /dev/null; }
  # Exit code 2: there is no checkpoint at this sigma yet.
  certify || { [ $? -eq 2 ] || exit; rsuq train "${common[@]}" ${EPOCHS:+--epochs "$EPOCHS"}; certify; }
done

rsuq report --model "$MODEL" --dataset "$DATASET" --sort sigma --radii 0,0.25,0.5,0.75,1
rsuq report --model "$MODEL" --dataset "$DATASET" --by uncertainty --by sigma --figure acr_cc
