#!/usr/bin/env bash
# A sidecar that never ends by itself (service mesh, log shipper) does not keep a finished job from succeeding, nor a
# failed one from failing, nor a federation from its end.
set -u
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
cd "$folder" || exit 1
failed=0
run() {  # WHAT EXIT_CODE PATTERN: runs job.yaml
  timeout 150 "$MUSTER/muster" run job.yaml --timeout 90 --output json --output-dir out > out.json 2> log
  local code=$?
  if [ $code = "$2" ] && grep -q "$3" out.json; then echo "ok: $1"; return; fi
  echo "FAULT: $1: exit code $code, $(grep -o '"message": *"[^"]*"' out.json | head -1)"; failed=1
}
forever='trap "exit 0" TERM; while :; do sleep 1; done'
job() {  # DATASET SIDECAR: a job of two workers
  cat > job.yaml <<YAML
apiVersion: muster.dev/v1alpha1
kind: DistributedJob
metadata: {name: side}
spec:
  workers:
    replicas: 2
    template:
      spec:
        containers:
        - {name: worker}
        - {name: istio-proxy, image: proxy, command: [sh, -c, '$2']}
  training: {model: {name: softmax}, dataset: $1, epochs: 1}
  runPolicy: {maxRestarts: 0}
YAML
}
synthetic='{name: synthetic, synthetic: {devices: 2}}'
job "$synthetic" "$forever"; run "a job beside a sidecar that never ends" 0 '"phase": "Succeeded"'
job "$synthetic" 'exit 3'; run "a job beside a sidecar that fails" 0 '"phase": "Succeeded"'
job '{name: csv, path: /nowhere.csv}' "$forever"; run "a failure beside a sidecar" 1 'nowhere.csv'
cat > job.yaml <<YAML
apiVersion: muster.dev/v1alpha1
kind: FederatedRound
metadata: {name: side}
spec:
  rounds: 1
  training: {model: {name: softmax}, dataset: $synthetic}
  cohort: {size: 2}
  aggregator:
    template: {spec: {containers: [{name: aggregator}, {name: log, image: log, command: [sh, -c, '$forever']}]}}
  clients:
    count: 2
    template: {spec: {containers: [{name: client}, {name: log, image: log, command: [sh, -c, '$forever']}]}}
YAML
run "a federation beside sidecars" 0 '"phase": "Succeeded"'
exit $failed
