# Starts NATS with TLS, and has it read its certificate again when that was renewed.
kind=single
if grep -q '"cluster": {' "${NATS_PLAIN_CONFIG:-/etc/nats/nats.conf}"; then kind=cluster; fi
certificate="${NATS_CERTIFICATE:-/etc/museed/tls/tls.crt}"
(
  seen=$(cksum < "$certificate")
  while sleep "${NATS_LOOK_INTERVAL_S:-60}"; do
    now=$(cksum < "$certificate")
    if [ "$now" != "$seen" ] && nats-server --signal reload="${NATS_PID_FILE:-/tmp/nats.pid}"; then seen=$now; fi
  done
) &
exec nats-server --config "${NATS_CONFIG_FOLDER:-/etc/nats-tls}/nats-$kind.conf" "$@"
