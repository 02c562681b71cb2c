#!/usr/bin/env bash
# `muster convert` (and `kubectl muster convert`): what it prints is accepted by an API server, strictly.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
DATA="$(cd "$(dirname "${BASH_SOURCE[0]}")/../cli/convert" && pwd)"

every_example_is_accepted_by_the_server() {
  up --no-operator || return
  local file
  check "a namespace" kubectl create namespace research > /dev/null
  for file in "$DATA"/*.yaml; do
    check "$file" "$MUSTER" convert "$file" > out.yaml
    check "$file: created" kubectl create --validate=strict -f out.yaml > created.txt
    check "$file: a job" contains created.txt '^distributedjob.muster.dev/.* created'
  done
  check "all of them" [ "$(kubectl get dj -A -o name | wc -l)" = "$(ls "$DATA"/*.yaml | wc -l)" ]
  down
}
a_plugin_of_kubectl_reads_standard_input() {
  mkdir bin; ln -s "$MUSTER" bin/kubectl-muster
  PATH="$PWD/bin:$PATH" kubectl muster convert - < "$DATA/pytorch_mnist.yaml" > out.yaml
  check "exit code" [ $? = 0 ]
  check "same as of the file" diff out.yaml <("$MUSTER" convert "$DATA/pytorch_mnist.yaml")
  check "comments" contains out.yaml '# spec.pytorchReplicaSpecs.Worker.restartPolicy: "OnFailure"'
}
a_refused_file_prints_nothing() {
  printf 'apiVersion: kubeflow.org/v1\nkind: TFJob\nmetadata: {name: x}\n' > tf.yaml
  "$MUSTER" convert "$DATA/pytorch_mnist.yaml" tf.yaml > out.yaml 2> err.txt
  check "exit code" [ $? = 2 ]
  check "nothing on standard output" [ ! -s out.yaml ]
  check "the place" contains err.txt 'tf.yaml:1: TFJob of kubeflow.org/v1 is not converted'
  "$MUSTER" convert nowhere.yaml > out.yaml 2> err.txt
  check "exit code" [ $? = 2 ]
  check "no such file" contains err.txt 'nowhere.yaml: No such file'
}
# What worker 0 of an MPIJob does, with a mpirun and an ssh that tell what they were given.
worker_zero_starts_mpirun_over_all_workers() {
  mkdir bin
  printf '#!/bin/sh\necho "ssh $*" >> calls.txt\n' > bin/ssh
  printf '#!/bin/sh\necho "mpirun $*" >> calls.txt; cat "$OMPI_MCA_orte_default_hostfile" >> calls.txt\n' > bin/mpirun
  chmod +x bin/*
  "$MUSTER" convert "$DATA/mpi_benchmarks.yaml" 2> err.txt > out.yaml
  check "the keys are asked for" contains err.txt 'MPIJob/benchmarks: mpirun needs keys: kubectl create secret generic benchmarks-ssh'
  python3 - > run.sh <<'END'
import shlex, subprocess, json, os
text = open('out.yaml').read()
import yaml
container = yaml.safe_load(text)['spec']['workers']['template']['spec']['containers'][0]
print(' '.join(shlex.quote(word) for word in container['command'] + container['args']))
END
  PATH="$PWD/bin:$PATH" NODE_RANK=0 PET_NNODES=2 LOCAL_WORLD_SIZE=2 MUSTER_JOB_NAME=benchmarks sh run.sh
  check "the others are waited for" contains calls.txt '^ssh .* benchmarks-worker-1.benchmarks true$'
  check "the launcher's words" contains calls.txt '^mpirun -np 4 -x NCCL_DEBUG=INFO -mca btl \^openib python bench.py'
  check "host 0" contains calls.txt '^benchmarks-worker-0.benchmarks slots=2$'
  check "host 1" contains calls.txt '^benchmarks-worker-1.benchmarks slots=2$'
  rm -f "$TMPDIR/hostfile"
}

command -v kubectl > /dev/null && run_case every_example_is_accepted_by_the_server 60
command -v kubectl > /dev/null && run_case a_plugin_of_kubectl_reads_standard_input 20
run_case a_refused_file_prints_nothing 20
python3 -c 'import yaml' 2> /dev/null && run_case worker_zero_starts_mpirun_over_all_workers 20
finish
