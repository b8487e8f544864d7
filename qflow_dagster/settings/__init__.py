"""Every setting of the project, in one place: environment variables with the prefix ``QFLOW_``.

Nested by domain: ``QFLOW_INGESTION_PROCESSES`` is ``settings().ingestion.processes``.
Does not belong here: reading the environment anywhere else.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, get_origin

from pydantic import BaseModel, Field, SecretStr, ValidationError, field_validator
from pydantic_core import from_json
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from qflow_dagster.errors import UsageError, problem_of
from qflow_dagster.settings.improvement_loop import (
    AgentsSettings,
    EvolutionSettings,
    ExecutionSettings,
    GenerationSettings,
    ImprovementSettings,
    IngestionSettings,
    MetricsSettings,
    RulesSettings,
)
from qflow_dagster.settings.platform import (
    DAGSTER_PATH,
    ApprovalsSettings,
    DagsterSettings,
    DatabaseSettings,
    ErrorsSettings,
    HealthSettings,
    InboxSettings,
    ModelSettings,
    NotificationsSettings,
    OutgoingSettings,
    QuantumflowSettings,
    WorkersSettings,
)


class Settings(BaseSettings):
    """All settings; read once per process by `settings()`."""

    model_config = SettingsConfigDict(
        env_prefix="QFLOW_", env_nested_delimiter="_", env_nested_max_split=1, extra="ignore"
    )

    secret_key: SecretStr | None = Field(
        default=None,
        description="encrypts stored addresses of notifications; unset: a file in QFLOW_HOME",
    )
    home: Path = Field(
        default=Path(".qflow"), description="folder for the embedded server, mirrors and archives"
    )
    database: DatabaseSettings = DatabaseSettings()
    dagster: DagsterSettings = DagsterSettings()
    workers: WorkersSettings = WorkersSettings()
    quantumflow: QuantumflowSettings = QuantumflowSettings()
    ingestion: IngestionSettings = IngestionSettings()
    metrics: MetricsSettings = MetricsSettings()
    approvals: ApprovalsSettings = ApprovalsSettings()
    errors: ErrorsSettings = ErrorsSettings()
    health: HealthSettings = HealthSettings()
    notifications: NotificationsSettings = NotificationsSettings()
    inbox: InboxSettings = InboxSettings()
    rules: RulesSettings = RulesSettings()
    generation: GenerationSettings = GenerationSettings()
    model: ModelSettings = ModelSettings()
    outgoing: OutgoingSettings = OutgoingSettings()
    improvement: ImprovementSettings = ImprovementSettings()
    agents: AgentsSettings = AgentsSettings()
    execution: ExecutionSettings = ExecutionSettings()
    evolution: EvolutionSettings = EvolutionSettings()

    @field_validator("home", mode="before")
    @classmethod
    def _home_is_named(cls, value: Any) -> Any:
        """Take an empty variable for one that is not set: it would name the current folder."""
        return cls.model_fields["home"].default if value == "" else value

    @field_validator("home")
    @classmethod
    def _home_is_no_folder_of_others(cls, value: Path) -> Path:
        """Refuse a folder that others use: they are kept out of this one."""
        folder, mode = value.resolve(), 0
        with suppress(OSError):
            mode = folder.stat().st_mode
        # A folder around those of users, or one where everybody may make files, as /tmp.
        if folder in Path("~").expanduser().parents or mode & stat.S_ISVTX:
            raise ValueError("others use this folder, and would be kept out; name a folder of its own")
        return value

    @property
    def page_file(self) -> Path:
        """Where the server of the pages records its address while it runs."""
        return self.home / "page"

    @property
    def page_address(self) -> str:
        """Where a process of this machine reaches the pages: as their server recorded it, else as it is set."""
        try:
            # Empty while it is written.
            return self.page_file.read_text().strip() or self.inbox.local_address
        except FileNotFoundError:
            return self.inbox.local_address

    @property
    def dagster_page(self) -> str:
        """Where links to Dagster's page lead."""
        return (self.dagster.page or f"{self.inbox.address}{DAGSTER_PATH}").rstrip("/")


# Settings whose value an error must not repeat.
_SECRETS = {
    "url",
    "archive",
    "broker",
    "secret_key",
    "sentry_key",
    "webhook_secret",
    "accounts",
    "key",
    "proxy",
}


def environment_name(*path: str) -> str:
    """Return the environment variable of a setting, `("ingestion", "processes")` -> `QFLOW_INGESTION_PROCESSES`."""
    return "QFLOW_" + "_".join(path).upper()


@cache
def settings() -> Settings:
    """Return the settings of this process.

    Raises:
        UsageError: a value is out of its range; the message names the variable and the range.
    """
    try:
        return Settings()
    except ValidationError as error:
        problems = "; ".join(
            f"{environment_name(*map(str, e['loc']))}={e['input']!r}: {problem_of(e)}"
            if not _SECRETS.intersection(map(str, e["loc"]))
            # The message of a pattern would have the value.
            else f"{environment_name(*map(str, e['loc']))}: {e['msg'].removeprefix('Value error, ')}"
            for e in error.errors()
        )
        raise UsageError(f"wrong setting: {problems}") from None
    except SettingsError:
        raise UsageError(f"wrong setting: {', '.join(_no_json())}: expected JSON; see qflow config") from None


def _no_json() -> Iterator[str]:
    """Yield the variables of lists and mappings whose text is not JSON; the text itself may be a secret."""
    for domain, field in Settings.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            for name, inner in field.annotation.model_fields.items():
                variable = environment_name(domain, name)
                if get_origin(inner.annotation) in (dict, list) and variable in os.environ:
                    try:
                        from_json(os.environ[variable])
                    except ValueError:
                        yield variable
