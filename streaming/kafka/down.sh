#!/bin/sh
# Stops the Kafka that up.sh started; its data stays. Usage: down.sh [FOLDER]
set -eu
folder=${1:-"$(cd "$(dirname "$0")/../.." && pwd)/data/kafka"}
[ -f "$folder/pid" ] || { echo "kafka-down: not running"; exit 0; }
pid=$(cat "$folder/pid")
kill "$pid" 2>/dev/null || true
tries=0
while kill -0 "$pid" 2>/dev/null; do
    tries=$((tries + 1))
    [ "$tries" -lt 60 ] || kill -9 "$pid" 2>/dev/null || true
    sleep 0.5
done
rm -f "$folder/pid"
echo "kafka-down: stopped"
