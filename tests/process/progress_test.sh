#!/usr/bin/env bash
# Programs that tell their progress by Kubeflow's protocol, as Hugging Face's Trainer does with no code of the user: what
# `kubectl get dj` shows of it, through which replica, and whoever else knocks at that port. Needs kubectl.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
command -v kubectl > /dev/null || { skip "there is no kubectl"; exit 77; }
HERE="$(dirname "$(realpath "${BASH_SOURCE[0]}")")"

job_field() { kubectl get dj bert --output "jsonpath=$1"; }
job_is() { [ "$(job_field "$1" 2> /dev/null)" = "$2" ]; }
column() {  # NAME: of `kubectl get dj bert`, found by where its title stands
  kubectl get dj bert | python3 -c '
import sys
head, row = [line.rstrip("\n") for line in sys.stdin][:2]
at = head.index(sys.argv[1]); end = next((i for i in range(at + len(sys.argv[1]), len(head)) if head[i] != " "), len(row) + 1)
print(row[at:end].strip())' "$1"
}
write_program() {  # REPLICAS [RUN_POLICY]: waits for the file `next` before each step
  cat > bert.yaml << YAML
apiVersion: muster.dev/v1alpha1
kind: DistributedJob
metadata: {name: bert}
spec:
  runPolicy: {${2:-}}
  workers:
    replicas: $1
    template: {spec: {containers: [{name: worker, image: python, command: [python3, $HERE/data/progress_callback.py, $PWD]}]}}
YAML
}
told_the_first() {
  wait_until 30 job_is '{.status.progress.percent}' 0 && return
  fail "nothing told: $(kubectl get dj; kubectl get pods; kubectl logs bert-worker-0)"
  down
  return 1
}
access() {  # the CA and token of the job's Secret, the URL of its pods
  local secret; secret="$(kubectl get secrets --output name | grep -- -progress$)"
  kubectl get "$secret" --output 'jsonpath={.data.ca\.crt}' | base64 -d > ca.crt
  kubectl get "$secret" --output 'jsonpath={.data.token}' | base64 -d > token
  kubectl get pod bert-worker-0 --output 'jsonpath={.spec.containers[0].env[?(@.name=="KUBEFLOW_TRAINER_SERVER_URL")].value}' > url
}
post() { python3 "$HERE/data/progress_post.py" "$1" ca.crt "${3:-token}" "$2"; }  # URL PERCENT [TOKEN_FILE]: prints the code

a_program_shows_percent_and_time_left_with_no_code_of_ours() {
  up || return
  write_program 2
  kubectl apply --filename bert.yaml > /dev/null
  wait_until 30 job_is '{.status.phase}' Running || fail "it does not run: $(kubectl get dj)"
  told_the_first || return
  touch step-1
  wait_until 10 job_is '{.status.progress.percent}' 45 || fail "no step: $(kubectl logs bert-worker-0)"
  check "column Done: $(kubectl get dj bert)" [ "$(column DONE)" = 45 ]
  check "column Left" [ "$(column LEFT)" = 13m15s ]
  check "column Step" [ "$(column STEP)" = 450 ]
  check "column Loss" [ "$(column LOSS)" = 0.5 ]
  check "the metrics are there" job_is '{.status.progress.metrics[?(@.name=="learning_rate")].value}' 5e-05
  kubectl get dj bert --output 'jsonpath={.status.progress}' > progress.json
  "$MUSTER" status bert > status.txt || fail "no status"
  check "muster status tells it: $(cat status.txt)" contains status.txt 'step 450 of 1,000 \(45%\), 13m15s left.*loss 0.5'
  # Of the worker that is not rank 0 nobody hears; a Secret and the pods' env are all that is new.
  check "rank 1 has sent nothing" eval '! [ -e sent-1 ]'
  local pid; pid="$(processes_named muster-operator)"
  { kill -KILL "$pid"; } 2> /dev/null
  wait_until 30 eval '[ -n "$(processes_named muster-operator)" ] && [ "$(processes_named muster-operator)" != "$pid" ]' ||
    fail "the operator has not come back"
  check "it stays over a restart of the operator" job_is '{.status.progress.percent}' 45
  wait_until 30 eval 'access; [ "$(post "$(cat url)" 46)" = 200 ]' || fail "the operator that came back does not answer at the same URL"
  touch step-2
  wait_until 30 job_is '{.status.phase}' Succeeded || fail "no end: $(kubectl get dj; cat worker-0.log)"
  check "100 % at the end" job_is '{.status.progress.percent}' 100
  check "and nothing left" job_is '{.status.progress.timeLeft}' ''
  down
}

