#!/usr/bin/env bash
# Objectives tried from one Gaussian network: each is fine-tuned for about the same time, certified on the same inputs
# with the same noise, and compared with the Gaussian one by paired intervals.
#
#   examples/objectives.sh            on the digits, in a few minutes
#   MODEL=resnet20 DATASET=cifar10 EPOCHS=90 examples/objectives.sh
set -euo pipefail

MODEL=${MODEL:-cnn} DATASET=${DATASET:-digits} SIGMA=${SIGMA:-0.5} N=${N:-1000} LIMIT=${LIMIT:-200}
EPOCHS=${EPOCHS:-60} TUNED=${TUNED:-12}
export RSUQ_DB=${RSUQ_DB:-objectives.db}
data=(--model "$MODEL" --dataset "$DATASET" --sigma "$SIGMA")

rsuq train "${data[@]}" --epochs "$EPOCHS" --name base
# As many epochs as take about as long as those of the Gaussian objective.
tune() { rsuq train "${data[@]}" --init base --epochs "$1" --name "$2" --objective "${@:3}"; }
tune "$TUNED" gaussian gaussian
tune $(((TUNED + 1) / 2)) consistency consistency
tune $(((TUNED + 5) / 6)) smoothadv smoothadv --set noises=2 --set steps=2 --set epsilon=0.5
tune $(((TUNED + 3) / 4)) macer macer --set noises=4

for name in gaussian consistency smoothadv macer; do
  rsuq certify "${data[@]}" --checkpoint "$name" --n "$N" --limit "$LIMIT" --uncertainty margin --name "$name" > /dev/null
done
rsuq report --sort -acr_standard
for other in 2 3 4; do
  rsuq report --paired 1 "$other"
done
