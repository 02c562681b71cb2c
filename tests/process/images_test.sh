#!/usr/bin/env bash
# The images' root filesystems: what is in them, how large they are, and that the programs run from them as pods do.
# MUSTER_IMAGE_ROOTS: a folder that has them (muster-worker, ...); else two of them are collected from the build.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
SOURCE="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
ROOTS="${MUSTER_IMAGE_ROOTS:-$ROOT/roots}"
PROGRAMS="operator worker exec"
[ -z "${MUSTER_IMAGE_ROOTS:-}" ] || PROGRAMS="operator worker aggregator device exec"

collect() {
  local program
  mkdir -p "$ROOTS"
  for program in $PROGRAMS; do
    [ -d "$ROOTS/muster-$program" ] || "$SOURCE/images/collect" "$MUSTER_BIN/muster-$program" "$ROOTS/muster-$program" ||
      fail "the root of muster-$program was not made"
  done
}

holds_what_is_loaded_and_no_more() {
  local program root bytes most package
  collect
  for program in $PROGRAMS; do
    root="$ROOTS/muster-$program"
    most=250000000; [ $program != operator ] || most=40000000
    [ $program != exec ] || most=6000000
    bytes=$(find "$root" -type f -printf '%s\n' | awk '{n += $1} END {printf "%d", n}')
    check "muster-$program has $bytes bytes, more than $most" [ "$bytes" -le $most ]
    check "muster-$program: it is there" [ -x "$root/usr/bin/muster-$program" ]
    check "muster-$program: no other program is" [ "$(ls "$root/usr/bin")" = "muster-$program" ]
    check "muster-$program: its user has a name" contains "$root/etc/passwd" '^nonroot:x:65532:65532:'
    check "muster-$program: packages are named" [ -s "$root/var/lib/dpkg/status.d/libc6" ]
    for package in $(ls "$root/var/lib/dpkg/status.d"); do
      check "muster-$program: licence of $package" [ -s "$root/usr/share/doc/$package/copyright" ]
    done
    check "muster-$program: the SBOM names the same packages" [ \
      "$(json "$root/usr/share/doc/muster/sbom.spdx.json" "' '.join(sorted(p['name'] for p in d['packages'][1:]))")" = \
      "$(ls "$root/var/lib/dpkg/status.d" | LC_ALL=C sort | paste -sd' ')" ]
  done
}

# Each target of the Dockerfile says how its image runs, since the operator's pods give neither command nor user.
dockerfile_names_user_and_program() {
  local program
  for program in operator worker aggregator device exec; do
    sed -n "/^FROM scratch AS muster-$program\$/,/^\$/p" "$SOURCE/images/Dockerfile" > "$program"
    check "muster-$program: user" contains "$program" '^USER 65532:65532$'
    check "muster-$program: program" contains "$program" "^ENTRYPOINT \[\"/usr/bin/muster-$program\"\]\$"
  done
}

# For programs of a user's own: to this one pip adds, as its own user.
dockerfile_of_python_is_debian_with_a_user_and_no_program() {
  sed -n '/^FROM python AS muster-python$/,/^$/p' "$SOURCE/images/Dockerfile" > python
  check "its user" contains python '^USER 65532:65532$'
  check "its Python is the one with the package" contains python "^ENV PATH=$(sed -nE 's/.* environment=(\S+) .*/\1/p' "$SOURCE/images/python")/bin:"
  check "no entrypoint: templates name commands" [ -z "$(grep ENTRYPOINT python)" ]
  check "muster.DistributedJob names this version" [ "$(PYTHONPATH="$SOURCE/python" python3 -c '
import inspect, muster
print(inspect.signature(muster.DistributedJob).parameters["image"].default)')" = "muster-python:$(sed -nE 's/^project\(muster VERSION ([0-9.]+).*/\1/p' "$SOURCE/CMakeLists.txt")" ]
}
# A function as muster.DistributedJob sends it, alone, and what pip adds; where the root of the image was made.
python_runs_a_function() {
  local root="$ROOTS/muster-python" bytes
  [ -d "$root" ] || { skip "no root of muster-python is here (MUSTER_IMAGE_ROOTS)"; return; }
  [ "$(id -u)" = 0 ] || { skip "only root can change the root folder"; return; }
  bytes=$(find "$root" -xdev -type f -printf '%s\n' | awk '{n += $1} END {printf "%d", n}')
  check "muster-python has $bytes bytes, more than 300 MB" [ "$bytes" -le 300000000 ]
  cat > function.py <<'PY'
import muster

def train():
    rule = type("Rule", (), {"step": lambda self: None})()
    model = muster.Arrays({"w": [1.0]})
    job = muster.init()
    opt = muster.Optimizer(rule, model)
    for rows in job.batches(list(range(8)), batch_size=4, collate=list):
        opt.step()
    print("steps", job.step, "version", muster.__version__)

train()
PY
  chmod a+rx "$ROOT" . && chmod a+r function.py
  "$SOURCE/tests/support/in_image" "$root" /opt/muster/bin/python3 "$PWD/function.py" > function.txt 2>&1
  check "a function runs in it: $(tail -2 function.txt)" contains function.txt '^steps 2 version [0-9.]+$'
  check "pip may add to it" [ "$(stat -c %u "$root/opt/muster/lib")" = 65532 ]
}

# As a container of a restricted pod: the root is read-only, the user is nobody.
trains_from_images() {
  local program
  [ "$(id -u)" = 0 ] || { skip "only root can change the root folder"; return; }
  collect
  for program in $PROGRAMS; do
    check "muster-$program starts" "$SOURCE/tests/support/in_image" "$ROOTS/muster-$program" "/usr/bin/muster-$program" --version > "$program.txt"
    check "muster-$program tells its version" contains "$program.txt" '[0-9]+\.[0-9]+\.[0-9]+'
  done
  mkdir bin
  cp "$MUSTER_BIN"/muster{,-init} bin
  for program in $PROGRAMS; do
    cat > "bin/muster-$program" <<SH
#!/bin/bash
chown -R 65532:65532 "$XDG_RUNTIME_DIR" "$PWD"
exec "$SOURCE/tests/support/in_image" "$ROOTS/muster-$program" "/usr/bin/muster-$program" "\$@"
SH
    chmod +x "bin/muster-$program"
  done
  chmod 755 "$ROOT"
  cat > job.yaml <<'YAML'
apiVersion: muster.dev/v1alpha1
kind: DistributedJob
metadata: {name: tiny}
spec:
  workers: {replicas: 2}
  training:
    model: {name: softmax}
    dataset: {name: synthetic}
    optimizer: {name: SGD, learningRate: 0.1}
    batchSize: 64
    epochs: 1
YAML
  timeout 120 bin/muster run job.yaml > run.txt 2>&1
  check "it trains: $(tail -5 run.txt)" contains run.txt '^phase +Succeeded'
}

run_case holds_what_is_loaded_and_no_more 240
run_case dockerfile_names_user_and_program 10
run_case dockerfile_of_python_is_debian_with_a_user_and_no_program 20
run_case python_runs_a_function 60
run_case trains_from_images 240
finish
