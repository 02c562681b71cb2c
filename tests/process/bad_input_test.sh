#!/usr/bin/env bash
# Bad input and bad surroundings, with the real binaries: each ends with the right exit code and a message that names the
# object, the fact and the remedy, and leaves nothing behind.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

expect() {  # EXIT_CODE PATTERN... : runs `muster run job.yaml`
  local wanted="$1" code pattern; shift
  timeout 60 "$MUSTER" run job.yaml > out.txt 2> err.txt; code=$?
  [ "$code" = "$wanted" ] || fail "exit code $code instead of $wanted: $(tail -5 err.txt)"
  for pattern in "$@"; do check "message" contains err.txt "$pattern"; done
}

text_that_is_not_yaml() {
  printf 'apiVersion: v1\nkind: [Pod\nmetadata: {}\n' > job.yaml
  expect 2 'job.yaml:3:[0-9]+: not YAML' 'correct'
}
file_that_is_missing() {
  timeout 10 "$MUSTER" run nowhere.yaml > out.txt 2> err.txt
  check "exit code" [ $? = 2 ]
  check "message" contains err.txt 'nowhere.yaml: No such file.*check the path'
}
unknown_kind() {
  printf 'apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: x}\n' > job.yaml
  expect 2 'job.yaml:2: unknown kind .Deployment.' 'supported are .*DistributedJob \(muster.dev/v1alpha1\)'
}
name_that_is_missing() {
  printf 'apiVersion: muster.dev/v1alpha1\nkind: DistributedJob\nspec: {}\n' > job.yaml
  expect 2 'no metadata.name' 'add one'
}
misspelt_field() {
  write_job job.yaml ring
  sed -i 's/batchSize:/batchsize:/' job.yaml
  expect 2 'job.yaml:[0-9]+: .*unknown field "spec.training.batchsize"'
}
misspelt_field_of_the_servers_template() {
  write_job job.yaml ring
  echo '  synchronization: {topology: ParameterServer, parameterServers: {template: {spec: {containers: [{name: server, comand: [x]}]}}}}' >> job.yaml
  expect 2 'job.yaml:[0-9]+: .*unknown field "spec.synchronization.parameterServers.template.spec.containers\[0\].comand"'
}
wrong_enum() {
  write_job job.yaml ring
  sed -i 's/name: softmax/name: transformer/' job.yaml
  expect 2 'job.yaml:[0-9]+: .*spec.training.model.name: Unsupported value: "transformer"' 'softmax'
}
negative_replicas() {
  write_job job.yaml ring "" -1
  expect 2 'job.yaml:[0-9]+: .*spec.workers.replicas: Invalid value: -1' 'greater than or equal to 0'
}
several_problems_are_all_told() {
  write_job a.yaml a "" -1
  write_job b.yaml b
  sed -i 's/name: softmax/name: transformer/' b.yaml
  { cat a.yaml; echo ---; cat b.yaml; } > job.yaml
  expect 2 'spec.workers.replicas' 'spec.training.model.name'
}

