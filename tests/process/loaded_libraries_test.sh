#!/usr/bin/env bash
# What a start loads, since every pod pays for it anew: by names and counts, not by time.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# Neither a program nor a library of ours names one of which it uses no symbol. (The loader gives no symbol by itself.)
names_only_what_it_uses() {
  local file unused
  for file in "$MUSTER_BIN"/muster{,-operator,-worker,-aggregator,-device} "$MUSTER_BIN"/../lib/muster/*; do
    check "there is no $file" [ -f "$file" ] || continue
    unused=$(ldd -u "$file" | grep '^\s*/' | grep -v /ld-linux)
    check "${file##*/} names $unused and uses nothing of it" [ -z "$unused" ]
  done
}

# Debian's libtorch names OpenCV, which brings Qt, ffmpeg and 240 more.
loads_few_libraries() {
  local program most count
  while read -r program most; do
    LD_DEBUG=files LD_DEBUG_OUTPUT=log "$MUSTER_BIN/$program" --version > version.txt
    check "$program --version" contains version.txt '[0-9]+\.[0-9]+\.[0-9]+'
    count=$(cat log.* | grep -c 'calling init: ')
    check "$program loads $count libraries, more than $most" [ "$count" -le "$most" ]
    check "$program loads $count libraries: they were not counted" [ "$count" -gt 5 ]
    rm log.*
  done <<< 'muster-worker 95
muster-aggregator 95
muster-device 95
muster-operator 20
muster 22'
}

# The end of a pod is part of the next one's start: libtorch's destructors would take 0.1 s of CPU time.
takes_no_library_apart() {
  local program
  for program in worker aggregator device; do
    LD_DEBUG=files LD_DEBUG_OUTPUT=log "$MUSTER_BIN/muster-$program" --version > version.txt
    check "muster-$program ran the destructors of its libraries" [ "$(cat log.* | grep -c 'calling fini: ')" = 0 ]
    rm log.*
  done
}

run_case names_only_what_it_uses 60
run_case loads_few_libraries 60
run_case takes_no_library_apart 60
finish
