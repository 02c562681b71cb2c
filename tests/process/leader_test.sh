#!/usr/bin/env bash
# Replicas of the operator under one Lease: who leads when one is stopped, frozen or killed, and who writes.
# Needs kubectl.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
command -v kubectl > /dev/null || { skip "there is no kubectl"; exit 77; }

NAME=muster-operator.muster.dev
replica() {  # NAME: starts one; its pid in PID_NAME, its log in NAME.txt
  POD_NAME="$1" "$MUSTER_BIN/muster-operator" --kubeconfig "$KUBECONFIG" --leader-elect --metrics-address 127.0.0.1:0 \
    > "$1.txt" 2>&1 &
  declare -g "PID_$1=$!"
  wait_until 30 contains "$1.txt" ' ready version=' > /dev/null || fail "$1 never became ready: $(cat "$1.txt")"
}
pid() { local name="PID_$1"; echo "${!name}"; }
url() { sed -n 's,.*metrics=\(http://[^ ]*\)/metrics.*,\1,p' "$1.txt" | head -1; }
page() {  # NAME PATH: a page of its metrics server; "refused" when it is not OK
  python3 - "$(url "$1")$2" << 'PY'
import sys, urllib.error, urllib.request
try:
    print(urllib.request.urlopen(sys.argv[1], timeout=2).read().decode())
except (urllib.error.URLError, OSError) as error:
    print("refused", error)
PY
}
leads() { page "$1" /metrics | grep -q "^leader_election_master_status{.*} 1"; }
ready() { [ "$(page "$1" /readyz)" = ok ]; }
healthy() { [ "$(page "$1" /healthz)" = ok ]; }
writes() {  # NAME: how many requests it has sent that write, less those for the Lease
  page "$1" /metrics | awk '/^rest_client_requests_total.*method="(POST|PATCH|DELETE)"/ {n += $NF} END {print n + 0}'
}
freeze() {  # NAME: stops it between two writes, and says how many it has sent. Progress is written once a second.
  python3 - "$(url "$1")/metrics" "$(pid "$1")" << 'PY'
import os, re, signal, sys, time, urllib.request
def writes():
    page = urllib.request.urlopen(sys.argv[1], timeout=10).read().decode()
    return int(sum(float(n) for n in re.findall(
        r'^rest_client_requests_total\{.*method="(?:POST|PATCH|DELETE)".*\} (\S+)$', page, re.M)))
before, deadline = writes(), time.monotonic() + 120
while time.monotonic() < deadline:
    begin, now = time.monotonic(), writes()
    if now > before and time.monotonic() - begin < 0.2:
        os.kill(int(sys.argv[2]), signal.SIGSTOP)
        if time.monotonic() - begin < 0.5:
            sys.exit(print(now))
        os.kill(int(sys.argv[2]), signal.SIGCONT)
    before = now
sys.exit("no quiet moment")
PY
}
agents() {  # NAME: how many connections to pods it has
  python3 - "$(pid "$1")" << 'PY'
import os, sys
folder = f"/proc/{sys.argv[1]}/fd"
sockets = {os.readlink(f"{folder}/{fd}") for fd in os.listdir(folder)}
rows = [line.split() for table in ("tcp", "tcp6") for line in open(f"/proc/net/{table}").readlines()[1:]]
print(sum(row[2].endswith(":2116") and row[3] == "01" and f"socket:[{row[9]}]" in sockets for row in rows))
PY
}
holder() { kubectl --namespace muster-system get lease $NAME --output 'jsonpath={.spec.holderIdentity}'; }
follows() { [ "$(agents "$1")" = "$2" ]; }
job_field() { kubectl get dj "$1" --output "jsonpath=$2"; }
job_is() { [ "$(job_field "$1" "$2" 2> /dev/null)" = "$3" ]; }
pod_uids() { kubectl get pods --output 'jsonpath={range .items[*]}{.metadata.name} {.metadata.uid}{"\n"}{end}'; }
step() { local step; step="$(job_field ring '{.status.progress.step}' 2> /dev/null)"; echo "${step:-0}"; }
past() { [ "$(step)" -gt "$1" ]; }
within() {  # SECONDS WHAT COMMAND...: as long at most, on a machine that is not slowed down
  local begin what="$2" limit="$1"; shift 2
  begin="$(date +%s%N)"
  wait_until $((limit + 1)) "$@" || { fail "$what: not within $limit s"; return; }
  echo "    $what after $((($(date +%s%N) - begin) / 1000000)) ms"
}
write_sleeper() {
  cat > sleeper.yaml << 'YAML'
apiVersion: muster.dev/v1alpha1
kind: DistributedJob
metadata: {name: sleeper}
spec: {workers: {replicas: 2, template: {spec: {containers: [{name: worker, image: busybox, command: [sleep, "100000"]}]}}}}
YAML
}

