#!/usr/bin/env bash
# Runs a command whose temporary files lie in memory, and removes them: in_memory.sh COMMAND…
# What tests write is gone with them, and none of them cuts the power: waiting for a disk proves nothing, and the test
# servers and stores do so for each of thousands of commits. Without room in memory, or without Linux's /dev/shm, they lie
# where they always do. A run takes some 300 MB.
set -euo pipefail
memory=/dev/shm
room_kib_min=$((2 * 1024 * 1024))

has_room() {
  [[ -d $memory && -w $memory ]] &&
    df -Pk "$memory" | awk -v min="$room_kib_min" 'END { exit !($4 >= min) }' &&
    awk -v min="$room_kib_min" '/^MemAvailable:/ { found = $2 >= min } END { exit !found }' /proc/meminfo
}

if has_room; then
  TMPDIR=$(mktemp -d "$memory/sublet-tests.XXXXXX")
  export TMPDIR
  trap 'rm -rf "$TMPDIR"' EXIT
  chmod 711 "$TMPDIR" # PostgreSQL runs under another account where this is root's
fi
"$@"
