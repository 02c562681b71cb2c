#!/usr/bin/env bash
# run.sh, which is for real clusters, against the API server and node of `muster local up`: so it does not rot.
HERE="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
source "$HERE/../process/lib.sh"
for tool in helm kubectl; do
  command -v $tool > /dev/null || { echo "skipped: $tool is not on PATH (./dev test brings it where there is npm)"; exit 77; }
done
export HELM_CACHE_HOME="$ROOT/helm/cache" HELM_CONFIG_HOME="$ROOT/helm/config" HELM_DATA_HOME="$ROOT/helm/data"

the_script_for_clusters_runs() {
  up --no-operator || return
  kubectl delete -f "$HERE/../../crds" > /dev/null  # the chart brings them
  QUICK=1 WAIT=100 timeout 280 "$HERE/run.sh" > e2e.txt 2>&1 || { sed 's/^/    | /' e2e.txt | tail -60; fail "run.sh"; }
  check "all its checks were made" [ "$(grep -c ' ok: ' e2e.txt)" -ge 22 ]
  down
}

run_case the_script_for_clusters_runs 300
finish