a_program_that_hangs_while_it_runs_starts_anew() {
  up || return
  write_program 1 "progressDeadlineSeconds: 4"
  kubectl apply --filename bert.yaml > /dev/null
  told_the_first || return
  access
  cp url first-url
  wait_until 30 job_is '{.status.restarts}' 1 || fail "it was not taken for hung: $(kubectl get dj)"
  check "the reason is told" eval 'kubectl get events | grep -q "no progress was told"'
  wait_until 30 job_is '{.status.phase}' Running || fail "no second start"
  check "what is left of the first incarnation is not heard" [ "$(post "$(cat first-url)" 77)" = 409 ]
  down
}

replica() {  # NAME
  : > "$1.txt"
  POD_NAME="$1" "$MUSTER_BIN/muster-operator" --kubeconfig "$KUBECONFIG" --leader-elect --metrics-address 127.0.0.1:0 \
    --progress-address 127.0.0.1:0 > "$1.txt" 2>&1 &
  declare -g "PID_$1=$!"
  wait_until 30 contains "$1.txt" ' ready version=' > /dev/null || fail "$1 never became ready: $(cat "$1.txt")"
}
pid() { local name="PID_$1"; echo "${!name}"; }
url_at() { sed -E "s,https://[^/]*,https://$(sed -n 's/.* progress=\([0-9.:]*\).*/\1/p' "$1.txt" | head -1)," url; }
metric() {  # NAME SERIES
  python3 -c '
import sys, urllib.request
page = urllib.request.urlopen(sys.argv[1], timeout=5).read().decode()
print(next((line.split()[-1] for line in page.splitlines() if line.startswith(sys.argv[2])), "none"))' \
    "$(sed -n 's,.*metrics=\(http://[^ ]*/metrics\).*,\1,p' "$1.txt" | head -1)" "$2"
}

a_leads_a_program() {
  up --no-operator || return 1
  kubectl create namespace muster-system > /dev/null
  replica a
  write_program 1
  kubectl apply --filename bert.yaml > /dev/null
  told_the_first || return 1
  access
}

a_standby_passes_on_what_it_is_told() {
  a_leads_a_program || return
  replica b
  wait_until 10 eval '[ "$(post "$(url_at b)" 51)" = 200 ]' || fail "b did not pass it on: $(post "$(url_at b)" 51)"
  wait_until 10 job_is '{.status.progress.percent}' 51 || fail "what b was told is not there"
  check "b has relayed it" [ "$(metric b 'muster_progress_reports_total{outcome="relayed"}')" -ge 1 ]
  check "b has written nothing" [ "$(metric b 'rest_client_requests_total{code="200",host=.*method="PATCH"')" = none ]
  echo wrong > wrong
  check "b asks for the token itself" [ "$(post "$(url_at b)" 52 wrong)" = 403 ]
  check "the leader's refusals come through" [ "$(post "$(url_at b)" 101)" = 422 ]

  { kill -KILL "$(pid a)"; wait "$(pid a)"; } 2> /dev/null
  check "while nobody leads, b says when to come again" [ "$(post "$(url_at b)" 53)" = "503 retry 5" ]
  wait_until 20 eval '[ "$(post "$(url_at b)" 54)" = 200 ]' || fail "b does not take over: $(tail -3 b.txt)"
  wait_until 10 job_is '{.status.progress.percent}' 54 || fail "what the new leader was told is not there"
  check "the new leader took it itself" [ "$(metric b 'muster_progress_reports_total{outcome="taken"}')" -ge 1 ]
  touch step-1 step-2
  kill -TERM "$(pid b)"; wait "$(pid b)"
  check "b ended in good order" [ $? = 0 ]
  down
}

strangers_hold_up_nobody() {
  a_leads_a_program || return
  python3 "$HERE/data/progress_strangers.py" "$(cat url)" ca.crt token "$(pid a)" > strangers.txt 2>&1 ||
    fail "$(cat strangers.txt)"
  sed 's/^/    /' strangers.txt
  for reason in plaintext handshake silent late crowded malformed oversized path token invalid unknown; do
    check "refused for $reason: $(metric a "muster_progress_refused_total{reason=\"$reason\"}")" \
      [ "$(metric a "muster_progress_refused_total{reason=\"$reason\"}")" -ge 1 ]
  done
  kill -TERM "$(pid a)"; wait "$(pid a)"
  check "a ended in good order" [ $? = 0 ]
  down
}

run_case a_program_shows_percent_and_time_left_with_no_code_of_ours 120
run_case a_program_that_hangs_while_it_runs_starts_anew 100
run_case a_standby_passes_on_what_it_is_told 120
run_case strangers_hold_up_nobody 120
finish
