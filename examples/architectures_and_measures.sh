#!/usr/bin/env bash
# Which measure of uncertainty suits which architecture? Every pair at the same coverages, from one sampling each.
#
#     bash examples/architectures_and_measures.sh
#     MODELS="resnet20 resnet110" DATASET=cifar10 N=100000 bash examples/architectures_and_measures.sh
set -euo pipefail
MODELS=${MODELS:-"mlp cnn"} DATASET=${DATASET:-digits} SIGMA=${SIGMA:-0.25} N=${N:-10000}
MEASURES=${MEASURES:-"entropy confidence margin"} COVERAGES=${COVERAGES:-"0.95 0.9 0.8 0.7"}

readings=()
for measure in $MEASURES; do readings+=(--uncertainty "$measure"); done
for coverage in $COVERAGES; do readings+=(--coverage "$coverage"); done

for model in $MODELS; do
  common=(--model "$model" --dataset "$DATASET" --sigma "$SIGMA")
  # One pass over the noise counts for every measure and coverage.
  certify() { rsuq certify "${common[@]}" "${readings[@]}" --n "$N" ${LIMIT:+--limit "$LIMIT"} > /dev/null; }
  # Exit code 2: there is no checkpoint of this model yet.
  certify || { [ $? -eq 2 ] || exit; rsuq train "${common[@]}" ${EPOCHS:+--epochs "$EPOCHS"}; certify; }
done

# The gain never stands alone: at equal coverage, beside what it costs.
for coverage in $COVERAGES; do
  echo; echo "coverage $coverage"
  where="dataset = \"$DATASET\" and sigma = $SIGMA and threshold_coverage = $coverage"
  rsuq report --latest --where "$where" --by model --by uncertainty --figure gain
  rsuq report --latest --where "$where" --by model --by uncertainty --figure cc_cost
done
