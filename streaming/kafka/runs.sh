#!/bin/sh
# Says by its exit code whether the Kafka that up.sh started in a folder runs. Usage: runs.sh FOLDER
set -eu
pid=$(cat "$1/pid" 2>/dev/null) || exit 1
# The number alone proves nothing: after a restart of the machine it may be anybody's.
if [ -d /proc/self ]; then
    tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -qF "$1/server.properties"
else
    ps -o args= -p "$pid" 2>/dev/null | grep -qF "$1/server.properties"
fi
