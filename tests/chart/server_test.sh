#!/usr/bin/env bash
# A strict API server takes what the chart renders, for every set of values of the matrix.
HERE="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
source "$HERE/../process/lib.sh"
for tool in helm kubectl; do
  command -v $tool > /dev/null || { echo "skipped: $tool is not on PATH (./dev test brings it where there is npm)"; exit 77; }
done

a_strict_server_takes_it() {
  check "rendering" /usr/bin/python3 "$HERE/manifests.py" manifests || return
  up --no-operator || return
  local file namespace
  for namespace in team-a team-b; do kubectl create namespace $namespace > /dev/null; done
  kubectl get crd distributedjobs.muster.dev > /dev/null 2>&1 || kubectl apply -f "$HERE/../../crds" > /dev/null
  kubectl apply -f manifests/accounts > /dev/null
  for file in manifests/*.yaml; do
    kubectl apply --dry-run=server --validate=strict -f "$file" > out.txt 2> err.txt ||
      { grep -v '^Warning: .*last-applied' err.txt | sed 's/^/    | /'; fail "$file"; }
    check "$file: the server says something" test -s out.txt
    # Whatever it takes only with a warning (a deprecated field, a name of a pod) is no good either.
    check "$file: no warning" eval '! grep -v "last-applied-configuration" err.txt | grep -q "^Warning"'
  done
  sed -i 's/maxUnavailable: 1/maxUnavailabel: 1/' manifests/defaults.yaml
  check "a misspelt field is refused" eval '! kubectl apply --dry-run=server --validate=strict -f manifests/defaults.yaml > out.txt 2>&1'
  check "by its name" contains out.txt maxUnavailabel
  down
}

run_case a_strict_server_takes_it 120
finish
