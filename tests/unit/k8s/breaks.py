"""What breaks a rendering that has no fault, one thing each."""

from collections.abc import Callable
from typing import Any

from deploy.k8s.manifests import FOLDER, Document, named, parse

Break = Callable[[list[Document]], None]


def template_of(documents: list[Document], kind: str, name: str) -> dict[str, Any]:
    found = named(documents, kind, name)
    assert found is not None
    spec: dict[str, Any] = found["spec"]["template"]["spec"]
    return spec


def container_of(documents: list[Document], name: str) -> dict[str, Any]:
    kind = "StatefulSet" if name in ("retriever", "nats") else "Deployment"
    container: dict[str, Any] = template_of(documents, kind, name)["containers"][0]
    return container


def put(name: str, *path: str | int, value: Any) -> Break:
    """Return what changes a part of a service's container; None takes it away."""

    def change(documents: list[Document]) -> None:
        place: Any = container_of(documents, name)
        for part in path[:-1]:
            place = place[part]
        if value is None:
            del place[path[-1]]
        else:
            place[path[-1]] = value

    return change


def put_pods(name: str, *path: str, value: Any) -> Break:
    def change(documents: list[Document]) -> None:
        place = template_of(documents, "Deployment", name)
        for part in path[:-1]:
            place = place[part]
        if value is None:
            del place[path[-1]]
        else:
            place[path[-1]] = value

    return change


def put_variable(name: str, variable: str, value: str | None) -> Break:
    """Return what sets a variable to a value, or takes it away."""

    def change(documents: list[Document]) -> None:
        container = container_of(documents, name)
        container["env"] = [one for one in container["env"] if one["name"] != variable]
        if value is not None:
            container["env"].append({"name": variable, "value": value})

    return change


def drop(kind: str, name: str) -> Break:
    def change(documents: list[Document]) -> None:
        documents.remove(document_of(documents, kind, name))

    return change


def document_of(documents: list[Document], kind: str, name: str) -> Document:
    found = named(documents, kind, name)
    assert found is not None
    return found


def put_spec(kind: str, name: str, **fields: Any) -> Break:
    def change(documents: list[Document]) -> None:
        document_of(documents, kind, name)["spec"].update(fields)

    return change


def put_database(parameters: dict[str, str], **settings: Any) -> Break:
    """Return what changes settings of PostgreSQL."""

    def change(documents: list[Document]) -> None:
        given = document_of(documents, "Cluster", "museed-postgres")["spec"]["postgresql"]
        given["parameters"].update(parameters)
        given.update(settings)

    return change


def put_ingress_port(name: str, port: int) -> Break:
    def change(documents: list[Document]) -> None:
        document_of(documents, "NetworkPolicy", name)["spec"]["ingress"][0]["ports"][0]["port"] = port

    return change


def put_service_port(name: str, port: int) -> Break:
    def change(documents: list[Document]) -> None:
        document_of(documents, "Service", name)["spec"]["ports"][0]["port"] = port

    return change


def put_door(key: str, value: str) -> Break:
    def change(documents: list[Document]) -> None:
        [config] = [one for one in documents if one["metadata"]["name"].startswith("museed-door-")]
        config["data"][key] = value

    return change


def secret_key(documents: list[Document]) -> None:
    for one in container_of(documents, "gateway")["env"]:
        if one["name"] == "GATEWAY_URL_SIGNING_KEY":
            one["valueFrom"]["secretKeyRef"]["key"] = "signing"


def twice(documents: list[Document]) -> None:
    env = container_of(documents, "social")["env"]
    env.append({"name": "SOCIAL_LISTEN", "value": "0.0.0.0:7401"})


def committed_secret(documents: list[Document]) -> None:
    documents.append(
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "museed-mail"}, "stringData": {"url": "smtp://a"}}
    )


def typo_of_crd(documents: list[Document]) -> None:
    document_of(documents, "Cluster", "museed-postgres")["spec"]["instance"] = 3


def another_consumer(documents: list[Document]) -> None:
    text = (FOLDER / "components" / "autoscaling" / "embedder.yaml").read_text()
    documents.extend(parse(text))


def tag_of_postgres(documents: list[Document]) -> None:
    document_of(documents, "ImageCatalog", "museed-postgres")["spec"]["images"][0]["image"] = "postgres:18"


MAIL = "smtp://museed:pa55word@mail.example.org:587"


def privileged_init(documents: list[Document]) -> None:
    context = template_of(documents, "Deployment", "social")["initContainers"][0]["securityContext"]
    context.update({"privileged": True, "runAsUser": 0})


def env_from(documents: list[Document]) -> None:
    container_of(documents, "social")["envFrom"] = [{"secretRef": {"name": "museed-mail"}}]


def argument(documents: list[Document]) -> None:
    job = document_of(documents, "Job", "operator")
    job["spec"]["template"]["spec"]["containers"][0]["args"] += ["--password=pa55word"]


def bus_password(documents: list[Document]) -> None:
    [config] = [one for one in documents if one["metadata"]["name"].startswith("museed-nats-config-")]
    config["data"]["nats.conf"] = config["data"]["nats.conf"].replace("$NATS_PASSWORD_SOCIAL", '"pa55word"')


def add_peers(name: str, way: str, **rule: Any) -> Break:
    """Return what adds a rule to a policy."""

    def change(documents: list[Document]) -> None:
        document_of(documents, "NetworkPolicy", name)["spec"].setdefault(way, []).append(rule)

    return change


def add_document(version: str, kind: str, name: str, **content: Any) -> Break:
    """Return what adds a document."""

    def change(documents: list[Document]) -> None:
        documents.append({"apiVersion": version, "kind": kind, "metadata": {"name": name}, **content})

    return change


def privileged_pod(documents: list[Document]) -> None:
    image = f"docker.io/library/busybox@sha256:{'a' * 64}"
    container = {"name": "sh", "image": image, "securityContext": {"privileged": True}}
    documents.append(
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "sh"}, "spec": {"containers": [container]}}
    )


def folder_of_a_node(documents: list[Document]) -> None:
    documents.extend(parse((FOLDER / "overlays" / "local" / "music.yaml").read_text()))


def binding(documents: list[Document]) -> None:
    documents.append(
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": "social"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
            "subjects": [{"kind": "ServiceAccount", "name": "social", "namespace": "museed"}],
        }
    )


def undenied(documents: list[Document]) -> None:
    for name in ("deny-all", "operator"):
        drop("NetworkPolicy", name)(documents)


def open_namespace(documents: list[Document]) -> None:
    labels = document_of(documents, "Namespace", "museed")["metadata"]["labels"]
    labels["pod-security.kubernetes.io/enforce"] = "privileged"


def mirror(documents: list[Document]) -> None:
    """Images from elsewhere are still ours: a typo in their variables is one."""
    container = container_of(documents, "social")
    container["image"] = f"registry.example.org/mirror/social@sha256:{'a' * 64}"
    put_variable("social", "SOCIAL_LISTENS", "0.0.0.0:7401")(documents)


def unknown_kind(documents: list[Document]) -> None:
    documents.append({"apiVersion": "example.org/v1", "kind": "Thing", "metadata": {"name": "a"}, "spec": {}})
