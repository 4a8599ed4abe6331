#!/bin/sh
# Drains this machine as soon as its cloud says that it will take it away:
#   cluster/spot.sh aws|gcp
# Ask for it where Ray is started on spot machines, in the background; cluster/aws.yaml and cluster/gcp.yaml do. AWS gives
# notice of 120 s and GCP of 30 s, and neither ends Ray in order by itself. RAYTUNE_METADATA_URL is where the notice is
# read, and RAYTUNE_METADATA_EVERY_S how often, if not at the cloud's own address every 2 s.
set -eu
every=${RAYTUNE_METADATA_EVERY_S:-2}
case ${1:-} in
aws)
    url=${RAYTUNE_METADATA_URL:-http://169.254.169.254}
    seconds=110
    is_taken() {
        token=$(curl -fsS -m 2 -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' "$url/latest/api/token") &&
            curl -fs -m 2 -o /dev/null -H "X-aws-ec2-metadata-token: $token" "$url/latest/meta-data/spot/instance-action"
    }
    ;;
gcp)
    url=${RAYTUNE_METADATA_URL:-http://metadata.google.internal}
    seconds=25
    is_taken() {
        [ "$(curl -fsS -m 2 -H 'Metadata-Flavor: Google' "$url/computeMetadata/v1/instance/preempted")" = TRUE ]
    }
    ;;
*)
    echo "spot.sh: the cloud must be named, aws or gcp, but got '${1:-}'." >&2
    exit 2
    ;;
esac
if ! command -v curl >/dev/null; then
    echo "spot.sh: curl is needed, but is not there; install it, or this machine is taken away without notice." >&2
    exit 2
fi
until is_taken; do
    sleep "$every"
done
exec "$(dirname "$0")/drain.sh" "$seconds"
