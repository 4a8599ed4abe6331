#!/bin/sh
# Tells the cluster that this machine is about to go, and waits until it may. Run it on the machine itself:
#   cluster/drain.sh [SECONDS]
# SECONDS is how long the machine still has (60 unless told). Trials that run here end at their next reporting interval
# and go on elsewhere, without being counted as failures; nothing new is placed here. The script ends when Ray has left
# this machine, or when the time is up. k8s/base calls it before a pod is stopped.
set -eu
seconds=${1:-60}
deadline=$(($(date +%s) + seconds))
here=$(readlink /proc/self/ns/net)

argument() { # NAME: what the raylet was started with
    tr '\0' '\n' <"/proc/$raylet/cmdline" | sed -n "s/^--$1=//p" | head -n 1
}

raylets=
for entry in /proc/[0-9]*; do
    # A raylet of another container or network namespace is another machine's.
    case $(tr '\0' '\n' <"$entry/cmdline" 2>/dev/null | head -n 1) in
        */raylet/raylet) [ "$(readlink "$entry/ns/net" || true)" = "$here" ] && raylets="$raylets ${entry#/proc/}" ;;
    esac
done
if [ -z "$raylets" ]; then
    echo "drain.sh: a machine of a Ray cluster is needed, but no raylet runs here; start Ray first." >&2
    exit 2
fi

for raylet in $raylets; do
    ray drain-node --address "$(argument gcs-address)" --node-id "$(argument node_id)" \
        --reason DRAIN_NODE_REASON_PREEMPTION --reason-message "drain.sh" --deadline-remaining-seconds "$seconds"
done
for raylet in $raylets; do
    while kill -0 "$raylet" 2>/dev/null && [ "$(date +%s)" -lt "$deadline" ]; do
        sleep 1
    done
done
