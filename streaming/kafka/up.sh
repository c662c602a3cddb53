#!/bin/sh
# Starts one real Apache Kafka node on the loopback without Docker: needs Java 17 and Maven.
# Usage: up.sh [FOLDER [PORT]]; FOLDER (default data/kafka) keeps the jars, the log and the pid.
# Exit code 3: what it needs is not there.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
folder=${1:-"$root/data/kafka"}
port=${2:-9092}

fail() {
    echo "Error: $1. Next: $2." >&2
    exit "${3:-1}"
}
listens() {
    python3 -c "import socket; socket.create_connection(('127.0.0.1', $1), 1).close()" 2>/dev/null
}

case $port in
*[!0-9]*) fail "$port is no port" "give a number above 1024" ;;
esac
for tool in java mvn python3; do
    command -v "$tool" >/dev/null || fail "$tool is missing" \
        "install Java 17, Maven and Python, or run \`docker compose up -d --wait kafka\`" 3
done
version=$(java -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p')
[ "${version:-0}" -ge 17 ] || fail "Kafka needs Java 17 or newer, this is ${version:-unknown}" \
    "install it, or run \`docker compose up -d --wait kafka\`" 3
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
if "$here/runs.sh" "$folder"; then
    echo "Apache Kafka runs already on 127.0.0.1:$(cat "$folder/port")."
    exit 0
fi
for wanted in "$port" $((port + 1)); do
    ! listens "$wanted" || fail "port $wanted is in use" \
        "end the other program, or run \`make kafka-up LAKE_KAFKA_PORT=$((port + 100))\`"
done
if [ ! -f "$folder/libs/.complete" ]; then
    mvn -q -B -f "$here/pom.xml" dependency:copy-dependencies -DincludeScope=runtime \
        "-DoutputDirectory=$folder/libs" >"$folder/maven.log" 2>&1 ||
        fail "Maven could not fetch Kafka" "read $folder/maven.log"
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
# Not by the function above: the pid must be the broker's, not a shell's.
nohup java -Xms256m -Xmx512m "-Dlog4j2.configurationFile=$here/log4j2.properties" \
    -cp "$folder/libs/*" kafka.Kafka "$folder/server.properties" >"$folder/server.log" 2>&1 &
echo $! >"$folder/pid"
echo "$port" >"$folder/port"
tries=0
until listens "$port"; do
    tries=$((tries + 1))
    if [ "$tries" -gt 120 ] || ! "$here/runs.sh" "$folder"; then
        fail "Kafka does not listen on port $port" "read $folder/server.log"
    fi
    sleep 0.5
done
echo "Apache Kafka listens on 127.0.0.1:$port."
echo "Next: export LAKE_KAFKA_BOOTSTRAP=127.0.0.1:$port"
