"""Alerts by what others tell: PostgreSQL's pods, kubelets, and kube-state-metrics."""

from deploy.observability.alert import PAGE, TICKET, Alert

_HERE = 'namespace="museed"'
# Others fill these, and we only read them.
_OURS = f'{_HERE}, persistentvolumeclaim!~"museed-music|museed-models"'

# CloudNativePG's own queries, and those of its Barman Cloud plugin.
POSTGRES = (
    Alert(
        "LogIsNotArchived",
        "cnpg_pg_stat_archiver_last_failed_time > cnpg_pg_stat_archiver_last_archived_time",
        "10m",
        PAGE,
        "PostgreSQL's write-ahead log does not reach the bucket of the backups, and stays on its disk.",
    ),
    Alert(
        "BackupIsOld",
        "time() - max(barman_cloud_cloudnative_pg_io_last_available_backup_timestamp) > 129600",
        "15m",
        TICKET,
        "The last backup of PostgreSQL is {{ $value | humanizeDuration }} old.",
    ),
    Alert(
        "DatabaseIsNotWatched",
        "absent(cnpg_pg_stat_archiver_last_archived_time)"
        " or absent(barman_cloud_cloudnative_pg_io_last_available_backup_timestamp)",
        "30m",
        TICKET,
        "Nobody reads what PostgreSQL's pods tell: backups may fail, and nothing would say so.",
    ),
    Alert(
        "DatabaseLacksCopies",
        "max(cnpg_pg_replication_streaming_replicas) < 2",
        "15m",
        TICKET,
        "Only {{ $value }} of two copies of the database follow it; without any it takes no writes.",
    ),
)
# Kube-prometheus-stack has both sources; where they are missing these stay silent.
CLUSTER = (
    Alert(
        "PodsAreMissing",
        f"kube_statefulset_status_replicas_ready{{{_HERE}}} < kube_statefulset_replicas{{{_HERE}}}"
        f" or kube_deployment_status_replicas_available{{{_HERE}}} < kube_deployment_spec_replicas{{{_HERE}}}",
        "15m",
        TICKET,
        "Of {{ $labels.statefulset }}{{ $labels.deployment }} only {{ $value }} pods serve.",
    ),
    Alert(
        "VolumeFills",
        f"kubelet_volume_stats_available_bytes{{{_OURS}}} / kubelet_volume_stats_capacity_bytes{{{_OURS}}} < 0.15",
        "5m",
        PAGE,
        "{{ $value | humanizePercentage }} of the volume {{ $labels.persistentvolumeclaim }} are left.",
    ),
    Alert(
        "JobFailed",
        f'max by (job_name) (kube_job_failed{{{_HERE}, condition="true"}}) > 0',
        "0m",
        TICKET,
        "The Job {{ $labels.job_name }} failed, and is not tried again.",
    ),
)
