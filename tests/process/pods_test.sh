#!/usr/bin/env bash
# What pods find on this machine: names of their Services, probes over HTTPS, and no way out of the run's folder; and
# that another user of the machine finds nothing.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

up() {  # [COMMAND...]: starts `muster local up` (under COMMAND), sets UP (pid) and KUBECONFIG
  "$@" "$MUSTER" local up > up.txt 2> up.err &
  UP=$!
  wait_until 15 contains up.txt 'export KUBECONFIG=' > /dev/null || { fail "not up: $(cat up.err)"; return 1; }
  KUBECONFIG="$(sed -n 's/.*export KUBECONFIG=//p' up.txt)"
  export KUBECONFIG
}
down() {
  kill -INT "$UP"; wait "$UP"
  check "ends with exit code 0" [ $? = 0 ]
  unset KUBECONFIG
}
# api METHOD PATH [JSON]: prints the answer's body; fails where the server refuses.
api() {
  python3 - "$KUBECONFIG" "$@" <<'PY'
import base64, re, ssl, sys, urllib.error, urllib.request
config = open(sys.argv[1]).read()
field = lambda name: re.search(name + r": (\S+)", config).group(1)
context = ssl.create_default_context(cadata=base64.b64decode(field("certificate-authority-data")).decode())
body = sys.argv[4].encode() if len(sys.argv) > 4 else None
request = urllib.request.Request(field("server") + sys.argv[3], data=body, method=sys.argv[2], headers={
    "Authorization": "Bearer " + field("token"), "Content-Type": "application/json"})
try:
    print(urllib.request.urlopen(request, context=context, timeout=10).read().decode())
except urllib.error.HTTPError as error:
    print(error.code, error.read().decode())
    sys.exit(1)
PY
}
# pod NAME SCRIPT [CONTAINER_JSON] [SPEC_JSON]: a pod that runs SCRIPT once; the JSON pieces (", ...") are added.
pod() {
  local script; script="$(python3 -c 'import json,sys; print(json.dumps(sys.argv[1]))' "$2")"
  echo '{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "'"$1"'", "labels": {"app": "'"$1"'"}},
    "spec": {"restartPolicy": "Never", "terminationGracePeriodSeconds": 1'"${4:-}"',
    "containers": [{"name": "main", "image": "any", "command": ["sh", "-c", '"$script"']'"${3:-}"'}]}}'
}
PODS=/api/v1/namespaces/default/pods
create() { api POST $PODS "$(pod "$@")" > created.txt || fail "pod $1: $(cat created.txt)"; }
field_is() {  # POD EXPRESSION VALUE, of the pod as d
  [ "$(api GET "$PODS/$1" | python3 -c 'import json,sys; d=json.load(sys.stdin); print(eval(sys.argv[1]))' "$2" 2>/dev/null)" = "$3" ]
}
ends() { check "$1 ends" wait_until 20 field_is "$1" 'd["status"]["phase"]' "${2:-Succeeded}"; }
log() { api GET "$PODS/$1/log"; }
events() { api GET /api/v1/namespaces/default/events; }

# Any program: here plain sockets, as the rendezvous of a training framework uses them.
ranks_of_any_program_meet_at_master_addr() {
  cat > ring.py <<'PY'
import os, socket, time
rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
address = (os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]))
assert socket.gethostname() == os.environ["MUSTER_POD_NAME"], socket.gethostname()
assert socket.gethostbyname(socket.gethostname()) == os.environ["MUSTER_POD_IP"]
if rank == 0:
    server = socket.create_server(address)  # its own name resolves from its first instant
    peers = [server.accept()[0] for _ in range(1, size)]
    total = sum(int(peer.recv(16)) for peer in peers)
    for peer in peers:
        peer.sendall(b"%d" % total)
else:
    deadline = time.monotonic() + 20
    while True:
        try:
            peer = socket.create_connection(address, timeout=20)
            break
        except OSError as error:  # rank 0 may be later than this one
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
    peer.sendall(b"%d" % rank)
    total = int(peer.recv(16))
open(os.path.join(os.environ["OUT"], str(rank)), "w").write("%d %s\n" % (total, socket.gethostbyname(address[0])))
PY
  cat > job.yaml <<YAML
apiVersion: muster.dev/v1alpha1
kind: DistributedJob
metadata: {name: meet}
spec:
  workers:
    replicas: 3
    template:
      spec:
        containers:
        - name: main
          image: python
          command: [python3, "$PWD/ring.py"]
          env: [{name: OUT, value: "$PWD"}]
YAML
  timeout 60 "$MUSTER" run job.yaml > out.txt 2>&1 || fail "exit code $?: $(tail -20 out.txt)" || return
  local rank
  for rank in 0 1 2; do check "rank $rank" contains $rank '^3 127\.'; done
  check "one rank 0 for all" [ "$(sort -u 0 1 2 | wc -l)" = 1 ]
}

