#!/bin/sh
# Stops the Kafka that up.sh started; its data stays. Usage: down.sh [FOLDER]
set -eu
here=$(cd "$(dirname "$0")" && pwd)
folder=${1:-"$here/../../data/kafka"}
[ -d "$folder" ] && folder=$(cd "$folder" && pwd)
if ! "$here/runs.sh" "$folder"; then
    rm -f "$folder/pid"
    echo "No Kafka of \`make kafka-up\` runs."
    exit 0
fi
pid=$(cat "$folder/pid")
kill "$pid" 2>/dev/null || true
tries=0
while kill -0 "$pid" 2>/dev/null; do
    tries=$((tries + 1))
    [ "$tries" -lt 60 ] || kill -9 "$pid" 2>/dev/null || true
    sleep 0.5
done
rm -f "$folder/pid"
echo "Kafka is stopped; its data stays in $folder."