# with_dataset FOLDER: a job on IDX files of that folder
with_dataset() {
  write_job job.yaml ring
  sed -i -e "s|dataset: .*|dataset: {name: idx, path: /data}|" \
      -e "s|volumeMounts: .*|volumeMounts: [{name: checkpoints, mountPath: /checkpoints}, {name: data, mountPath: /data}]|" \
      -e "s|^        volumes:|        volumes:\n        - name: data\n          hostPath: {path: \"$1\"}|" job.yaml
}
missing_dataset_path() {
  mkdir empty
  with_dataset "$PWD/empty"
  expect 1 'DistributedJob/ring failed' '/empty: has no file train-images-idx3-ubyte or train-images.idx3-ubyte' 'last lines of pod ring-worker-'
}
dataset_volume_that_is_missing() {
  with_dataset "$PWD/nowhere"
  sed -i 's|hostPath: {path: \(.*\)}|hostPath: {path: \1, type: Directory}|' job.yaml
  timeout 30 "$MUSTER" run job.yaml --timeout 8 > out.txt 2> err.txt
  check "exit code" [ $? = 1 ]
  check "why it waits" contains out.txt 'nowhere'
}
truncated_dataset_file() {
  mkdir data
  python3 - <<'PY'
import struct
for name, items in (("train", 100), ("t10k", 20)):
    open(f"data/{name}-images-idx3-ubyte", "wb").write(struct.pack(">IIII", 0x803, items, 28, 28) + bytes(items * 784 - 500))
    open(f"data/{name}-labels-idx1-ubyte", "wb").write(struct.pack(">II", 0x801, items) + bytes(items))
PY
  with_dataset "$PWD/data"
  expect 1 'DistributedJob/ring failed' 'images-idx3-ubyte' 'truncated|short|bytes'
}
loss_that_is_not_a_number() {
  write_job job.yaml ring
  sed -i -e 's/learningRate: 0.05/learningRate: 1000000/' -e 's/epochs: .*/epochs: 50/' \
      -e 's/model: {name: softmax}/model: {name: mlp, hidden: [64, 64]}/' job.yaml
  expect 1 'DistributedJob/ring failed' 'nan|not a number|not finite|finite' 'learningRate'
}
port_that_is_in_use() {
  python3 -c '
import socket, sys, time
s = socket.socket(); s.bind(("127.0.0.1", 0)); s.listen(); print(s.getsockname()[1], flush=True); time.sleep(60)' > port.txt &
  local listener=$!
  wait_until 5 test -s port.txt
  timeout 20 "$MUSTER" local up --port "$(cat port.txt)" > out.txt 2> err.txt
  check "exit code" [ $? = 3 ]
  check "message" contains err.txt "$(cat port.txt)"
  check "remedy" contains err.txt 'choose another'
  kill "$listener"; wait "$listener" 2>/dev/null
}
unreadable_kubeconfig() {
  timeout 10 "$MUSTER" get dj --kubeconfig nowhere > out.txt 2> err.txt
  check "missing: exit code" [ $? != 0 ]
  check "missing: message" contains err.txt 'nowhere'
  echo '{{{' > broken
  timeout 10 "$MUSTER" get dj --kubeconfig broken > out.txt 2> err.txt
  check "broken: exit code" [ $? != 0 ]
  check "broken: message" contains err.txt 'broken'
  touch secret; chmod 000 secret
  if [ "$(id -u)" = 0 ]; then skip "an unreadable file: root can read every file"; else
    timeout 10 "$MUSTER" get dj --kubeconfig secret > out.txt 2> err.txt
    check "unreadable: exit code" [ $? = 3 ]
    check "unreadable: message" contains err.txt 'secret.*ermission'
  fi
}
server_out_of_reach() {
  cat > kubeconfig <<'YAML'
apiVersion: v1
kind: Config
current-context: c
clusters: [{name: c, cluster: {server: "https://127.0.0.1:1", insecure-skip-tls-verify: true}}]
contexts: [{name: c, context: {cluster: c, user: u}}]
users: [{name: u, user: {token: t}}]
YAML
  timeout 20 "$MUSTER" get dj --kubeconfig kubeconfig > out.txt 2> err.txt
  check "exit code" [ $? = 3 ]
  check "message" contains err.txt 'https://127.0.0.1:1 is out of reach.*muster local up'
}
binary_that_is_missing() {
  mkdir bin
  cp "$MUSTER" bin/muster
  local other
  for other in "$MUSTER_BIN"/muster-*; do ln -s "$other" bin/; done
  rm bin/muster-worker
  write_job job.yaml ring
  timeout 30 bin/muster run job.yaml > out.txt 2> err.txt
  check "exit code" [ $? = 3 ]
  check "message" contains err.txt 'muster-worker'
  check "remedy" contains err.txt 'build'
}
disk_that_is_full() {
  mkdir small
  if ! mount -t tmpfs -o size=16k tmpfs small 2>/dev/null; then skip "a full disk: mount is not permitted here"; return; fi
  write_job job.yaml ring
  sed -i -e 's|persistentVolumeClaim: {claimName: ring}|hostPath: {path: "'"$PWD"'/small"}|' \
      -e 's/model: {name: softmax}/model: {name: mlp, hidden: [200]}/' job.yaml
  expect 1 'DistributedJob/ring failed' 'No space left|disk|full'
  umount small
}
wrong_arguments() {
  timeout 5 "$MUSTER" frobnicate > out.txt 2> err.txt; check "unknown verb" [ $? = 2 ]
  timeout 5 "$MUSTER" rnu x.yaml > out.txt 2> err.txt; check "misspelt verb" [ $? = 2 ]
  check "the verb that is meant" contains err.txt "unknown command 'rnu'; did you mean 'run'"
  timeout 5 "$MUSTER" local pu > out.txt 2> err.txt; check "misspelt verb of local" [ $? = 2 ]
  check "the verb of local that is meant" contains err.txt "unknown command 'pu'; did you mean 'up'"
  timeout 5 "$MUSTER" run > out.txt 2> err.txt; check "no file" [ $? = 2 ]
  timeout 5 "$MUSTER" get jbo > out.txt 2> err.txt; check "unknown kind" [ $? = 2 ]
  check "known kinds" contains err.txt 'distributedjobs \(dj\)'
  local verb
  for verb in status suspend resume; do
    timeout 5 "$MUSTER" "$verb" pods/x --kubeconfig none > out.txt 2> err.txt; check "$verb of a pod" [ $? = 2 ]
    check "what to write" contains err.txt "'pods/x' is no job; write dj/x or fr/x"
  done
  timeout 5 "$MUSTER" run x.yaml --output xml > out.txt 2> err.txt; check "unknown output" [ $? = 2 ]
}
output_folder_that_cannot_be_written() {
  write_job job.yaml ring
  touch file
  timeout 20 "$MUSTER" run job.yaml --output-dir file/below > out.txt 2> err.txt
  check "exit code" [ $? = 3 ]
  check "message" contains err.txt 'file/below.*another --output-dir'
}
places_that_are_taken() {
  write_job job.yaml ring
  mkdir -p muster-out/volumes/default; touch muster-out/ring
  ln -s /nonexistent muster-out/volumes/default/ring
  expect 3 'job.yaml:3: PersistentVolumeClaim/ring: .*default/ring is a link to /nonexistent, which does not exist; move it away' \
      'job.yaml:8: DistributedJob/ring: .*muster-out/ring is a file; move it away, or choose another --output-dir'
  check "nothing is trained before" [ ! -s out.txt ]
}
spec_that_the_operator_refuses() {
  write_job good.yaml good
  write_job bad.yaml bad
  sed -i 's|volumeMounts: .*|&\n          env: [{name: MUSTER_POD_NAME, value: x}]|' bad.yaml
  write_job other.yaml other
  sed -i 's|path: /checkpoints|path: checkpoints|' other.yaml
  for part in good bad other; do cat "$part.yaml"; echo ---; done > job.yaml
  expect 2 'job.yaml:[0-9]+: spec.workers.template.spec.containers\[0\].env\[0\].name: MUSTER_POD_NAME is set by Muster' \
      'job.yaml:[0-9]+: spec.training.checkpoint.path: "checkpoints" is not absolute'
  check "nothing is started" [ ! -s out.txt ]
}
model_folder_that_only_the_pod_knows() {
  write_job job.yaml ring
  sed -i 's|mountPath: /checkpoints}|mountPath: /checkpoints, subPathExpr: $(MUSTER_POD_NAME)}|' job.yaml
  expect 2 'job.yaml:[0-9]+: DistributedJob/ring: spec.training.checkpoint.path: /checkpoints is mounted by subPathExpr' 'mount it by subPath'
  check "nothing is started" [ ! -s out.txt ]
}
namespace_that_cannot_be() {
  write_job job.yaml ring
  sed -i 's/metadata: {name: ring}/metadata: {name: ring, namespace: Bad_NS}/' job.yaml
  expect 2 'job.yaml:3: .*Bad_NS'
}
output_that_cannot_be_written() {
  "$MUSTER" completion bash > /dev/full 2> err.txt
  check "exit code" [ $? = 3 ]
  check "message" contains err.txt 'standard output: No space left on device'
}
claim_of_another_run() {
  write_job long.yaml ring "" 2 100000
  "$MUSTER" run long.yaml > first.txt 2>&1 & local first=$!
  wait_until 20 contains first.txt 'Running' > /dev/null || fail "it never ran: $(tail -3 first.txt)"
  write_job job.yaml ring
  timeout 20 "$MUSTER" run job.yaml --timeout 5 > out.txt 2> err.txt
  check "exit code" [ $? = 1 ]
  check "why it waits" contains out.txt 'ring is in use by another run of muster.*another --output-dir'
  kill -INT "$first"; wait "$first"
}

for name in text_that_is_not_yaml file_that_is_missing unknown_kind name_that_is_missing misspelt_field misspelt_field_of_the_servers_template wrong_enum \
    negative_replicas several_problems_are_all_told missing_dataset_path dataset_volume_that_is_missing \
    truncated_dataset_file loss_that_is_not_a_number port_that_is_in_use unreadable_kubeconfig server_out_of_reach \
    binary_that_is_missing disk_that_is_full wrong_arguments output_folder_that_cannot_be_written \
    places_that_are_taken spec_that_the_operator_refuses model_folder_that_only_the_pod_knows namespace_that_cannot_be output_that_cannot_be_written claim_of_another_run; do
  run_case "$name" 65
done
finish
