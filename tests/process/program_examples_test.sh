#!/usr/bin/env bash
# Examples with a model of one's own that need more than torch, to their targets: a transformer on the King James Bible (Debian's
# bible-kjv-text), Hugging Face's Trainer (transformers), and a DistributedDataParallel script whose gradients are compressed.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

use_library 'torch, numpy'
[ -n "$PYTHON" ] || { skip "no python3 here has torch and numpy; ./dev setup installs Debian's python3-torch"; exit 77; }

field() { json out.json "d['objects'][0]$1"; }
run() {  # SECONDS MANIFEST; python3 of the pods is PYTHON
  [ -d bin ] || { mkdir bin; ln -s "$PYTHON" bin/python3; }
  PATH="$PWD/bin:$PATH" PYTHONPATH="$PYTHONPATH:$SOURCE/examples/programs" timeout "$1" "$MUSTER" run "$2" --output json --verbose > out.json 2> err.txt
}

a_transformer_beats_the_order_1_model() {
  [ -e /usr/lib/bible.data ] || { skip "there is no /usr/lib/bible.data; ./dev setup installs Debian's bible-kjv-text"; return; }
  # A third of the text is enough.
  sed "s|^          - {name: DATA,.*|&\n          - {name: EVERY, value: '3'}|; s|command: .*|command: [bash, -c, 'exec python3 -m bible > $PWD/said-\$MUSTER_INDEX.txt']|" \
    "$SOURCE/examples/programs/bible.yaml" > bible.yaml
  run 150 bible.yaml || { fail "exit code $?: $(tail -5 err.txt)"; return; }
  check "equal parameters" [ "$(field '["parametersEqual"]')" = True ]
  check "what it measured" [ "$(field '["accuracy"] > 0.3')" = True ]
  cat said-*.txt > said.txt  # of rank 0, whichever pod that is
  check "two perplexities" contains said.txt 'perplexity [0-9.]+ of verses that were held back; of the order-1 model 9\.56'
  check "the lower one is its own" [ "$(sed -nE 's/.*perplexity ([0-9.]+) of verses.*/\1 < 9.56/p' said.txt | xargs -I{} python3 -c 'print({})')" = True ]
}
hugging_faces_trainer_trains_in_a_job() {
  "$PYTHON" -c 'import transformers, accelerate' 2> /dev/null || { skip "hugging-face.yaml: $PYTHON has no transformers and accelerate"; return; }
  run 240 "$SOURCE/examples/programs/hugging-face.yaml" || { fail "exit code $?: $(tail -5 err.txt)"; return; }
  check "it has learnt" [ "$(field '["accuracy"] > 0.9')" = True ]
  check "all steps" [ "$(field '["history"][-1]["at"]')" = 128 ]
  check "equal parameters" [ "$(field '["parametersEqual"]')" = True ]
}
gradients_of_a_ddp_script_are_compressed() {
  local hook
  for hook in 'model.register_comm_hook(None, muster.c10d.compressed_hook)' 'pass'; do
    rm -rf muster-out said-*.txt
    sed "s/^optimizer = /$hook\noptimizer = /; s/range(5)/range(3)/" "$SOURCE/examples/programs/ddp.py" > hooked.py
    cat > group.yaml <<EOM
apiVersion: muster.dev/v1alpha1
kind: DistributedJob
metadata: {name: group}
spec:
  workers: {replicas: 3, template: {spec: {containers: [{name: worker, image: "example.org/own:1", command: [bash, -c, "exec $PYTHON $PWD/hooked.py > $PWD/said-\$MUSTER_INDEX.txt 2>&1"]}]}}}
  training: {program: {}}
  compression: {quantizationBits: 8}
  synchronization: {topology: Direct, timeoutSeconds: 30}
EOM
    run 60 group.yaml || { fail "exit code $?: $(tail -5 err.txt)"; return; }
    check "three ranks with the same parameters" [ "$(grep -ohE 'rank [012] of 3 is done, its parameters add up to .*' said-*.txt | sed 's/.*to //' | sort | uniq -c | awk '{print $1}')" = 3 ]
    check "bytes by the formula" [ "$(field '["payloadBytesSent"] == d["objects"][0]["payloadBytesExpected"]')" = True ]
    field '["payloadBytesSent"]' >> bytes.txt
    check "it has learnt" [ "$(sed -nE 's/^epoch 3: loss ([0-9.]+)/\1 < 0.3/p' said-0.txt | xargs -I{} python3 -c 'print({})')" = True ]
  done
  check "a third of the bytes and less" [ "$(head -1 bytes.txt)" -lt $(($(tail -1 bytes.txt) / 3)) ]
  check "what compresses nothing is told" contains err.txt 'spec.compression compresses nothing'
}

run_case a_transformer_beats_the_order_1_model 180
run_case hugging_faces_trainer_trains_in_a_job 270
run_case gradients_of_a_ddp_script_are_compressed 150
finish