pods_run_without_names_where_namespaces_are_not_allowed() {
  # In a user namespace of its own, of which no further mount namespace may be made.
  unshare -Ur true 2>/dev/null || { skip "this user may not make a user namespace to try it in"; return; }
  up unshare -Ur sh -c 'echo 0 > /proc/sys/user/max_mnt_namespaces; exec "$@"' sh || return
  create nameless 'getent hosts nameless || echo no names' '' ', "subdomain": "svc"'
  ends nameless
  check "it ran" contains <(log nameless) 'no names'
  check "a warning says so" contains <(events) 'NamesUnavailable.*names of Services do not resolve in this pod.*user.max_user_namespaces|names of Services do not resolve in this pod.*user.max_user_namespaces'
  check "the log, too" contains up.err 'names of Services do not resolve'
  down
}

http_probe_makes_a_pod_ready() {
  cat > server.py <<'PY'
import http.server, os
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(204 if self.path == "/ready" else 500)
        self.end_headers()
http.server.HTTPServer((os.environ["IP"], 8443), Handler).serve_forever()
PY
  up || return
  local common=', "workingDir": "'"$PWD"'", "env": [{"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}], "ports": [{"name": "web", "containerPort": 8443}]'
  create good 'exec python3 server.py' "$common"', "readinessProbe": {"periodSeconds": 1, "httpGet": {"port": "web", "path": "/ready"}}'
  create bad 'exec python3 server.py' "$common"', "readinessProbe": {"periodSeconds": 1, "httpGet": {"port": "web", "path": "/"}}'
  create tls 'exec python3 server.py' "$common"', "readinessProbe": {"periodSeconds": 1, "httpGet": {"scheme": "HTTPS", "port": "web", "path": "/ready"}}'
  check "ready" wait_until 20 field_is good 'd["status"]["containerStatuses"][0]["ready"]' True
  check "the other one is told why not" wait_until 20 eval 'events | grep -q "Readiness probe failed: HTTP probe failed with statuscode: 500"'
  check "and is not ready" field_is bad 'd["status"]["containerStatuses"][0]["ready"]' False
  check "what is not served is told" wait_until 20 eval 'events | grep -q "one of exec, tcpSocket and httpGet over HTTP"'
  down
}

# Each manifest is refused, or its pod never starts; in no case is anything outside the run's folder touched.
manifests_do_not_lead_out_of_the_run_folder() {
  up || return
  mkdir -p outside && echo secret > outside/secret
  local volume=', "volumes": [{"name": "v", "emptyDir": {}}]'
  refused() { api POST "$1" "$2" > refused.txt; check "refused: $3" [ $? != 0 ]; check "$3 is invalid" contains refused.txt '^(422|400) '; }
  refused $PODS "$(pod ../evil true)" "a pod's name"
  refused $PODS "$(pod a true | sed 's|"main"|"../evil"|')" "a container's name"
  refused $PODS "$(pod a true '' ', "volumes": [{"name": "../evil", "emptyDir": {}}]')" "a volume's name"
  refused $PODS "$(pod a true ', "volumeMounts": [{"name": "v", "mountPath": "/v", "subPath": "../../evil"}]' "$volume")" "a subPath with .."
  refused $PODS "$(pod a true ', "volumeMounts": [{"name": "v", "mountPath": "/v", "subPath": "/etc"}]' "$volume")" "an absolute subPath"
  refused /api/v1/namespaces/default/configmaps '{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"../evil": "x"}}' "a key with slashes"
  refused /api/v1/namespaces/default/configmaps '{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"..": "x"}}' "the key .."
  refused /api/v1/namespaces/default/persistentvolumeclaims '{"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": ".."}, "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}}}' "a claim's name"
  api POST /api/v1/namespaces/default/configmaps '{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"k": "x"}}' > created.txt || fail "$(cat created.txt)"
  local path
  for path in ../../evil /etc/evil a/../../evil; do
    refused $PODS "$(pod a true '' ', "volumes": [{"name": "v", "configMap": {"name": "c", "items": [{"key": "k", "path": "'$path'"}]}}]')" "an item's path $path"
  done
  # A link that a container planted, and a subPath through it.
  api POST /api/v1/namespaces/default/persistentvolumeclaims '{"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "claim"}, "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}}}' > created.txt || fail "$(cat created.txt)"
  local claim=', "volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "claim"}}]'
  create planter "ln -s $PWD/outside /v/link; ln -s ok /v/inner; mkdir /v/ok" ', "volumeMounts": [{"name": "v", "mountPath": "/v"}]' "$claim"
  ends planter
  create through 'cat /v/secret; echo x > /v/evil' ', "volumeMounts": [{"name": "v", "mountPath": "/v", "subPath": "link"}]' "$claim"
  check "a planted link" wait_until 10 field_is through 'd["status"]["containerStatuses"][0]["state"]["waiting"]["reason"]' CreateContainerConfigError
  check "says why" field_is through '"leads out of its volume by a link" in d["status"]["containerStatuses"][0]["state"]["waiting"]["message"]' True
  create within 'echo x > /v/kept' ', "volumeMounts": [{"name": "v", "mountPath": "/v", "subPath": "inner/deep"}]' "$claim"
  ends within
  check "a link within the volume is followed" [ -f muster-out/volumes/default/claim/ok/deep/kept ]
  # Last words: a link is not followed, a pipe is not waited for, a path with .. is only a name.
  create linker "rm /dev/termination-log; ln -s $PWD/outside/secret /dev/termination-log"
  ends linker
  check "no foreign file becomes last words" field_is linker '"message" in d["status"]["containerStatuses"][0]["state"]["terminated"]' False
  create piper 'rm /dev/termination-log; mkfifo /dev/termination-log'
  ends piper
  create worded 'echo x > /tmp/../../evil-words' ', "terminationMessagePath": "/tmp/../../evil-words"'
  ends worded
  # A working folder climbs out of its volume no further than the manifest's own root.
  create climber 'pwd > /v/where' ', "workingDir": "/v/../../..", "volumeMounts": [{"name": "v", "mountPath": "/v"}]' "$claim"
  ends climber
  check "workingDir" contains muster-out/volumes/default/claim/where '^/$'
  check "nothing came into the foreign folder" [ "$(ls outside)" = secret ]
  check "nothing evil anywhere near" [ -z "$(find "$ROOT" /tmp/evil* /etc/evil* /evil* -name '*evil*' 2>/dev/null)" ]
  down
}

