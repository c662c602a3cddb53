#!/bin/sh
# Starts one real Apache Kafka node on the loopback without Docker: needs Java 17 and Maven.
# Usage: up.sh [FOLDER [PORT]]; FOLDER (default data/kafka) keeps the jars, the log and the pid.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
folder=${1:-"$root/data/kafka"}
port=${2:-9092}

for tool in java mvn; do
    command -v "$tool" >/dev/null || {
        echo "kafka-up: $tool is missing. Next: install Java 17 and Maven, or run" \
            "\`docker compose up -d --wait kafka\`." >&2
        exit 1
    }
done
mkdir -p "$folder"
if [ -f "$folder/pid" ] && kill -0 "$(cat "$folder/pid")" 2>/dev/null; then
    echo "kafka-up: runs already, pid $(cat "$folder/pid")"
    exit 0
fi
if [ ! -f "$folder/libs/.complete" ]; then
    mvn -q -B -f "$here/pom.xml" dependency:copy-dependencies -DincludeScope=runtime \
        -DoutputDirectory="$folder/libs"
    touch "$folder/libs/.complete"
fi
sed -e "s|@PORT@|$port|g" -e "s|@CONTROLLER@|$((port + 1))|g" -e "s|@LOGS@|$folder/log|g" \
    "$here/server.properties" >"$folder/server.properties"
kafka() {
    class=$1
    shift
    java -Xms256m -Xmx512m "-Dlog4j2.configurationFile=$here/log4j2.properties" \
        -cp "$folder/libs/*" "$class" "$@"
}
if [ ! -f "$folder/log/meta.properties" ]; then
    kafka kafka.tools.StorageTool format -t "$(kafka kafka.tools.StorageTool random-uuid)" \
        -c "$folder/server.properties" >/dev/null
fi
# exec: the pid must be the broker's, not a shell's.
nohup java -Xms256m -Xmx512m "-Dlog4j2.configurationFile=$here/log4j2.properties" \
    -cp "$folder/libs/*" kafka.Kafka "$folder/server.properties" >"$folder/server.log" 2>&1 &
echo $! >"$folder/pid"
listens() {
    python3 -c "import socket; socket.create_connection(('127.0.0.1', $port), 1).close()" 2>/dev/null
}
tries=0
until listens; do
    tries=$((tries + 1))
    if [ "$tries" -gt 120 ] || ! kill -0 "$(cat "$folder/pid")" 2>/dev/null; then
        echo "kafka-up: Kafka does not listen on port $port. Next: read $folder/server.log." >&2
        exit 1
    fi
    sleep 0.5
done
echo "kafka-up: Apache Kafka listens on 127.0.0.1:$port."
echo "Next: export LAKE_KAFKA_BOOTSTRAP=127.0.0.1:$port"
