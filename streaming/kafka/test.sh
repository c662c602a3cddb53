#!/usr/bin/env bash
# Runs a command with a real Kafka of its own, named in LAKE_KAFKA_BOOTSTRAP; stops it in any case.
# Without Java 17 or Maven the command runs without one. Usage: test.sh COMMAND ...
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

if ! command -v java >/dev/null || ! command -v mvn >/dev/null; then
    echo "No Java or no Maven: tests on a real Kafka are skipped; those of the in-process broker run."
    exec "$@"
fi
folder=$(mktemp -d)
trap '"$here/down.sh" "$folder" >/dev/null || true; rm -rf "$folder"' EXIT
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
# Not into a pipe: the broker would keep it open.
if ! "$here/up.sh" "$folder" "$port" >"$folder/up.log" 2>&1; then
    cat "$folder/up.log" >&2
    exit 1
fi
head -n 1 "$folder/up.log"
LAKE_KAFKA_BOOTSTRAP="127.0.0.1:$port" "$@"
