"""Every setting of a node, each defined once: its default as a person writes it, how it is parsed, what it means.

Flags, `REWHISK_*` environment variables, keys of the configuration file, the reference page and the schema that checks
them are all made from this table (`options`). Numbers without a source beside them are design judgement; tests shorten them.
Durations are seconds, `memory` and the action limits megabytes of 2**20 bytes, other sizes bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, NamedTuple

from config import parse
from config.parse import Parser


class Option(NamedTuple):
    """One setting as people meet it."""

    name: str
    default: str
    parser: Parser
    help: str
    flag: bool
    metavar: str
    secret: bool

    @property
    def key(self) -> str:
        """As flag (with two dashes in front) and in the configuration file."""
        return self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        """As environment variable."""
        return f"REWHISK_{self.name.upper()}"


def _option(default: str, parser: Parser, text: str, *, flag: bool = False, metavar: str = "", secret: bool = False) -> Any:
    shown = metavar or parse.METAVARS.get(parser, "TEXT")
    option = Option("", default, parser, text, flag, shown, secret)
    return field(default=parser(default), metadata={"option": option}, repr=not secret)


def _flag(default: str, parser: Parser, text: str, *, metavar: str = "", secret: bool = False) -> Any:
    return _option(default, parser, text, flag=True, metavar=metavar, secret=secret)


def _path(value: object) -> Path:
    return Path(parse.filled(value)).expanduser()


_maybe_path = parse.optional(_path)
_maybe_count = parse.optional(parse.count)
_maybe_duration = parse.optional(parse.positive_duration)
_SOURCES = ("auto", "registry", "packages")
_PROTOCOLS = ("plaintext", "ssl", "sasl_plaintext", "sasl_ssl")
_MECHANISMS = ("plain", "scram-sha-256", "scram-sha-512")
_LOG_LEVELS = ("debug", "info", "warning", "error")


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings of a node. `given` names those somebody chose, `warnings` what looked odd on the way."""

    # Where it listens and who may come in.
    host: str = _flag("127.0.0.1", parse.filled, "Address to listen on.", metavar="ADDRESS")
    port: int = _flag("3233", parse.port, "Port to listen on; unless chosen here, a taken port falls back to a free one.")
    auth: str | None = _flag(
        "none", parse.optional(parse.credentials),
        "Credentials of namespace guest; `guest` is the pair that OpenWhisk publishes; none: random, made on the first start.",
        metavar="UUID:KEY|guest", secret=True,
    )  # fmt: skip
    admin_key: str | None = _flag(
        "none", parse.optional(parse.secret),
        "Key for /admin; none: random, made on the first start.", metavar="KEY", secret=True,
    )  # fmt: skip
    cors: tuple[str, ...] | None = _flag(
        "none", parse.optional(parse.origins),
        "Origin whose pages may call the API; may be repeated. `*` answers all, exactly as OpenWhisk.", metavar="ORIGIN|*",
    )  # fmt: skip
    api_host: str | None = _flag(
        "none", parse.optional(parse.url), "API address that actions get as __OW_API_HOST; none: the node's own.", metavar="URL"
    )

    # What it keeps and where.
    data_dir: Path = _flag("./data", _path, "Directory of the node's state.", metavar="DIR")
    store: str = _flag(
        "sqlite", parse.store, "Where journal, records and entities live: a file of the data directory, or a CouchDB.", secret=True
    )
    db_prefix: str = _flag("", parse.prefix, "What the names of the CouchDB databases begin with.")
    store_ca: Path | None = _option("none", _maybe_path, "Who signed the CouchDB's certificate (PEM).", metavar="FILE")
    id: int = _flag("0", parse.count, "Number of this node: its journal stream is invoker<N>.")
    keep_activations: float = _flag("7d", parse.positive_duration, "How long activation records are kept.")
    keep_journal: float = _flag("1d", parse.positive_duration, "How long journal documents below the newest snapshot are kept.")

    cron: bool = _option(
        "off", parse.switch,
        "Whether triggers with an annotation `cron` (five fields, UTC) fire by the clock; of several controllers number 0 does it.",
    )  # fmt: skip

    # The cluster: without a broker the node stands alone.
    kafka: tuple[str, ...] | None = _flag(
        "none",
        parse.optional(parse.servers),
        "Broker of the cluster; none: the node stands alone.",
        metavar="HOST:PORT",
    )
    topic_prefix: str = _flag("", parse.topic, "What the names of the cluster's topics begin with.", metavar="PREFIX")
    kafka_protocol: str = _option(
        "plaintext", parse.choice(*_PROTOCOLS), "How the broker is spoken to (upstream's names).", metavar="|".join(_PROTOCOLS)
    )
    kafka_ca: Path | None = _option("none", _maybe_path, "Who signed the broker's certificate (PEM).", metavar="FILE")
    kafka_cert: Path | None = _option("none", _maybe_path, "Certificate shown to the broker (PEM).", metavar="FILE")
    kafka_key: Path | None = _option("none", _maybe_path, "Key of that certificate (PEM).", metavar="FILE")
    kafka_check_hostname: bool = _option("on", parse.switch, "Whether the broker's certificate must name its host.")
    kafka_mechanism: str = _option("plain", parse.choice(*_MECHANISMS), "SASL mechanism.", metavar="|".join(_MECHANISMS))
    kafka_user: str | None = _option("none", parse.optional(parse.filled), "SASL user.", metavar="NAME")
    kafka_password: str | None = _option("none", parse.optional(parse.filled), "SASL password.", metavar="TEXT", secret=True)
    kafka_copies: int = _option("1", parse.positive, "Copies of topics that are made (upstream's replication factor).")

    advertise: str | None = _flag(
        "none",
        parse.optional(parse.url),
        "Address at which controllers reach this node; none: its own.",
        metavar="URL",
    )
    takeover_after: float = _flag(
        "60s", parse.positive_duration, "How long a node must be silent until another one goes on with its work."
    )
    heartbeat_every: float = _option("3s", parse.positive_duration, "Pause between two signs of life in the store.")
    blocked_every: float = _option("5m", parse.positive_duration, "Pause between two readings of who is blocked (upstream's).")
    stale_grace: float = _option("60s", parse.duration, "How much later than its caller waits a blocking message is still run.")
    user_events: bool = _option("off", parse.switch, "Whether each activation is told to the topic of user events.")
    invoke_token: str | None = _option(
        "none",
        parse.optional(parse.secret),
        "What controllers may show at /invoke.",
        metavar="TEXT",
        secret=True,
    )
    invoke_waiting: int = _option("1000", parse.positive, "Requests at /invoke that may wait, above which more are refused (429).")
    invoke_open: int = _option(
        "256", parse.count, "Requests of a controller at one node's /invoke above which its topic is taken; 0: always its topic."
    )
    invoke_ca: Path | None = _option("none", _maybe_path, "Who signed the certificates of nodes with https (PEM).", metavar="FILE")
    tls_cert: Path | None = _flag("none", _maybe_path, "Certificate of the HTTP port (PEM, with its chain).", metavar="FILE")
    tls_key: Path | None = _flag("none", _maybe_path, "Key of that certificate (PEM).", metavar="FILE")
    tls_client_ca: Path | None = _flag(
        "none", _maybe_path, "Who signs the certificates of controllers that may use /invoke (PEM).", metavar="FILE"
    )

    # How it runs actions.
    driver: str = _flag("auto", parse.driver, "What runs the actions; auto takes what this machine has.")
    memory: int = _flag("2048m", parse.megabytes, "Memory for actions: the sum of the limits of their containers.")
    runtimes: Path | None = _flag(
        "none", _maybe_path, "Manifest of runtimes in OpenWhisk's format; none: the built-in one.", metavar="FILE"
    )
    python: str | None = _flag(
        "none", parse.optional(parse.filled), "Python that runs actions; none: the one that runs the node.", metavar="PATH"
    )
    action_network: str = _flag(
        "auto", parse.network,
        "Network of actions: the machine's (processes), a bridge of their own (Docker), or none; auto: the driver's first.",
    )  # fmt: skip
    param_keys: Path | None = _flag(
        "none", _maybe_path, "Keys (JSON) that parameters of actions and packages are encrypted with in the store.", metavar="FILE"
    )
    max_concurrency: int = _flag("200", parse.positive, "Highest `concurrency` limit of an action (activations per container).")
    max_age: float | None = _flag(
        "none", _maybe_duration, "Activations older than this are ended instead of run.", metavar="DURATION"
    )
    invocations_per_minute: int | None = _flag(
        "none", _maybe_count, "Invocations per minute and namespace; none: not limited.", metavar="N"
    )
    concurrent_invocations: int | None = _flag(
        "none", _maybe_count, "Concurrent invocations per namespace; none: not limited.", metavar="N"
    )
    fires_per_minute: int | None = _flag(
        "none", _maybe_count, "Trigger fires per minute and namespace; none: not limited.", metavar="N"
    )

    # What Docker is told.
    docker_host: str | None = _option(
        "none",
        parse.optional(parse.filled),
        "Address of the engine; none: DOCKER_HOST, or its socket.",
        metavar="unix://PATH|tcp://HOST",
    )
    docker_env: tuple[tuple[str, str], ...] = _option("", parse.pairs, "Variables that every container gets.")
    docker_labels: tuple[tuple[str, str], ...] = _option("", parse.pairs, "Labels that every container gets.")
    docker_dns: tuple[str, ...] = _option("", parse.words, "DNS servers of containers.")
    docker_dns_search: tuple[str, ...] = _option("", parse.words, "DNS search domains of containers.")
    docker_dns_options: tuple[str, ...] = _option("", parse.words, "DNS options of containers.")
    docker_pids: int = _option("1024", parse.positive, "Processes and threads of one container (upstream's).")
    docker_network: str | None = _option(
        "none", parse.optional(parse.filled),
        "Network that the node is on and containers join, for a node in a container; none: its own is found out.", metavar="NAME",
    )  # fmt: skip
    docker_cpus: float | None = _option(
        "none", parse.optional(parse.decimal), "Processors that all containers share, by memory; none: no limit.", metavar="N"
    )
    docker_extra_args: tuple[tuple[str, str], ...] = _option(
        "", parse.arguments, "Further arguments of `docker run`, which replace its own: cap-add=NET_BIND_SERVICE,shm-size=64m."
    )
    image_source: str = _option(
        "auto", parse.choice(*_SOURCES),
        "Where bases of the project's own images come from; auto: a registry, else this machine's packages.",
        metavar="|".join(_SOURCES),
    )  # fmt: skip

    # How it ends and what it says.
    drain_timeout: float = _flag("30s", parse.duration, "How long Ctrl-C or SIGTERM waits for running activations.")
    log_level: str = _flag("info", parse.choice(*_LOG_LEVELS), "How much is logged.", metavar="|".join(_LOG_LEVELS))

    # Limits of actions: upstream's maxima (its `whisk.{time-limit,memory,log-limit}.max`) may be widened here.
    max_action_timeout: float = _option("5m", parse.positive_duration, "Longest `timeout` limit of an action.")
    max_action_memory: int = _option("512m", parse.megabytes, "Largest `memory` limit of an action.")
    max_action_logs: int = _option("10m", parse.megabytes, "Largest `logs` limit of an action.")
    blocking_wait: float = _option("60s", parse.positive_duration, "Wait of a blocking invocation until it answers 202.")
    body_timeout: float = _option("30s", parse.positive_duration, "How long a request may take to send its body.")

    # The journal.
    live_bound: int = _option("20000", parse.positive, "Unfinished activations above which new ones are refused.")
    commit_events: int = _option("500", parse.positive, "Events in one journal document, at most.")
    commit_bytes: int = _option("1m", parse.size, "Size of one journal document, unless one event is larger.")
    event_bytes: int = _option("6m", parse.size, "Size above which one event is refused.")
    snapshot_every: int = _option("1000", parse.positive, "Journal documents from one snapshot to the next.")
    duplicates_for: float = _option("10m", parse.duration, "How long the ids of finished activations are kept in memory.")
    lease: float = _option("10s", parse.positive_duration, "Age of the last confirmed write that stops new user code.")
    run_ahead_after: float = _option(
        "60s", parse.duration, "Time after an unclean start before `started` may follow /run; in a cluster it never does."
    )
    alone_from: int = _option("3", parse.positive, "Attempt from which on an activation runs alone on the node.")
    retention_every: float = _option("60s", parse.positive_duration, "Pause between two rounds of deleting by age.")
    low_disk: int = _option("100m", parse.size, "Free disk space below which the node is not ready.")

    # Containers. Idle time, creation time and the wait for logs are upstream's defaults.
    idle_container: float = _option("10m", parse.positive_duration, "How long an idle container is kept.")
    pause_grace: float | None = _option(
        "10s", _maybe_duration, "How long a container is idle before it is frozen (upstream's 10 s); none: never."
    )
    prewarm_check: float = _option(
        "10m", parse.positive_duration, "How often reactive stem cells follow the cold starts since then (upstream's 10 min)."
    )
    otlp: str | None = _option(
        "none", parse.optional(parse.url), "OpenTelemetry collector that gets spans of activations (OTLP, HTTP).", metavar="URL"
    )
    policy: Path | None = _option(
        "none", _maybe_path, "Python file whose class Policy schedules the activations; none: the built-in policy.", metavar="FILE"
    )
    parallel_starts: int = _option("0", parse.count, "Containers created at the same time; 0: the pool's own choice.")
    create_timeout: float = _option("60s", parse.positive_duration, "How long creating a container may take.")
    log_idle: float = _option("2s", parse.positive_duration, "How long the end of the logs is waited for without a new line.")
    failpoint: str = _option(
        "", parse.failpoint, "For crash tests: where the process ends itself as SIGKILL would.", metavar="EVENT:POINT[:N]"
    )

    given: frozenset[str] = frozenset()
    warnings: tuple[str, ...] = ()

    @property
    def stream(self) -> str:
        """The journal stream of this node."""
        return f"invoker{self.id}"


def _options() -> tuple[Option, ...]:
    found = ((item.name, item.metadata.get("option")) for item in fields(Settings))
    return tuple(option._replace(name=name) for name, option in found if isinstance(option, Option))


OPTIONS = _options()
"""All settings in the order of the reference page."""

BY_NAME = {option.name: option for option in OPTIONS}
