#!/usr/bin/env bash
# npm's @kubernetes/client-node, which nobody here wrote, against `muster local up`: the steps are in data/client_node.mjs.
HERE="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
source "$HERE/lib.sh"
export CLIENT_NODE="${CLIENT_NODE:-$HERE/../../build/tools/client-node/node_modules/@kubernetes/client-node}"
command -v node > /dev/null || { echo "skipped: node is not on PATH"; exit 77; }
[ -d "$CLIENT_NODE" ] || { echo "skipped: @kubernetes/client-node is not there (./dev test brings it where there is npm)"; exit 77; }

the_client_sees_a_cluster() {
  up || return
  timeout 100 node "$HERE/data/client_node.mjs" > steps.txt 2>&1
  [ $? = 0 ] || { sed 's/^/    | /' steps.txt; fail "a step failed"; }
  check "all steps ran" contains steps.txt '^all [0-9]+ steps passed'
  down
}

run_case the_client_sees_a_cluster 120
finish
