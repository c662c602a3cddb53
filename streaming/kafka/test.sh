#!/usr/bin/env bash
# Runs a command with a real Kafka of its own, named in LAKE_KAFKA_BOOTSTRAP; stops it in any case.
# Without Java 17 or Maven the command runs without one. Usage: test.sh COMMAND ...
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
folder=$(mktemp -d)
trap '"$here/down.sh" "$folder" >/dev/null || true; rm -rf "$folder"' EXIT

python=$(command -v python3 || true)
free='import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
code=0
# Not into a pipe: the broker would keep it open.
"$here/up.sh" "$folder" "$(${python:-true} -c "$free")" >"$folder/up.log" 2>&1 || code=$?
head -n 1 "$folder/up.log"
case $code in
0) LAKE_KAFKA_BOOTSTRAP="127.0.0.1:$(cat "$folder/port")" "$@" ;;
3)
    echo "Tests on a real Kafka are skipped; those on the in-process broker run."
    "$@"
    ;;
*) exit "$code" ;;
esac
