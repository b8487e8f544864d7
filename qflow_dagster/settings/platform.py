"""Settings of what the improvement loop runs on: database, Dagster, approvals, errors, health, web, HTTP.

Each value has its default, range and meaning. Does not belong here: reading them (the package).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import AliasChoices, BaseModel, Field, SecretStr, ValidationInfo, field_validator

from qflow_dagster.safety.redaction import redact_text

# Below the address of the inbox.
DAGSTER_PATH = "/dagster"
# URLs in which the name of a container is where others have a user.
AZURE = {"abfs", "abfss"}


def _has_credentials(url: str) -> bool:
    """Return whether a URL of object storage carries a user, a password (which may have slashes), or a token."""
    scheme, _, rest = url.partition("://")
    user, at, _ = rest.partition("@")
    named = "/" not in user and scheme not in AZURE
    return bool(at and (":" in user or named)) or redact_text(url) != url


class DatabaseSettings(BaseModel):
    """Where the tables live."""

    url: SecretStr | None = Field(
        default=None,
        description="PostgreSQL server, postgresql://user:password@host/database; unset: embedded",
    )
    direct_url: SecretStr | None = Field(
        default=None,
        description="the server itself, where url is a pooler in transaction mode; for LISTEN, locks, migrations",
    )
    pool_size: int = Field(default=4, ge=1, le=100, description="connections kept per process")
    statement_timeout: int = Field(default=600, ge=1, le=86_400, description="seconds one statement may take")
    lock_timeout: int = Field(default=30, ge=1, le=3_600, description="seconds to wait for a lock")


class DagsterSettings(BaseModel):
    """Where Dagster keeps its runs and events."""

    url: SecretStr | None = Field(
        default=None, description="Dagster's own database; unset: <database>_dagster on the same server"
    )
    page: str | None = Field(
        default=None,
        description="address of Dagster's page as people reach it, for links; unset: the inbox's, with /dagster",
    )
    executor: str = Field(
        default="in_process",
        pattern=r"^(in_process|multiprocess|[A-Za-z_][\w.]*:[A-Za-z_]\w*)$",
        description="how the steps of a run are executed: in_process, multiprocess, or an executor as module:name",
    )
    owners: list[str] = Field(
        default=[],
        description='who is responsible for the assets: e-mail addresses, or teams as "team:platform"',
    )
    git_url: str | None = Field(
        default=None,
        description="address of this project on GitHub or GitLab, for links from assets to their source",
    )
    git_branch: str = Field(default="main", description="branch that those links show")
    host: None = Field(default=None, description="removed: QFLOW_INBOX_HOST")
    port: None = Field(default=None, description="removed: QFLOW_INBOX_PORT")

    @field_validator("host", "port", mode="before")
    @classmethod
    def _one_address(cls, _value: object, info: ValidationInfo) -> None:
        name = f"QFLOW_INBOX_{info.field_name}".upper()
        raise ValueError(f"Dagster's page is at the inbox's address now, below /dagster: set {name} instead")


class WorkersSettings(BaseModel):
    """The processes that execute runs."""

    enabled: bool = Field(
        default=True, description="whether workers execute runs; false: each run starts a process of its own"
    )
    broker: SecretStr | None = Field(
        default=None,
        description="where runs wait for a worker, amqp://user:password@host// or redis://host:6379/0; "
        "unset: PostgreSQL",
    )
    quick: int = Field(default=2, ge=1, le=1_000, description="short runs at a time, per machine")
    long: int = Field(default=2, ge=1, le=1_000, description="other runs at a time, per machine")
    max_runs: int = Field(
        default=200, ge=1, le=1_000_000, description="runs after which a worker's process is replaced"
    )
    max_memory: int = Field(
        default=2_048,
        ge=256,
        le=1_048_576,
        description="MiB above which a worker's process is replaced, after its run",
    )

    @field_validator("broker")
    @classmethod
    def _supported(cls, broker: SecretStr | None) -> SecretStr | None:
        schemes = ("amqp://", "amqps://", "redis://", "rediss://")
        if broker is not None and not broker.get_secret_value().startswith(schemes):
            raise ValueError(f"expected an address that starts with {', '.join(schemes)}")
        return broker


class QuantumflowSettings(BaseModel):
    """The durable core."""

    lease: int = Field(default=300, ge=1, le=86_400, description="seconds a claim lasts without a heartbeat")
    max_attempts: int = Field(default=3, ge=1, le=100, description="attempts before a workflow is dead")
    retry_delay: float = Field(
        default=5.0, gt=0, le=3_600, description="seconds before the first retry; doubles"
    )
    retry_delay_limit: float = Field(
        default=3_600.0, gt=0, le=604_800, description="longest delay in seconds"
    )
    retention: int = Field(default=90, ge=1, le=36_500, description="days terminal workflows are kept")
    archive: str | None = Field(
        default=None,
        description="folder or URL where older ones are archived, s3://bucket/folder; unset: archive in QFLOW_HOME",
    )

    @field_validator("archive")
    @classmethod
    def _without_credentials(cls, archive: str | None) -> str | None:
        # fsspec chains URLs, as in `simplecache::s3://bucket`.
        if archive is not None and any(map(_has_credentials, archive.split("::"))):
            raise ValueError("credentials belong to the settings of the driver, not into the URL")
        return archive


class ApprovalsSettings(BaseModel):
    """Who decides, for how long, and what needs nobody."""

    ttl: int = Field(default=86_400, ge=1, le=31_536_000, description="seconds a request waits for a person")
    # `longest_ttl` is its former name.
    max_ttl: int = Field(
        default=2_592_000,
        ge=1,
        le=31_536_000,
        validation_alias=AliasChoices("max_ttl", "longest_ttl"),
        description="maximum of the seconds that a request may state",
    )
    reminders: list[Annotated[float, Field(gt=0, lt=1)]] = Field(
        default=[0.5, 0.8, 0.95],
        description="parts of its term after which a request that is not decided reminds; the last is the most severe",
    )
    quorum: dict[str, int] = Field(
        default={}, description='approvals needed per kind, {"edit": 2}; default: 1'
    )
    deciders: dict[str, list[str]] = Field(
        default={},
        description='who may decide a kind, {"edit": ["ada", "team:shop"]}; a kind not named: everybody',
    )
    teams: dict[str, list[str]] = Field(
        default={}, description='people of the teams among the deciders, {"shop": ["bob", "cy"]}'
    )

    policy_kinds: list[str] = Field(
        default=[], description='kinds a policy may approve, ["edit"]; default: a person decides all'
    )
    policy_confidence: float = Field(
        default=0.9, ge=0, le=1, description="least confidence of the rule behind it"
    )
    policy_files: int = Field(default=3, ge=1, le=10_000, description="most files a policy lets change")
    policy_lines: int = Field(default=50, ge=1, le=1_000_000, description="most lines a policy lets change")
    policy_ttl: int = Field(default=60, ge=1, le=86_400, description="seconds a policy's approval is valid")

    @field_validator("teams")
    @classmethod
    def _people(cls, teams: dict[str, list[str]]) -> dict[str, list[str]]:
        nested = [name for members in teams.values() for name in members if name.startswith("team:")]
        if nested:
            raise ValueError(f"a team has people, not teams: {nested[0]!r}")
        return teams


class ErrorsSettings(BaseModel):
    """Errors and circuit breakers."""

    window: int = Field(default=60, ge=1, le=3_600, description="seconds of the sliding window of rates")
    alert_total: int = Field(default=10, ge=1, le=1_000_000, description="calls in a window before it alerts")
    alert_rate: float = Field(default=0.05, gt=0, le=1, description="error rate that alerts")
    alert_deviations: float = Field(
        default=3.29, ge=0, le=10, description="standard deviations above it, so that it is no chance"
    )
    alert_cooldown: int = Field(
        default=300,
        ge=0,
        le=86_400,
        description="seconds for which an operation has to be well before its alert ends",
    )
    sentry_key: SecretStr | None = Field(
        default=None,
        description="public key a Sentry DSN must carry; needed where the inbox is not on loopback",
    )
    envelope_items: int = Field(
        default=100, ge=1, le=1_000, description="events and transactions one Sentry envelope may hold"
    )
    origins: list[str] = Field(
        default=[],
        description='web pages whose browsers may send errors, ["https://shop.example.org"]; needs the key',
    )
    retention: int = Field(default=30, ge=1, le=3_650, description="days occurrences are kept; groups stay")
    breaker_failures: int = Field(
        default=5, ge=1, le=1_000, description="consecutive failures that open a breaker"
    )
    breaker_rate: float = Field(
        default=0.5, gt=0, le=1, description="error rate in a window that opens a breaker"
    )
    breaker_reset: float = Field(
        default=60.0, gt=0, le=86_400, description="seconds an open breaker waits to probe"
    )
    breaker_successes: int = Field(
        default=2, ge=1, le=100, description="successful probes that close a breaker"
    )
    breaker_reset_max: float = Field(
        default=900.0,
        gt=0,
        le=86_400,
        description="most seconds it waits: the wait doubles with each opening until it closes",
    )
    breaker_probe: float = Field(
        default=30.0, gt=0, le=3_600, description="seconds after which the probe of a dead process failed"
    )
    breaker_slow: float | None = Field(
        default=None, gt=0, le=86_400, description="seconds from which a call is slow; unset: none is"
    )
    breaker_slow_rate: float = Field(
        default=0.8, gt=0, le=1, description="rate of slow calls in a window that opens a breaker"
    )
    breakers: dict[str, dict[str, float]] = Field(
        # Back within seconds after a short time away, and five minutes after a long one.
        default={"notify:*": {"reset": 5.0, "reset_max": 300.0}},
        description=(
            "limits of single operations by pattern, the first that matches: "
            '{"http *": {"failures": 3, "slow": 5}}'
        ),
    )

    @field_validator("breakers")
    @classmethod
    def _valid_limits(cls, given: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
        for limits in given.values():
            cls.own_limits(limits)
        return given

    @classmethod
    def own_limits(cls, given: Mapping[str, float]) -> dict[str, Any]:
        """Return limits of an operation by the names of the general settings, of which each has the type and range.

        Raises:
            ValueError: There is no such limit, or a value is out of range.
        """
        known = {name for name in cls.model_fields if name.startswith("breaker_")}
        named = {f"breaker_{name}": value for name, value in given.items()}
        if wrong := sorted(named.keys() - known):
            names = ", ".join(sorted(name.removeprefix("breaker_") for name in known))
            raise ValueError(f"{wrong[0].removeprefix('breaker_')!r} is not a limit; valid ones: {names}")
        checked = cls.model_validate(named)
        return {name: getattr(checked, name) for name in named}


class NotificationsSettings(BaseModel):
    """Texts of notifications, and how often they come."""

    templates: Path | None = Field(
        default=None, description="folder of Jinja templates that replace ours of the same name"
    )
    repeat: int = Field(
        default=300, ge=0, le=86_400, description="seconds for which equal notifications are joined into one"
    )
    burst: int = Field(
        default=100,
        ge=1,
        le=100_000,
        description="notifications an endpoint gets in a minute before they are joined",
    )
    slack_secret: SecretStr | None = Field(
        default=None, description="signing secret of the Slack app whose buttons decide approvals"
    )
    slack_users: dict[str, str] = Field(
        default={}, description='who people in Slack are here, by their member ID: {"U024BE7LH": "ada"}'
    )


class HealthSettings(BaseModel):
    """Thresholds of the health checks."""

    cpu: float = Field(default=80.0, gt=0, le=100, description="percent of all cores")
    memory: int = Field(default=1_024, ge=1, le=10_000_000, description="MB one process of ours may take")
    disk: float = Field(default=90.0, gt=0, le=100, description="percent of the disk that holds QFLOW_HOME")
    response: int = Field(default=1_000, ge=1, le=600_000, description="milliseconds a service may take")
    error_rate: float = Field(default=0.05, gt=0, le=1, description="error rate of any operation")
    queue_warning: int = Field(
        default=75, ge=1, le=10_000_000, description="rows waiting in a queue: degraded"
    )
    queue_critical: int = Field(
        default=100, ge=1, le=10_000_000, description="rows waiting in a queue: unhealthy"
    )
    queue_age: int = Field(default=900, ge=1, le=604_800, description="seconds the oldest of them may wait")
    freshness: int = Field(
        default=172_800, ge=60, le=31_536_000, description="seconds since a repository was measured"
    )
    confirmations: int = Field(
        default=2, ge=1, le=20, description="equal results before a change of status counts"
    )
    flapping: int = Field(default=6, ge=2, le=100, description="changes within an hour that are flapping")
    retention: int = Field(default=30, ge=1, le=3_650, description="days samples are kept")


class InboxSettings(BaseModel):
    """The one address: the page to decide in, Dagster's page, health, metrics and error intake."""

    host: str = Field(default="127.0.0.1", description="address everything is served on")
    port: int = Field(default=3001, ge=1, le=65_535, description="port everything is served on")
    accounts: dict[str, SecretStr] = Field(
        default={}, description="name and hashed password (`qflow inbox password`); needed beyond loopback"
    )
    trusted_header: str | None = Field(
        default=None,
        description="header in which a proxy names the user; with QFLOW_INBOX_PROXIES, instead of accounts",
    )
    proxies: list[str] = Field(
        default=[],
        description='addresses or networks of proxies whose headers are read, ["10.0.0.7", "10.1.0.0/16"]',
    )
    proxy_users: list[str] = Field(
        default=[],
        description='users of this system a proxy on loopback may run as, ["www-data"]; always: root and our own',
    )
    hosts: list[str] = Field(default=[], description="host names the inbox answers to, besides its address")
    url: str | None = Field(
        default=None,
        description="address of the inbox as people reach it: for links, and an origin of our own",
    )

    @property
    def address(self) -> str:
        """Where links to the inbox lead."""
        return (self.url or self.local_address).rstrip("/")

    @property
    def local_address(self) -> str:
        """Where a process of this machine reaches it."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104  (not bound here)
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"


class ModelSettings(BaseModel):
    """A language model that proposes changes; off unless an endpoint and a model are named."""

    url: str | None = Field(default=None, description="OpenAI-compatible endpoint, https://host/v1")
    name: str | None = Field(default=None, description="model to ask")
    key: SecretStr | None = Field(default=None, description="key of the endpoint")
    tokens: int = Field(default=4_096, ge=64, le=1_000_000, description="most tokens of one answer")
    timeout: int = Field(default=120, ge=1, le=3_600, description="seconds one answer may take")
    budget: float = Field(default=1.0, ge=0, le=1_000_000, description="most cost per day, in your currency")
    input_price: float = Field(default=0.0, ge=0, le=1_000_000, description="cost of a million tokens sent")
    output_price: float = Field(default=0.0, ge=0, le=1_000_000, description="cost of a million received")


class OutgoingSettings(BaseModel):
    """Requests to other machines over HTTP; git has its own."""

    proxy: SecretStr | None = Field(
        default=None, description="proxy, http://host:port; those of the environment are not used"
    )