another_user_gets_nothing() {
  [ "$(id -u)" = 0 ] || { skip "only root can become another user"; return; }
  command -v setpriv > /dev/null && command -v openssl > /dev/null || { skip "setpriv or openssl is not installed"; return; }
  chmod 755 "$ROOT" . # so that nothing but the run's own modes keeps the other one out
  up || return
  create pod 'exec sleep 100'
  check "it runs" wait_until 20 field_is pod 'd["status"]["phase"]' Running
  local run; run="$(dirname "$(dirname "$KUBECONFIG")")"
  chmod 755 "$XDG_RUNTIME_DIR"
  as_nobody() { setpriv --reuid=65534 --regid=65534 --clear-groups "$@"; }
  check "modes" [ "$(stat -c %a "$run" "$KUBECONFIG" | tr '\n' ' ')" = "700 600 " ]
  as_nobody cat "$KUBECONFIG" > other.txt 2>&1 && fail "nobody reads the kubeconfig"
  as_nobody ls "$run" > other.txt 2>&1 && fail "nobody lists the run folder"
  as_nobody cat "$run"/logs/*/main/0.0 > other.txt 2>&1 && fail "nobody reads a log"
  local address; address="$(sed -n 's|.*server: https://||p' "$KUBECONFIG")"
  ask() {  # TOKEN_HEADER...: the status line that nobody gets for the secrets
    printf 'GET /api/v1/secrets HTTP/1.1\r\nHost: x\r\n%sConnection: close\r\n\r\n' "$1" |
      as_nobody timeout 10 openssl s_client -quiet -ign_eof -connect "$address" 2>/dev/null | head -1
  }
  check "no token" contains <(ask '') '^HTTP/1.1 401'
  check "a wrong token" contains <(ask $'Authorization: Bearer 0123456789abcdef\r\n') '^HTTP/1.1 401'
  check "an empty token" contains <(ask $'Authorization: Bearer \r\n') '^HTTP/1.1 401'
  check "the right one would do" contains <(ask "$(sed -n 's/.*token: /Authorization: Bearer /p' "$KUBECONFIG")"$'\r\n') '^HTTP/1.1 200'
  local port=${address##*:}
  check "it listens on loopback alone" [ "$(python3 - "$port" <<'PY'
import sys
print([line.split()[1][:8] for path in ("/proc/net/tcp", "/proc/net/tcp6") for line in open(path).readlines()[1:]
       if line.split()[3] == "0A" and int(line.split()[1].split(":")[1], 16) == int(sys.argv[1])])
PY
)" = "['0100007F']" ]
  check "all processes are this user's" [ -z "$(for p in $(marked); do [ "$(stat -c %u /proc/$p)" = 0 ] || echo $p; done)" ]
  chmod 700 "$XDG_RUNTIME_DIR"
  down
}

run_case ranks_of_any_program_meet_at_master_addr 70
run_case pods_run_without_names_where_namespaces_are_not_allowed 40
run_case http_probe_makes_a_pod_ready 60
run_case manifests_do_not_lead_out_of_the_run_folder 120
run_case another_user_gets_nothing 60
finish
