#!/usr/bin/env bash
# Inputs of real users, a script each in cases/: run as `MUSTER=<folder of the binaries> cases/NN-name.sh`, it exits 0
# where Muster is right.
set -uo pipefail
failed=0
for script in "$(dirname "$0")"/cases/*.sh; do
  if ! MUSTER=$MUSTER_BIN bash "$script"; then
    echo "FAILED: $(basename "$script")"
    failed=1
  fi
done
exit $failed
