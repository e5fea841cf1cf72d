"""When somebody is to be told of what, by words that a runbook explains; a test holds the two together.

What stands here our processes tell; what others tell stands in `cluster_alerts`.
"""

from deploy.k8s.nats_config import FILE_STORE_GIB
from deploy.observability.alert import PAGE, TICKET, Alert
from deploy.observability.cluster_alerts import CLUSTER, POSTGRES
from deploy.observability.objectives import ANSWERED, QUICK, burns
from deploy.observability.queries import ALERT_WINDOW, largest, news, quantile, rate

_OURS = 'service=~"gateway|social|embedder|retriever"'
_FAILED = 'code=~"INTERNAL|UNKNOWN|DEADLINE_EXCEEDED|UNAVAILABLE"'
# Four fifths of what a server of NATS keeps.
_MOST_STREAM_BYTES = FILE_STORE_GIB * 1024**3 * 4 // 5
# What waits for long by nature: a switch waits for a whole library.
_SHORT_JOBS = 'kind!="ENCODER_SWITCH"'


_GATEWAY = (
    Alert(
        "GatewayFailsFast",
        f"{burns(ANSWERED, 14.4, '1h', '5m')} or {burns(ANSWERED, 6, '6h', '30m')}",
        "2m",
        PAGE,
        "So many requests are not answered that a month's allowance is gone within five days.",
    ),
    Alert(
        "GatewayFailsSlowly",
        burns(ANSWERED, 1, "3d", "6h"),
        "1h",
        TICKET,
        "More requests are not answered than a month allows.",
    ),
    Alert(
        "GatewayIsSlow",
        f"{burns(QUICK, 14.4, '1h', '5m')} or {burns(QUICK, 6, '6h', '30m')}",
        "5m",
        PAGE,
        "Many more than 1 % of GraphQL requests take longer than a second.",
    ),
    Alert(
        "GatewayRefuses",
        f"{rate('museed_gateway_refused_requests_total', 'reason', window=ALERT_WINDOW)} > 0.1",
        "5m",
        TICKET,
        "Requests are refused ({{ $labels.reason }}), because there is more to do than the gateway can.",
    ),
)
_EVERYBODY = (
    Alert(
        "ProcessAway", f"up{{{_OURS}}} == 0", "2m", PAGE, "{{ $labels.service }} ({{ $labels.pod }}) does not answer."
    ),
    Alert(
        "ServiceMissing",
        " or ".join(f'absent(up{{service="{name}"}})' for name in ("gateway", "social", "embedder", "retriever")),
        "5m",
        PAGE,
        "There is no process of {{ $labels.service }}.",
    ),
    Alert(
        "ProcessRestarts",
        f"sum by (service) (changes(process_start_time_seconds{{{_OURS}}}[15m])) > 2",
        "0m",
        TICKET,
        "{{ $labels.service }} was started again more than twice within a quarter of an hour.",
    ),
    Alert(
        "CertificateEnds",
        "min by (service, pod) (museed_tls_certificate_left_seconds) < 1209600",
        "1h",
        TICKET,
        "The certificate of {{ $labels.pod }} ends in {{ $value | humanizeDuration }}, and has not been renewed.",
    ),
    Alert(
        "CallsFail",
        rate("museed_rpc_handled_total", "service", _FAILED, ALERT_WINDOW)
        + " / "
        + rate("museed_rpc_handled_total", "service", window=ALERT_WINDOW)
        + " > 0.02",
        "5m",
        PAGE,
        "{{ $value | humanizePercentage }} of the calls to {{ $labels.service }} fail by no fault of the caller's.",
    ),
    Alert(
        "CallsAreRefused",
        rate("museed_rpc_handled_total", "service, reason", 'code="RESOURCE_EXHAUSTED"', ALERT_WINDOW) + " > 1",
        "10m",
        TICKET,
        "{{ $labels.service }} refuses calls for want of room ({{ $labels.reason }}).",
    ),
    Alert(
        "FilesAreNotStored",
        f"sum by (service) (increase(museed_blob_write_failures_total[{ALERT_WINDOW}])) > 0",
        "5m",
        PAGE,
        "The store of files is full or away: {{ $labels.service }} cannot write to it.",
    ),
    Alert(
        "LoopIsLate",
        f"{quantile(0.99, 'museed_event_loop_lag_seconds', 'service, pod', window=ALERT_WINDOW)} > 0.25",
        "10m",
        TICKET,
        "The event loop of {{ $labels.pod }} is late: something blocks it, or its processor is not enough.",
    ),
)
_QUEUES = (
    Alert(
        "OutboxWaits",
        f"{largest('museed_social_outbox_oldest_seconds', 'kind')} > 60",
        "5m",
        PAGE,
        "Messages that are promised ({{ $labels.kind }}) have not been published for {{ $value | humanizeDuration }}.",
    ),
    Alert(
        "JobsWait",
        f"{largest('museed_social_jobs_oldest_seconds', 'kind, state', _SHORT_JOBS)} > 600",
        "5m",
        PAGE,
        "A job ({{ $labels.kind }}, {{ $labels.state }}) has not ended for {{ $value | humanizeDuration }}.",
    ),
    Alert(
        "JobsFail",
        news("museed_social_jobs_ended_total", "kind, reason", 'outcome="failed", reason=~"INTERNAL|JOB_ABANDONED"'),
        "0m",
        TICKET,
        "Jobs ({{ $labels.kind }}) end by a fault of ours: {{ $labels.reason }}.",
    ),
    Alert(
        "DeadLetters",
        largest("museed_social_stream_messages", where='stream="DEAD_LETTERS"') + " > 0",
        "15m",
        TICKET,
        "{{ $value }} messages were set aside, since nobody could work them off.",
    ),
    Alert(
        "WorkWaits",
        f"{largest('museed_social_work_oldest_seconds')} > 21600",
        "15m",
        TICKET,
        "A sound has waited for its embedding for {{ $value | humanizeDuration }}.",
    ),
    Alert(
        "WorkStands",
        " + ".join(
            largest(f"museed_social_consumer_{name}_messages", where='stream="EMBED_WORK"')
            for name in ("waiting", "in_hand")
        )
        + " > 0 unless "
        + rate(
            "museed_bus_handled_total", where='stream="EMBED_WORK", outcome=~"acked|dead_lettered"', window=ALERT_WINDOW
        )
        + " > 0",
        "15m",
        PAGE,
        "Sounds wait to be embedded, and none of them comes to its end.",
    ),
    Alert(
        "StreamIsNearlyFull",
        largest("museed_social_stream_messages", where='stream="EMBED_WORK"') + " > 900000",
        "5m",
        TICKET,
        "EMBED_WORK refuses more than 1,000,000 messages; what comes beyond waits in the outbox.",
    ),
    Alert(
        "LogsFillTheirDisk",
        f"sum({largest('museed_social_stream_bytes', 'stream')}) > {_MOST_STREAM_BYTES}",
        "15m",
        TICKET,
        "The streams of NATS hold {{ $value | humanize1024 }}B, more than four fifths of what a server keeps.",
    ),
    Alert(
        "BusAway",
        f"{largest('museed_social_nats_answers')} == 0",
        "2m",
        PAGE,
        "NATS does not answer: writes go on, and nobody hears of them.",
    ),
    Alert(
        "BusDoesNotConfirm",
        rate("museed_bus_published_total", "service, stream", 'outcome="unconfirmed"', ALERT_WINDOW) + " > 0",
        "10m",
        TICKET,
        "Messages of {{ $labels.service }} to {{ $labels.stream }} are not confirmed.",
    ),
)
_DATABASE = (
    Alert(
        "DatabaseAway",
        "min(museed_social_figures_age_seconds) > 120",
        "1m",
        PAGE,
        "No process of social could ask the database for two minutes.",
    ),
    Alert(
        "PoolIsUsedUp",
        "max by (pod, pool) (museed_social_pool_connections_in_use / museed_social_pool_connections_limit) > 0.9",
        "10m",
        TICKET,
        "Nearly all connections of {{ $labels.pod }} ({{ $labels.pool }}) are borrowed all the time.",
    ),
    Alert(
        "PoolIsWaitedFor",
        f"{quantile(0.99, 'museed_social_pool_wait_seconds', 'pool', window=ALERT_WINDOW)} > 0.5",
        "10m",
        TICKET,
        "Connections to the database ({{ $labels.pool }}) are waited for.",
    ),
)
_RETRIEVER = (
    Alert(
        "IndexIncomplete",
        "min by (pod, encoder_id) (museed_retriever_caught_up and museed_retriever_serving == 1) == 0",
        "10m",
        PAGE,
        "The index of {{ $labels.pod }} is not complete; it refuses calls.",
    ),
    Alert(
        "IndexBehind",
        f"{largest('museed_retriever_log_pending_messages', 'pod, encoder_id')} > 1000",
        "10m",
        TICKET,
        "{{ $labels.pod }} has {{ $value }} messages of the vector log before it.",
    ),
    Alert(
        "LogSilent",
        f"{largest('museed_retriever_log_silent_seconds', 'pod, encoder_id')} > 60",
        "2m",
        TICKET,
        "{{ $labels.pod }} has not heard of the vector log for {{ $value | humanizeDuration }}.",
    ),
    Alert(
        "IndexesDiffer",
        f"{largest('museed_retriever_tracks', 'encoder_id')} - min by (encoder_id) (museed_retriever_tracks) > 100",
        "15m",
        TICKET,
        "Retrievers hold different numbers of tracks of {{ $labels.encoder_id }}.",
    ),
    Alert(
        "IndexRefusesMessages",
        news("museed_retriever_refused_messages_total", "encoder_id, reason"),
        "0m",
        TICKET,
        "Messages of the vector log were passed over: {{ $labels.reason }}.",
    ),
    Alert(
        "SnapshotsFail",
        "sum by (pod) (increase(museed_retriever_snapshot_failures_total[30m])"
        " + increase(museed_retriever_merge_failures_total[30m])) > 0",
        "0m",
        TICKET,
        "{{ $labels.pod }} cannot write snapshots or make its next base.",
    ),
)
_EMBEDDER = (
    Alert(
        "ModelFails",
        "sum by (pod) (increase(museed_embedder_model_failures_total[15m])) > 0",
        "0m",
        TICKET,
        "The model of {{ $labels.pod }} failed on sounds.",
    ),
    Alert(
        "DecodersDie",
        "sum by (pod, reason) (increase(museed_embedder_decoder_losses_total[15m])) > 5",
        "0m",
        TICKET,
        "Decoding processes of {{ $labels.pod }} die at work: {{ $labels.reason }}.",
    ),
    Alert(
        "UploadsWaitForModel",
        quantile(0.95, "museed_embedder_queue_wait_seconds", "", 'lane="interactive"', ALERT_WINDOW) + " > 5",
        "10m",
        TICKET,
        "People wait for the model for longer than five seconds.",
    ),
)
ALERTS = {
    "gateway": _GATEWAY,
    "processes": _EVERYBODY,
    "queues": _QUEUES,
    "database": POSTGRES + _DATABASE,
    "cluster": CLUSTER,
    "retriever": _RETRIEVER,
    "embedder": _EMBEDDER,
}
