"""The dashboards."""

from deploy.observability.objectives import ANSWERED, OBJECTIVES, QUICK, series
from deploy.observability.panels import Board, Panel
from deploy.observability.queries import largest, mean, quantile, rate, total


def _latency(title: str, histogram: str, by: str = "", where: str = "", note: str = "") -> Panel:
    legend = f" {{{{{by}}}}}" if by else ""
    shares = ((0.5, "half"), (0.95, "95 %"), (0.99, "99 %"))
    return Panel(title, "s", [(quantile(share, histogram, by, where), name + legend) for share, name in shares], note)


def _rates(title: str, counter: str, by: str, where: str = "", unit: str = "ops", note: str = "") -> Panel:
    legend = " ".join(f"{{{{{label.strip()}}}}}" for label in by.split(","))
    return Panel(title, unit, [(rate(counter, by, where), legend)], note, is_stacked=True)


_PROCESSES = (
    Panel("Processes that answer", "short", [("sum by (service) (up)", "{{service}}")]),
    Panel(
        "Processors in use",
        "short",
        [("sum by (service, pod) (rate(process_cpu_seconds_total[$__rate_interval]))", "{{pod}}")],
        "One is a core.",
    ),
    Panel("Memory", "bytes", [(total("process_resident_memory_bytes", "service, pod"), "{{pod}}")], "Flat under load."),
    Panel("Open files", "short", [(total("process_open_fds", "service, pod"), "{{pod}}")]),
    Panel(
        "Lateness of event loops (99 %)",
        "s",
        [(quantile(0.99, "museed_event_loop_lag_seconds", "service, pod"), "{{pod}}")],
        "Above 50 ms something blocks the loop.",
    ),
    Panel("Starts", "short", [("changes(process_start_time_seconds[1h])", "{{pod}}")], "Within an hour."),
)

