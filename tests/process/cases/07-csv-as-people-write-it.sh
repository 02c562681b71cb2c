#!/usr/bin/env bash
# CSV files as people write them are trained on: quoted separators and quotes in a header, semicolons with decimal commas, an
# index column, names as classes.
set -eu
: "${MUSTER:?the folder of the binaries}"
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
cd "$folder"
cat > job.yaml <<YAML
apiVersion: muster.dev/v1alpha1
kind: DistributedJob
metadata: {name: csv}
spec:
  workers:
    template:
      spec:
        containers: [{name: worker, volumeMounts: [{name: data, mountPath: /data}]}]
        volumes: [{name: data, hostPath: {path: "$PWD"}}]
  training: {model: {name: softmax}, dataset: {name: csv, path: /data/d.csv}, optimizer: {learningRate: 0.1}, epochs: 5}
  runPolicy: {maxRestarts: 0}
YAML
train() {  # WHAT: trains on d.csv
  if ! timeout 90 "$MUSTER/muster" run job.yaml --output json --output-dir out > out.json 2> log; then
    echo "FAULT: $1: $(tail -3 log)"
    exit 1
  fi
  echo "ok: $1"
}
{
  echo '"width, cm","height, ""raw""",label'
  for i in $(seq 40); do echo "\"$((i % 2)).$i\",$((1 - i % 2)).$i,$((i % 2))"; done
} > d.csv
train "quoted separators"
{
  echo ';width;height;label'
  for i in $(seq 40); do echo "$((i - 1));$((i % 2)),$i;+$((1 - i % 2)),$i;$([ $((i % 2)) = 1 ] && echo wide || echo high)"; done
} > d.csv
train "semicolons, decimal commas, an index and names"
