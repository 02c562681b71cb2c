#!/usr/bin/env bash
# Ctrl-C at random moments: within 5 s everything has ended and nothing is left, whatever was going on.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

RANDOM=${MUSTER_TEST_SEED:-$$}
echo "seed ${MUSTER_TEST_SEED:-$$}"
milliseconds() { date +%s%3N; }

# interrupt SIGNAL DELAY_MS: starts a long job, sends the signal to muster alone after the delay
interrupt() {
  write_job job.yaml long "" 3 100000
  "$MUSTER" run job.yaml > out.txt 2> err.txt &
  local pid=$! begin code
  sleep "$(printf '%d.%03d' $(($2 / 1000)) $(($2 % 1000)))"
  begin=$(milliseconds)
  kill "-$1" "$pid"
  wait "$pid"; code=$?
  local took=$(($(milliseconds) - begin))
  echo "    SIG$1 after $2 ms: exit code $code, $took ms"
  [ "$took" -lt 5000 ] || fail "took $took ms"
  # Before main has blocked the signal, the shell's 128 + number is the honest answer.
  case "$code" in 130|143) ;; *) fail "exit code $code: $(tail -3 err.txt)" ;; esac
  nothing_left
}
ctrl_c_at_random_moments() {
  local i
  for i in 1 2 3 4; do interrupt INT $((RANDOM % 4000)); done
}
sigterm_while_it_starts_and_while_it_runs() {
  interrupt TERM $((RANDOM % 300))
  interrupt TERM 5000
}
ctrl_c_reaches_the_whole_group_as_from_a_terminal() {
  write_job job.yaml long "" 2 100000
  setsid "$MUSTER" run job.yaml > out.txt 2> err.txt &
  local pid=$! begin
  wait_until 20 contains out.txt 'Running' > /dev/null || { fail "it never ran: $(tail -3 err.txt)"; return; }
  begin=$(milliseconds)
  kill -INT -- "-$pid"
  wait "$pid"
  check "exit code" [ $? = 130 ]
  check "within 5 s" [ $(($(milliseconds) - begin)) -lt 5000 ]
}
second_ctrl_c_ends_it_at_once() {
  # Containers that ignore SIGTERM use up the time that a stop may take.
  cat > stubborn.yaml <<'YAML'
apiVersion: muster.dev/v1alpha1
kind: DistributedJob
metadata: {name: stubborn}
spec:
  workers:
    replicas: 2
    template:
      spec:
        containers: [{name: main, image: busybox, command: [/bin/sh, -c], args: ['trap "" TERM; while :; do sleep 1; done']}]
YAML
  "$MUSTER" run stubborn.yaml > out.txt 2> err.txt &
  local pid=$! begin
  wait_until 20 contains out.txt 'Running' > /dev/null || { fail "it never ran: $(tail -3 err.txt)"; return; }
  begin=$(milliseconds)
  kill -INT "$pid"; sleep 0.3; kill -INT "$pid"
  wait "$pid"
  check "exit code" [ $? = 130 ]
  check "within 1.5 s" [ $(($(milliseconds) - begin)) -lt $((1500 * MUSTER_TIMEOUT_FACTOR)) ]
}
killed_run_leaves_no_process() {
  write_job job.yaml long "" 2 100000
  "$MUSTER" run job.yaml > out.txt 2> err.txt &
  local pid=$!
  wait_until 20 contains out.txt 'Running' > /dev/null || { fail "it never ran: $(tail -3 err.txt)"; return; }
  kill -9 "$pid"; wait "$pid" 2>/dev/null
  wait_until 5 eval '[ -z "$(marked)" ]' || fail "processes are left: $(marked)"
  # Its folder is removed by the next run.
  write_job next.yaml next "" 1 1
  timeout 60 "$MUSTER" run next.yaml > out.txt 2> err.txt || fail "the next run: exit code $?"
}

run_case ctrl_c_at_random_moments 60
run_case sigterm_while_it_starts_and_while_it_runs 40
run_case ctrl_c_reaches_the_whole_group_as_from_a_terminal 40
run_case second_ctrl_c_ends_it_at_once 40
run_case killed_run_leaves_no_process 90
finish
