#!/usr/bin/env bash
# Certificates of a running control plane: an authority that is lost, a Secret's name that somebody else took first.
# Needs kubectl and openssl.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
for program in kubectl openssl; do
  command -v $program > /dev/null || { skip "there is no $program"; exit 77; }
done

has_authority() { kubectl --namespace muster-system get secret muster-ca > /dev/null 2>&1; }
field() { kubectl get "$1" --output "jsonpath=$2"; }
field_is() { [ "$(field "$1" "$2" 2> /dev/null)" = "$3" ]; }
condition() { field dj/ring "{.status.conditions[?(@.type==\"$1\")].$2}"; }
condition_is() { [ "$(condition "$1" status 2> /dev/null)" = "$2" ]; }
authority() {  # its id: the first 8 digits of the SHA-256 of its certificate
  kubectl --namespace muster-system get secret muster-ca --output 'jsonpath={.data.ca\.crt}' | base64 -d |
    openssl x509 -outform DER | sha256sum | cut -c 1-8
}
job() {  # a job of two that lasts
  write_job job.yaml ring "" 2 100000
  kubectl apply --filename job.yaml > applied.txt 2>&1 || fail "$(cat applied.txt)"
}

a_lost_authority_replaces_the_pods_without_counting() {
  up || return
  wait_until 30 has_authority || fail "no authority"
  job
  wait_until 60 field_is dj/ring '{.status.phase}' Running || fail "never ran"
  local old new
  old="$(authority)"
  check "the pods' keys are its" field_is pod/ring-worker-0 '{.metadata.labels.muster\.dev/ca}' "$old"
  check "one Secret of keys" [ "$(kubectl get secrets --output name | wc -l)" = 1 ]
  kubectl --namespace muster-system delete secret muster-ca > /dev/null
  kill -9 $(processes_named muster-operator)
  wait_until 60 field_is dj/ring '{.status.disruptions}' 1 || fail "no disruption"
  new="$(authority)"
  check "another authority" [ "$old" != "$new" ]
  wait_until 60 field_is pod/ring-worker-1 '{.metadata.labels.muster\.dev/ca}' "$new" || fail "no new pods"
  wait_until 60 field_is dj/ring '{.status.phase}' Running || fail "did not go on"
  check "nothing is counted" field_is dj/ring '{.status.restarts}' ''
  down
}

# A second operator finds no Secret and makes one: the first has to give way, else each would replace the other's pods.
of_two_operators_with_different_authorities_one_gives_way() {
  up || return
  wait_until 30 has_authority || fail "no authority"
  job
  wait_until 60 field_is dj/ring '{.status.phase}' Running || fail "never ran"
  local first second new
  first="$(processes_named muster-operator)"
  kubectl --namespace muster-system delete secret muster-ca > /dev/null
  "$MUSTER_BIN/muster-operator" --kubeconfig "$KUBECONFIG" --metrics-address 127.0.0.1:0 > second.txt 2>&1 &
  second=$!
  wait_until 60 has_authority || fail "no second authority: $(cat second.txt)"
  new="$(authority)"
  has_ended() { ! kill -0 "$first" 2> /dev/null; }
  wait_until 60 has_ended || fail "the first operator goes on"
  wait_until 60 field_is pod/ring-worker-1 '{.metadata.labels.muster\.dev/ca}' "$new" || fail "no new pods"
  wait_until 60 field_is dj/ring '{.status.phase}' Running || fail "did not go on"
  # The first gives way when the second deletes its pods, or when it sees a pod of the second's.
  check "few disruptions" [ "$(field dj/ring '{.status.disruptions}')" -le 3 ]
  check "the Secret stays" [ "$(authority)" = "$new" ]
  kill "$second"
  wait "$second"
  down
}

a_name_that_was_taken_first_is_told_and_can_be_freed() {
  up || return
  wait_until 30 has_authority || fail "no authority"
  write_job job.yaml ring "" 2 100000
  printf '  suspend: true\n' >> job.yaml
  kubectl apply --filename job.yaml > applied.txt 2>&1 || fail "$(cat applied.txt)"
  local uid name i
  uid="$(field dj/ring '{.metadata.uid}')"
  name="ring-${uid:0:8}-$(authority)-worker-0"
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.crt -days 2 -subj /CN=other \
    > openssl.txt 2>&1
  for i in 0 1; do
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout $i.key -out $i.csr -subj /CN=x >> openssl.txt 2>&1
    openssl x509 -req -in $i.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 1 -out $i.crt \
      -extfile <(echo "subjectAltName=DNS:worker-$i.$uid.muster.dev") >> openssl.txt 2>&1 || fail "$(cat openssl.txt)"
  done
  kubectl create secret generic "$name" --from-file 0.key --from-file 0.crt --from-file 1.key --from-file 1.crt --from-file ca.crt \
    > /dev/null || fail "no Secret"
  kubectl patch dj/ring --type merge --patch '{"spec": {"suspend": false}}' > /dev/null
  wait_until 60 condition_is CredentialsRejected True || fail "not told: $(kubectl get dj/ring --output yaml)"
  condition CredentialsRejected message > message.txt
  check "names the Secret" contains message.txt "Secret default/$name"
  check "and the remedy" contains message.txt "delete it and the pod"
  check "nothing was configured" [ "$(field dj/ring '{.status.phase}')" != Succeeded ]
  kubectl delete secret "$name" > /dev/null
  wait_until 100 eval "kubectl get secret $name > /dev/null 2>&1" || fail "the Secret is not made again"
  kubectl delete pods --all --wait=false > /dev/null  # the operator may be first, and then kubectl waits for the new one
  wait_until 60 field_is dj/ring '{.status.phase}' Running || fail "did not go on"
  wait_until 30 condition_is CredentialsRejected False || fail "still told"
  down
}

run_case a_lost_authority_replaces_the_pods_without_counting 200
run_case of_two_operators_with_different_authorities_one_gives_way 300
run_case a_name_that_was_taken_first_is_told_and_can_be_freed 300
finish