OVERVIEW = Board(
    "overview",
    "MUSEED: overview",
    (
        (
            "What people get",
            (
                Panel(
                    "Answered, of six hours",
                    "percentunit",
                    [(f"1 - {series(ANSWERED, '6h')}", "answered")],
                    ANSWERED.says,
                    is_number=True,
                ),
                Panel(
                    "Within a second, of six hours",
                    "percentunit",
                    [(f"1 - {series(QUICK, '6h')}", "quick")],
                    QUICK.says,
                    is_number=True,
                ),
                Panel(
                    "How fast the allowance is used up",
                    "short",
                    [(f"{series(one, '1h')} / {one.allowed:g}", one.name) for one in OBJECTIVES],
                    "1 uses up in 30 days what is allowed in 30 days; 14.4 in two.",
                ),
                _rates("Requests", "museed_gateway_requests_total", "route", unit="reqps"),
                _latency("GraphQL requests", "museed_gateway_request_seconds", where='route="/graphql"'),
                _rates("Refused for want of room", "museed_gateway_refused_requests_total", "reason", unit="reqps"),
            ),
        ),
        (
            "What waits",
            (
                Panel(
                    "Open jobs", "short", [(largest("museed_social_jobs_open", "kind, state"), "{{kind}} {{state}}")]
                ),
                Panel(
                    "Oldest promised message",
                    "s",
                    [(largest("museed_social_outbox_oldest_seconds", "kind"), "{{kind}}")],
                    "Below a second.",
                ),
                Panel("Sounds without an embedding", "short", [(largest("museed_social_work_unanswered"), "sounds")]),
                Panel(
                    "Dead letters",
                    "short",
                    [(largest("museed_social_stream_messages", where='stream="DEAD_LETTERS"'), "letters")],
                    "None.",
                    is_number=True,
                ),
                Panel(
                    "Tracks that can be found",
                    "short",
                    [("min by (encoder_id) (museed_retriever_tracks)", "{{encoder_id}}")],
                    is_number=True,
                ),
                Panel(
                    "Vector log before the index",
                    "short",
                    [(largest("museed_retriever_log_pending_messages", "pod"), "{{pod}}")],
                ),
            ),
        ),
        ("Processes", _PROCESSES),
    ),
)
GATEWAY = Board(
    "gateway",
    "MUSEED: gateway",
    (
        (
            "Requests",
            (
                _rates("By status", "museed_gateway_requests_total", "status", unit="reqps"),
                _rates("By route", "museed_gateway_requests_total", "route, method", unit="reqps"),
                Panel(
                    "Duration (95 %) by route",
                    "s",
                    [(quantile(0.95, "museed_gateway_request_seconds", "route"), "{{route}}")],
                ),
            ),
        ),
        (
            "Operations",
            (
                _rates("Outcome", "museed_gateway_operations_total", "kind, outcome"),
                _latency("Duration", "museed_gateway_operation_seconds", "kind"),
                _rates("Errors in answers", "museed_gateway_errors_total", "code, reason"),
                Panel(
                    "Cost in points",
                    "short",
                    [
                        (mean("museed_gateway_cost_points"), "mean"),
                        (quantile(0.99, "museed_gateway_cost_points"), "99 %"),
                    ],
                    "A page of 25 tracks is about 40.",
                ),
            ),
        ),
        (
            "Room",
            (
                Panel(
                    "At work",
                    "short",
                    [
                        (total("museed_gateway_requests_at_work", "pod"), "{{pod}}"),
                        (total("museed_gateway_requests_at_work_limit", "pod"), "limit {{pod}}"),
                    ],
                ),
                Panel("Waiting", "short", [(total("museed_gateway_requests_waiting", "pod"), "{{pod}}")]),
                Panel(
                    "Open",
                    "short",
                    [
                        (total("museed_gateway_connections"), "connections"),
                        (total("museed_gateway_sockets"), "sockets"),
                    ],
                ),
            ),
        ),
    ),
)
SOCIAL = Board(
    "social",
    "MUSEED: social",
    (
        (
            "Jobs",
            (
                _rates("Ends", "museed_social_jobs_ended_total", "kind, outcome, reason"),
                Panel(
                    "Age of the oldest open job",
                    "s",
                    [(largest("museed_social_jobs_oldest_seconds", "kind, state"), "{{kind}} {{state}}")],
                ),
                _latency("Until the end", "museed_social_job_seconds", "kind"),
                _rates("Given back for lack of something", "museed_social_job_waits_total", "kind, reason"),
            ),
        ),
        (
            "Promised messages and streams",
            (
                Panel("Outbox", "short", [(largest("museed_social_outbox_rows", "kind"), "{{kind}}")]),
                Panel(
                    "Messages of streams", "short", [(largest("museed_social_stream_messages", "stream"), "{{stream}}")]
                ),
                Panel("Size of streams", "bytes", [(largest("museed_social_stream_bytes", "stream"), "{{stream}}")]),
                Panel(
                    "Not given out yet",
                    "short",
                    [(largest("museed_social_consumer_waiting_messages", "stream, consumer"), "{{consumer}}")],
                ),
                Panel(
                    "In hand, and of these again",
                    "short",
                    [
                        (largest("museed_social_consumer_in_hand_messages", "stream, consumer"), "{{consumer}}"),
                        (largest("museed_social_consumer_repeated_messages", "stream, consumer"), "again {{consumer}}"),
                    ],
                ),
                Panel(
                    "Age of these figures",
                    "s",
                    [
                        ("min(museed_social_figures_age_seconds)", "age"),
                        ("max(museed_social_nats_answers)", "NATS answers"),
                    ],
                    "About ten seconds.",
                ),
            ),
        ),
        (
            "Database",
            (
                Panel(
                    "Connections in use",
                    "short",
                    [
                        (total("museed_social_pool_connections_in_use", "pod, pool"), "{{pod}} {{pool}}"),
                        (total("museed_social_pool_connections_limit", "pod, pool"), "limit {{pod}} {{pool}}"),
                    ],
                ),
                _latency("Waiting for one", "museed_social_pool_wait_seconds", "pool"),
                Panel("Oldest unanswered work", "s", [(largest("museed_social_work_oldest_seconds"), "age")]),
            ),
        ),
    ),
)
EMBEDDER = Board(
    "embedder",
    "MUSEED: embedder",
    (
        (
            "What is embedded",
            (
                Panel("Windows a second", "short", [(rate("museed_embedder_batch_items_sum", "pod"), "{{pod}}")]),
                Panel(
                    "Seconds of sound a second",
                    "short",
                    [(rate("museed_embedder_embedded_audio_seconds_total", "lane"), "{{lane}}")],
                    "Times real time.",
                ),
                _rates("Files", "museed_embedder_files_total", "lane, outcome"),
                _rates("Refused", "museed_embedder_refusals_total", "lane, reason"),
                Panel(
                    "Served",
                    "short",
                    [
                        (
                            "sum by (name, device, precision) (museed_embedder_model_info)",
                            "{{name}} {{device}} {{precision}}",
                        )
                    ],
                    is_number=True,
                ),
                _rates("Dropped, and work that nobody wanted", "museed_embedder_dropped_total", "lane, cause"),
            ),
        ),
        (
            "The model",
            (
                _latency("A batch", "museed_embedder_model_seconds"),
                Panel(
                    "Windows of a batch",
                    "short",
                    [
                        (mean("museed_embedder_batch_items"), "mean"),
                        (quantile(0.95, "museed_embedder_batch_items"), "95 %"),
                    ],
                ),
                _latency("Waiting for it", "museed_embedder_queue_wait_seconds", "lane"),
                Panel(
                    "Sound that waits",
                    "s",
                    [(total("museed_embedder_queue_audio_seconds", "lane"), "{{lane}}")],
                ),
                Panel(
                    "Share of time at work",
                    "percentunit",
                    [(rate("museed_embedder_model_seconds_sum", "pod"), "{{pod}}")],
                    "Near 1 the model is what is waited for; well below it, decoding is.",
                ),
                Panel("Failures", "ops", [(rate("museed_embedder_model_failures_total", "pod"), "{{pod}}")]),
            ),
        ),
        (
            "Around it",
            (
                _latency("Decoding a file", "museed_embedder_decode_seconds"),
                _latency("A track's vector of its windows'", "museed_embedder_aggregate_seconds"),
                _rates("Decoders that died", "museed_embedder_decoder_losses_total", "reason"),
            ),
        ),
    ),
)
RETRIEVER = Board(
    "retriever",
    "MUSEED: retriever",
    (
        (
            "Searches",
            (
                _latency("The index at work", "museed_retriever_work_seconds", "work"),
                _latency("Waiting for it", "museed_retriever_wait_seconds", "work"),
                Panel(
                    "Searches answered together",
                    "short",
                    [
                        (mean("museed_retriever_joined_searches"), "mean"),
                        (quantile(0.99, "museed_retriever_joined_searches"), "99 %"),
                    ],
                ),
            ),
        ),
        (
            "The index",
            (
                Panel(
                    "Tracks",
                    "short",
                    [(largest("museed_retriever_tracks", "pod, encoder_id"), "{{pod}} {{encoder_id}}")],
                ),
                Panel(
                    "Beside the base",
                    "short",
                    [
                        (largest("museed_retriever_delta_tracks", "pod"), "new {{pod}}"),
                        (largest("museed_retriever_tombstones", "pod"), "gone {{pod}}"),
                    ],
                    "Falls to 0 with each merge.",
                ),
                Panel(
                    "Memory",
                    "bytes",
                    [
                        (total("museed_retriever_memory_bytes", "pod"), "{{pod}}"),
                        (total("museed_retriever_mapped_bytes", "pod"), "mapped {{pod}}"),
                    ],
                ),
                Panel(
                    "Merges",
                    "ops",
                    [
                        (rate("museed_retriever_merges_total", "pod"), "{{pod}}"),
                        (rate("museed_retriever_merge_failures_total", "pod"), "failed {{pod}}"),
                        (total("museed_retriever_merging", "pod"), "at it {{pod}}"),
                    ],
                ),
                Panel(
                    "Snapshots",
                    "s",
                    [(largest("museed_retriever_snapshot_age_seconds", "pod"), "age {{pod}}")],
                ),
                Panel(
                    "Changes that no snapshot holds",
                    "short",
                    [(largest("museed_retriever_unsaved_changes", "pod"), "{{pod}}")],
                ),
            ),
        ),
        (
            "The vector log",
            (
                Panel(
                    "Not applied yet",
                    "short",
                    [(largest("museed_retriever_log_pending_messages", "pod, encoder_id"), "{{pod}}")],
                ),
                Panel(
                    "Silence",
                    "s",
                    [(largest("museed_retriever_log_silent_seconds", "pod"), "{{pod}}")],
                    "Below two seconds.",
                ),
                _rates("Changes", "museed_retriever_changes_total", "pod"),
                _rates("Messages passed over", "museed_retriever_refused_messages_total", "encoder_id, reason"),
                Panel(
                    "Complete",
                    "short",
                    [(largest("museed_retriever_caught_up", "pod, encoder_id"), "{{pod}} {{encoder_id}}")],
                ),
            ),
        ),
    ),
)
MESH = Board(
    "mesh",
    "MUSEED: calls and messages",
    (
        (
            "Calls",
            (
                _rates("By service", "museed_rpc_handled_total", "service", unit="reqps"),
                _rates(
                    "Refused and failed", "museed_rpc_handled_total", "service, code, reason", 'code!="OK"', "reqps"
                ),
                Panel(
                    "Duration (95 %) of the slowest ten",
                    "s",
                    [(f"topk(10, {quantile(0.95, 'museed_rpc_duration_seconds', 'method')})", "{{method}}")],
                ),
                Panel("Being answered", "short", [(total("museed_rpc_in_flight", "service"), "{{service}}")]),
                _rates("Files that were not stored", "museed_blob_write_failures_total", "service", note="None."),
            ),
        ),
        (
            "Messages",
            (
                _rates("Published", "museed_bus_published_total", "stream, outcome"),
                _rates("Worked off", "museed_bus_handled_total", "stream, outcome"),
                _latency("From being stored to a handler", "museed_bus_wait_seconds", "stream"),
                _latency("In a handler", "museed_bus_handle_seconds", "stream"),
                _rates("Delivered again", "museed_bus_redeliveries_total", "stream"),
                Panel(
                    "In hand", "short", [(total("museed_bus_in_flight", "service, stream"), "{{service}} {{stream}}")]
                ),
            ),
        ),
    ),
)
BOARDS = (OVERVIEW, GATEWAY, SOCIAL, EMBEDDER, RETRIEVER, MESH)