the_lease_passes_on_and_only_its_holder_writes() {
  up --no-operator || return
  kubectl create namespace muster-system > /dev/null
  replica a
  wait_until 10 leads a || fail "a does not lead: $(cat a.txt)"
  replica b
  check "the holder is named" eval '[[ "$(holder)" == a_* ]]'
  write_sleeper
  kubectl apply --filename sleeper.yaml > /dev/null
  wait_until 30 job_is sleeper '{.status.phase}' Running || fail "no sleeper"
  local pods
  pods="$(pod_uids)"
  wait_until 10 ready b || fail "a standby is not ready"
  check "a standby is healthy" healthy b
  check "a standby leads nobody" eval '! leads b'
  check "a standby writes nothing" [ "$(writes b)" = 0 ]

  kill -TERM "$(pid a)"
  within 3 "b leads after a has stopped" leads b
  wait "$(pid a)"
  check "a ended in good order" [ $? = 0 ]
  replica c  # takes longer than the first pass
  check "a takeover of what runs writes nothing" [ "$(writes b)" = 0 ]

  write_job ring.yaml ring "" 3 100000
  kubectl apply --filename ring.yaml > /dev/null
  wait_until 60 past 5 || fail "no step: $(kubectl get dj; tail -3 b.txt)"
  wait_until 10 follows b 2 || fail "b has $(agents b) connections to 3 workers that train, not those to two of them"
  check "a standby calls no pod" follows c 0
  pods="$(pod_uids)"

  local before at
  before="$(freeze b)" || fail "$before"
  within 17 "c leads after b has been frozen" leads c
  at="$(step)"
  wait_until 30 past "$at" || fail "no step after the takeover"
  kill -CONT "$(pid b)"
  wait_until 10 contains b.txt 'no longer leads' > /dev/null || fail "b has not noticed"
  wait_until 10 ready b || fail "b does not stand by"
  at="$(step)"
  wait_until 30 past "$((at + 5))" || fail "no steps"
  check "the thawed leader has written nothing: $(writes b) after $before" [ "$(writes b)" = "$before" ]
  check "it calls no pod" follows b 0

  { kill -KILL "$(pid c)"; wait "$(pid c)"; } 2> /dev/null
  within 17 "b leads again after c has been killed" leads b
  at="$(step)"
  wait_until 30 past "$at" || fail "no step after the second takeover"
  check "no pod was replaced" [ "$(pod_uids)" = "$pods" ]
  check "no restart" job_is ring '{.status.restarts}{.status.disruptions}' ''
  kubectl get events --output 'jsonpath={range .items[*]}{.involvedObject.name} {.reason} {.message} {.count}{"\n"}{end}' |
    grep -v ' 1$' > doubled.txt
  kubectl get events --output 'jsonpath={range .items[*]}{.involvedObject.name} {.reason} {.message}{"\n"}{end}' |
    sort | uniq -d >> doubled.txt
  check "no event came twice: $(cat doubled.txt)" [ ! -s doubled.txt ]
  check "each change of the holder is counted" [ "$(kubectl --namespace muster-system get lease $NAME --output 'jsonpath={.spec.leaseTransitions}')" = 3 ]
  kill -TERM "$(pid b)"; wait "$(pid b)"
  check "the Lease is given back" [ "$(holder)" = "" ]
  down
}

run_case the_lease_passes_on_and_only_its_holder_writes 150
finish
