"""Settings of the improvement loop: ingestion, metrics, rules, evolution, execution, generation, agents.

Each value has its default, range and meaning. Does not belong here: reading them (the package).
"""

import os
from typing import Annotated, Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, SecretStr


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
    webhook_secret: SecretStr | None = Field(
        default=None, description="secret of the webhooks by which forges report pushes"
    )
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
    teams: dict[str, list[str]] = Field(
        default={},
        description='teams as addresses and domains, {"core": ["ann@example.com", "@example.org"]}',
    )
    bots: list[str] = Field(
        default=[], description="addresses of programs that commit, besides the usual ones"
    )
    snapshots: int = Field(
        default=30, ge=1, le=10_000, description="snapshots per repository whose rows are kept"
    )


class RulesSettings(BaseModel):
    """Rules of one's own."""

    folders: list[str] = Field(
        default=[],
        description='folders with further packs, ["/etc/qflow/rules"]; a later one replaces a rule',
    )
    enabled: list[str] = Field(
        default=[],
        description="rules that are on although they are of style, or the repository's linter ignores them, "
        '["python/format-call"]',
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


class RoleSettings(BaseModel):
    """Changes of a role's limits; a limit that is not set stays as it is."""

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
    # `task_lanes` is its former name.
    task_workers: int = Field(
        default=4,
        ge=1,
        le=64,
        validation_alias=AliasChoices("task_workers", "task_lanes"),
        description="steps of a run that share the ready tasks",
    )
    task_runs: int = Field(
        default=2, ge=1, le=64, description="runs at a time, on all machines, that share the ready tasks"
    )
    classifier: str = Field(
        default="words",
        pattern="^(words|model)$",
        description="who says what a free text asks for: its words alone, or the model of QFLOW_MODEL_*",
    )
    decomposer: Literal["templates", "model"] = Field(
        default="templates",
        description="who splits a goal of a task graph: a template for its kind, or the model of QFLOW_MODEL_*",
    )
    hierarchy: Literal["essential", "large-solution", "plain"] = Field(
        default="essential",
        description="theme, epic, feature, story; large-solution: also capability; plain: epic and story alone",
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

    items: int = Field(default=10, ge=0, le=10_000, description="changes one loop generates")
    judgement_rules: list[str] = Field(
        default=[],
        description='rules whose fix may alter behaviour, to be suggested all the same, ["python/bare-except"]',
    )
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
    behaviour_seconds: float = Field(
        default=20,
        ge=0,
        le=3_600,
        description="seconds in which a changed function is called before and after a change; 0: never",
    )
    fetch_packages: bool = Field(
        default=False,
        description="download what a repository's tests need from the package indexes, without running its code",
    )
    sandbox_paths: list[str] = Field(
        default=[],
        description='further folders the sandbox may read, ["/srv/venv"]; toolchains in the home are found',
    )
    unisolated: bool = Field(
        default=False, description="run a repository's tests even where nothing isolates them"
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
    rebase: bool = Field(
        default=True,
        description="rebase edits whose files have changed on their target branch, where git can",
    )
    delete_branches: bool = Field(
        default=True, description="delete the branches of ended edits, unless they have commits of others"
    )
    author: str | None = Field(
        default=None,
        max_length=400,
        description="author of commits, 'Ada Lovelace <ada@example.com>'; default: git's user.name and user.email",
    )
    committer: str | None = Field(
        default=None, max_length=400, description="committer of commits; default: their author"
    )
    sign_off: bool = Field(default=False, description="end commit messages with Signed-off-by: the committer")
    signature: str = Field(
        default="none", pattern="^(none|openpgp|ssh)$", description="sign commits: none, openpgp or ssh"
    )
    signing_key: str | None = Field(
        default=None, description="key that signs: an id for openpgp, the file of a key for ssh"
    )
    signing_program: str | None = Field(
        default=None, description="program that signs; default: gpg or ssh-keygen"
    )


class AgentsSettings(BaseModel):
    """Agents and who gets an assignment."""

    # `least_fit` is its former name.
    min_fit: float = Field(
        default=0.5,
        ge=0,
        le=1,
        validation_alias=AliasChoices("min_fit", "least_fit"),
        description="minimum fit of an agent for an assignment",
    )
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
