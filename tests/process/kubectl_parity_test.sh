#!/usr/bin/env bash
# What stock kubectl sees of `muster local up`, compared step by step with recordings of a real Kubernetes 1.33 (the
# kit lies beside the checkout). kubectl_parity_known.txt lists the differences that are known; any other one fails,
# and so does a listed one that is gone. A case that differs is run once more, alone: some steps hang on a second's
# boundary, in the recordings as here. MUSTER_PARITY_CASES runs some cases only.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
HERE="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
KIT="$HERE/../../../shared/kubectl-parity"
LANES=3  # servers, each with a share of the cases: a case waits more than it computes

lane() {  # NUMBER CASES...: a server of its own, and its cases one after the other
  local lane="$PWD/lane$1" up
  shift
  mkdir -m 700 -p "$lane/runtime"
  export XDG_RUNTIME_DIR="$lane/runtime"
  cd "$lane" || return 1
  "$MUSTER" local up > up.txt 2> up.err & up=$!
  wait_until 30 contains up.txt 'export KUBECONFIG=' > /dev/null || { echo "not up: $(cat up.err)" > failed; kill "$up"; return 1; }
  "$KIT/run" "$(sed -n 's/.*export KUBECONFIG=//p' up.txt)" "$lane/out" "$@" > run.txt 2>&1
  kill -INT "$up"; wait "$up" || echo "muster local up ended with $?" > failed
}

compare() { python3 "$HERE/kubectl_parity.py" "$KIT/expected" actual "$HERE/kubectl_parity_known.txt" "$@"; }

answers_are_those_of_kubernetes() {
  local cases=() lanes=() again=() i pids=()
  read -ra cases <<< "${MUSTER_PARITY_CASES:-$(cd "$KIT/expected" && ls -- *.out | sed 's/\.out$//' | tr '\n' ' ')}"
  for i in "${!cases[@]}"; do lanes[i % LANES]+=" ${cases[i]}"; done
  for i in "${!lanes[@]}"; do ( lane "$i" ${lanes[i]} ) & pids+=($!); done
  wait "${pids[@]}"
  mkdir -p actual
  cp lane*/out/*.out actual/ 2>/dev/null
  read -ra again <<< "$(compare --names "${cases[@]}")"
  if [ ${#again[@]} -gt 0 ]; then
    echo "    once more, alone: ${again[*]}"
    ( lane again "${again[@]}" )
    cp laneagain/out/*.out actual/ 2>/dev/null
  fi
  for i in lane*/failed; do [ ! -e "$i" ] || fail "$i: $(cat "$i")"; done
  compare "${cases[@]}" || fail "kubectl was answered otherwise than by Kubernetes"
}

command -v kubectl > /dev/null || { echo "skipped: kubectl is not on PATH (./dev test brings it where there is npm)"; exit 77; }
[ -x "$KIT/run" ] || { echo "skipped: no recordings at $KIT"; exit 77; }
run_case answers_are_those_of_kubernetes 540
finish
