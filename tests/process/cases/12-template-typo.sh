#!/usr/bin/env bash
# Misspelt fields in a pod template are told with their line and path before anything runs, not dropped in silence.
set -u
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
cd "$folder" || exit 1
cat > job.yaml <<YAML
apiVersion: muster.dev/v1alpha1
kind: DistributedJob
metadata: {name: typo}
spec:
  workers:
    template:
      spec:
        containers:
        - name: worker
          image: x
          workdir: /tmp
          environment: {A: b}
          command: [sh, -c, 'touch $folder/ran']
---
apiVersion: muster.dev/v1alpha1
kind: FederatedRound
metadata: {name: typo}
spec:
  rounds: 1
  training: {model: {name: softmax}, dataset: {name: synthetic, synthetic: {devices: 2}}}
  cohort: {size: 1}
  aggregator:
    template: {spec: {volumes: [{name: v, emptydir: {}}]}}
  clients:
    count: 1
    template: {spec: {initContainers: [{name: fetch, image: x, volumeMount: []}]}}
YAML
timeout 90 "$MUSTER/muster" run job.yaml --timeout 60 --output-dir out > out.txt 2> log
code=$?
failed=0
for told in 'job.yaml:11: .*"spec.workers.template.spec.containers\[0\].workdir"' \
  'job.yaml:12: .*"spec.workers.template.spec.containers\[0\].environment"' \
  'job.yaml:23: .*"spec.aggregator.template.spec.volumes\[0\].emptydir"' \
  'job.yaml:26: .*"spec.clients.template.spec.initContainers\[0\].volumeMount"'; do
  grep -q "$told" log || { echo "FAULT: nothing is told of $told"; failed=1; }
done
[ $code = 2 ] && [ ! -e ran ] || { echo "FAULT: exit code $code, and something ran"; failed=1; }
[ $failed = 0 ] && echo "ok: all four are told"
exit $failed
