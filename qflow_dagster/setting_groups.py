"""The groups of settings: one class per domain, each value with its default, range and meaning.

Does not belong here: reading them (`settings`).
"""

import os
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationInfo, field_validator

# Below the address of the inbox.
DAGSTER_PATH = "/dagster"


class DatabaseSettings(BaseModel):
    """Where the tables live."""

    url: SecretStr | None = Field(
        default=None,
        description="PostgreSQL server, postgresql://user:password@host/database; unset: embedded",
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


class IngestionSettings(BaseModel):
    """Reading repositories."""

    processes: int = Field(
        default=os.cpu_count() or 1, ge=1, le=256, description="processes that parse; default: all cores"
    )
    parse_limit: int = Field(
        default=2_000_000,
        ge=1_000,
        le=100_000_000,
        description="bytes; larger files get lines, no syntax tree",
    )
    parse_timeout: int = Field(default=10, ge=1, le=600, description="seconds one file may take to parse")
    fetch_timeout: int = Field(
        default=1_800, ge=1, le=86_400, description="seconds a clone or fetch may take"
    )
    mirror_bytes: int = Field(
        default=20_000_000_000, ge=1_000_000, le=10**13, description="bytes one file of a mirror may have"
    )
    tree_paths: int = Field(
        default=500_000, ge=1_000, le=100_000_000, description="paths a commit may have to be read"
    )
    checkout_bytes: int = Field(
        default=1_000_000_000, ge=1_000, le=10**13, description="bytes a commit may have to be checked out"
    )
    git_memory: int = Field(
        default=2_048, ge=256, le=1_048_576, description="MB a git process may allocate (Linux)"
    )


class MetricsSettings(BaseModel):
    """Measuring what was ingested."""

    clone_tokens: int = Field(default=60, ge=20, le=1_000, description="shortest clone reported, in tokens")
    coupling_support: int = Field(
        default=5, ge=2, le=1_000, description="fewest common commits to be coupled"
    )
    coupling_files: int = Field(
        default=50, ge=2, le=10_000, description="commits touching more files are left out"
    )
    snapshots: int = Field(
        default=30, ge=1, le=10_000, description="snapshots per repository whose rows are kept"
    )


class ApprovalsSettings(BaseModel):
    """Who decides, for how long, and what needs nobody."""

    ttl: int = Field(default=86_400, ge=1, le=31_536_000, description="seconds a request waits for a person")
    longest_ttl: int = Field(
        default=2_592_000, ge=1, le=31_536_000, description="longest a request may ask for"
    )
    quorum: dict[str, int] = Field(
        default={}, description='approvals needed per kind, {"edit": 2}; default: 1'
    )
    deciders: dict[str, list[str]] = Field(
        default={}, description='who may decide a kind, {"edit": ["ada"]}; a kind not named: everybody'
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


class ErrorsSettings(BaseModel):
    """Errors and circuit breakers."""

    window: int = Field(default=60, ge=1, le=3_600, description="seconds of the sliding window of rates")
    alert_total: int = Field(default=10, ge=1, le=1_000_000, description="calls in a window before it alerts")
    alert_rate: float = Field(default=0.05, gt=0, le=1, description="error rate that alerts")
    alert_cooldown: int = Field(
        default=300, ge=0, le=86_400, description="seconds between two alerts of one operation"
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
    breaker_probe: float = Field(
        default=30.0, gt=0, le=3_600, description="seconds after which a silent probe failed"
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
        default=2, ge=1, le=20, description="equal results before a change is believed"
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


class RoleSettings(BaseModel):
    """What is changed of a role's limits; what is not given stays."""

    model_config = ConfigDict(extra="forbid")

    adapters: list[str] | None = None
    timeout: float | None = Field(default=None, gt=0, le=86_400)
    commands: list[str] | None = None
    hosts: list[str] | None = None
    paths: list[str] | None = None
    memory: int | None = Field(default=None, ge=64)
    concurrency: int | None = Field(default=None, ge=1)


class ExecutionSettings(BaseModel):
    """Planning the work, and task graphs."""

    roles: dict[str, RoleSettings] = Field(
        default={}, description='changed limits of task roles, {"tester": {"concurrency": 2}}'
    )
    task_threads: int = Field(default=8, ge=1, le=256, description="tasks a worker does at the same time")
    task_lanes: int = Field(default=4, ge=1, le=64, description="steps a run shares ready tasks among")

    classifier: str = Field(
        default="words",
        pattern="^(words|model)$",
        description="who says what a free text asks for: its words alone, or the model of QFLOW_MODEL_*",
    )
    autonomous: float = Field(
        default=0.9, ge=0, le=1, description="confidence from which a free text becomes work without a person"
    )
    collaborative: float = Field(
        default=0.7,
        ge=0,
        le=1,
        description="confidence from which it waits for an approval; below: escalated",
    )


class GenerationSettings(BaseModel):
    """Generating and validating changes."""

    items: int = Field(default=10, ge=0, le=10_000, description="work items one loop generates changes for")
    timeout: int = Field(default=120, ge=1, le=3_600, description="seconds a generator may take for one item")
    tests: str = Field(
        default="auto",
        pattern="^(auto|off|require)$",
        description="auto: run the repository's tests where they run; off: never; require: refuse without",
    )
    test_commands: dict[str, str] = Field(
        default={}, description='test command per repository, {"redis": "make test"}; default: found out'
    )
    test_timeout: int = Field(default=600, ge=1, le=86_400, description="seconds a test run may take")
    test_memory: int = Field(
        default=4_096, ge=64, le=1_000_000, description="MB each process of one may take"
    )
    test_processes: int = Field(default=256, ge=1, le=100_000, description="processes one may have")
    test_disk: int = Field(
        default=4_096, ge=16, le=10_000_000, description="MB one may write into its folder, in sum"
    )
    sandbox_paths: list[str] = Field(
        default=[],
        description='further folders the sandbox may read, ["/srv/venv"]; toolchains in the home are found',
    )
    unisolated: bool = Field(
        default=False, description="run a repository's tests even where nothing isolates them"
    )


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


class ImprovementSettings(BaseModel):
    """The self-improvement agent."""

    edits_per_day: int = Field(default=100, ge=0, le=100_000, description="most edits applied in 24 hours")
    branch_prefix: str = Field(
        default="qflow/", pattern="^[A-Za-z0-9][A-Za-z0-9._/-]*$", description="edits get branches named so"
    )
    ttl: int = Field(
        default=604_800, ge=60, le=31_536_000, description="seconds a suggestion waits for a person"
    )
    waiting: int = Field(
        default=25, ge=1, le=100_000, description="suggestions that wait at a time, per repository"
    )


class AgentsSettings(BaseModel):
    """Agents and who gets an assignment."""

    least_fit: float = Field(default=0.5, ge=0, le=1, description="fit below which an agent gets nothing")
    assign_timeout: float = Field(
        default=60.0, gt=0, le=86_400, description="seconds an agent has to take what it was given"
    )
    lease: float = Field(
        default=60.0,
        gt=0,
        le=86_400,
        description="seconds without a heartbeat after which an assignment is lost",
    )
    wait: int = Field(
        default=86_400, ge=1, le=31_536_000, description="seconds an assignment waits for an agent that fits"
    )


class RulesSettings(BaseModel):
    """Rules of one's own."""

    folders: list[str] = Field(
        default=[],
        description='folders with further packs, ["/etc/qflow/rules"]; a later one replaces a rule',
    )


class EvolutionSettings(BaseModel):
    """Rules that earn or lose their autonomy, and rules shared with other instances.

    From where a rule may act, `QFLOW_APPROVALS_POLICY_CONFIDENCE` says.
    """

    half_life: float = Field(
        default=180.0, gt=0, le=36_500, description="days after which an outcome counts half"
    )
    ask: float = Field(
        default=0.7,
        ge=0,
        le=1,
        description="expected acceptance below which a rule's findings are only shown",
    )
    ask_bounds: tuple[float, float] = Field(
        default=(0.5, 0.85), description="between what it may move by itself"
    )
    act_bounds: tuple[float, float] = Field(
        default=(0.8, 0.98), description="between what the least confidence to act may move by itself"
    )
    publish: float = Field(
        default=0.85, ge=0, le=1, description="lower bound of confidence from which a rule is published"
    )
    publish_bounds: tuple[float, float] = Field(
        default=(0.75, 0.95), description="between what it may move by itself"
    )
    outcomes: int = Field(default=10, ge=1, le=100_000, description="new decisions that start an evolution")
    trial: int = Field(default=90, ge=1, le=3_650, description="days after which an undecided trial ends")
    trials: int = Field(
        default=2, ge=0, le=20, description="variants of one rule that are on trial at a time"
    )
    drafts: int = Field(
        default=10, ge=0, le=1_000, description="mined rules offered per repository at a time"
    )
    instance: str = Field(
        default="qflow",
        pattern="^[A-Za-z0-9][A-Za-z0-9-]{0,39}$",
        description="name of this instance for others, beside the fingerprint of its key",
    )
    key: SecretStr | None = Field(
        default=None,
        description="private key of this instance (base64 of 32 bytes), for several machines on one "
        "database; unset: a file in QFLOW_HOME",
    )
    trusted: list[Annotated[str, Field(pattern="^[A-Za-z0-9+/]{43}=$")]] = Field(
        default=[], description='public keys (base64) of instances whose rules are imported, ["GpT..="]'
    )
    prior_discount: float = Field(
        default=0.25, ge=0, le=1, description="weight of a decision of another instance beside one of ours"
    )
    prior_limit: float = Field(
        default=10.0, ge=0, le=1_000, description="decisions that all other instances together weigh at most"
    )
    voting: int = Field(
        default=300, ge=1, le=31_536_000, description="seconds instances may vote on an imported rule"
    )
