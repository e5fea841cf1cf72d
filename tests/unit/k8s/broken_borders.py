"""Faults at borders, of the network and of the database, by name: what breaks them, and what is told then."""

from tests.unit.k8s.breaks import (
    Break,
    add_document,
    add_peers,
    put_database,
    put_pods,
    put_spec,
    undenied,
)

_OF_SOCIAL = "Deployment/social: "
BORDERS: dict[str, tuple[Break, list[str]]] = {
    "a Service to the outside": (
        put_spec("Service", "gateway", type="LoadBalancer"),
        ["Service/gateway: type is LoadBalancer, externalIPs []: seen from outside"],
    ),
    "in from everybody": (
        add_peers("social", "ingress", ports=[{"port": 7401}]),
        ["NetworkPolicy/social: ingress [7401] from everybody"],
    ),
    "in from everybody, by an empty list": (
        add_peers("social", "ingress", **{"from": [], "ports": [{"port": 7401}]}),
        ["NetworkPolicy/social: ingress [7401] from everybody"],
    ),
    "in from every address": (
        add_peers("social", "ingress", **{"from": [{"ipBlock": {"cidr": "0.0.0.0/0"}}], "ports": [{"port": 7401}]}),
        ["NetworkPolicy/social: ingress [7401] from 0.0.0.0/0"],
    ),
    "in from half of all addresses": (
        add_peers("social", "ingress", **{"from": [{"ipBlock": {"cidr": "0.0.0.0/1"}}], "ports": [{"port": 7401}]}),
        ["NetworkPolicy/social: ingress [7401] from 0.0.0.0/1"],
    ),
    "in by a port's name, from everywhere": (
        add_peers(
            "social", "ingress", **{"from": [{"namespaceSelector": {}}], "ports": [{"port": "grpc"}, {"port": 1}]}
        ),
        [
            "NetworkPolicy/social: ingress [1] of every namespace",
            "NetworkPolicy/social: ingress port grpc is a name, and not a number",
        ],
    ),
    "a volume of another machine": (
        put_pods("social", "volumes", value=[{"name": "tmp", "nfs": {"server": "files", "path": "/"}}]),
        [_OF_SOCIAL + "volume tmp: nfs: comes by no claim"],
    ),
    "processes of other containers": (
        put_pods("social", "shareProcessNamespace", value=True),
        [_OF_SOCIAL + "shareProcessNamespace is true: its containers see each other's"],
    ),
    "a priority above the cluster's": (
        put_pods("social", "priorityClassName", value="system-node-critical"),
        [_OF_SOCIAL + 'priorityClassName is "system-node-critical": drives the cluster\'s own pods out'],
    ),
    "a database that acknowledges too early": (
        put_database({"synchronous_commit": "off"}),
        ["Cluster/museed-postgres: synchronous_commit is off: what it acknowledged may be lost"],
    ),
    "a database without passwords": (
        put_database({}, pg_hba=["host all all 0.0.0.0/0 trust"]),
        ["Cluster/museed-postgres: pg_hba host all all 0.0.0.0/0 trust: comes in without a password"],
    ),
    "a superuser with a password": (
        put_spec("Cluster", "museed-postgres", enableSuperuserAccess=True),
        ["Cluster/museed-postgres: enableSuperuserAccess is true: the superuser has a password"],
    ),
    "a database without a bound": (
        put_spec("Cluster", "museed-postgres", resources={}),
        ["Cluster/museed-postgres: has no limits.memory"],
    ),
    "a budget that lets everybody go": (
        put_spec("PodDisruptionBudget", "social", maxUnavailable="100%"),
        ['Deployment/social: PodDisruptionBudget/social: maxUnavailable is "100%": none or all may go'],
    ),
    "a door to NATS": (
        add_document(
            "networking.k8s.io/v1",
            "Ingress",
            "monitor",
            spec={"defaultBackend": {"service": {"name": "nats", "port": {"number": 8222}}}},
        ),
        ["Ingress/monitor: leads to nats"],
    ),
    "a route to NATS": (
        add_document(
            "gateway.networking.k8s.io/v1",
            "HTTPRoute",
            "monitor",
            spec={"parentRefs": [{"name": "door"}], "rules": [{"backendRefs": [{"name": "nats", "port": 8222}]}]},
        ),
        ["HTTPRoute/monitor: leads to nats"],
    ),
    "a Service whose pods are chosen by hand": (
        add_document(
            "discovery.k8s.io/v1",
            "EndpointSlice",
            "social-1",
            addressType="IPv4",
            endpoints=[{"addresses": ["1.2.3.4"]}],
        ),
        ["EndpointSlice/social-1: says where a Service is, by hand"],
    ),
    "a Service without pods": (
        add_document("v1", "Service", "other", spec={"type": "ExternalName", "externalName": "example.org"}),
        ["Service/other selects no pods", "Service/other: type is ExternalName, externalIPs []: seen from outside"],
    ),
    "in from every namespace": (
        add_peers("social", "ingress", **{"from": [{"namespaceSelector": {}}], "ports": [{"port": 7401}]}),
        ["NetworkPolicy/social: ingress [7401] of every namespace"],
    ),
    "in from a known namespace by another port": (
        add_peers(
            "social",
            "ingress",
            **{
                "from": [{"namespaceSelector": {"matchLabels": {"museed.dev/observes": "true"}}}],
                "ports": [{"port": 7401}],
            },
        ),
        ["NetworkPolicy/social: ingress [7401] of museed.dev/observes=true"],
    ),
    "out to everywhere": (
        add_peers("nats", "egress", to=[{"ipBlock": {"cidr": "0.0.0.0/0"}}], ports=[{"port": 443}]),
        ["nats may reach ports [443] anywhere, and needs []"],
    ),
    "out by every port": (
        add_peers("nats", "egress"),
        ["nats may reach ports [0] anywhere, and needs []"],
    ),
    "a range of ports": (
        add_peers(
            "social",
            "ingress",
            **{
                "from": [{"podSelector": {"matchLabels": {"app.kubernetes.io/name": "ingest"}}}],
                "ports": [{"port": 1, "endPort": 65535}],
            },
        ),
        ["NetworkPolicy/social: ingress ports 1 to 65535"],
    ),
    "no denial, and no policy of its own": (
        undenied,
        ["operator cannot reach social:7401", "operator: no NetworkPolicy is about its Ingress"],
    ),
}
