"""Every setting of the project, in one place: environment variables with the prefix ``QFLOW_``.

Nested by domain: ``QFLOW_INGESTION_PROCESSES`` is ``settings().ingestion.processes``.
Does not belong here: reading the environment anywhere else.
"""

import os
from functools import cache
from pathlib import Path

from pydantic import BaseModel, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from qflow_dagster.errors import UsageError


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
    host: str = Field(default="127.0.0.1", description="address `qflow up` serves the web page on")
    port: int = Field(default=3000, ge=1, le=65_535, description="port `qflow up` serves the web page on")


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


class Settings(BaseSettings):
    """All settings; read once per process by `settings()`."""

    model_config = SettingsConfigDict(
        env_prefix="QFLOW_", env_nested_delimiter="_", env_nested_max_split=1, extra="ignore"
    )

    home: Path = Field(
        default=Path(".qflow"), description="folder for the embedded server, mirrors and archives"
    )
    database: DatabaseSettings = DatabaseSettings()
    dagster: DagsterSettings = DagsterSettings()
    quantumflow: QuantumflowSettings = QuantumflowSettings()
    ingestion: IngestionSettings = IngestionSettings()
    metrics: MetricsSettings = MetricsSettings()


def environment_name(*path: str) -> str:
    """The environment variable of a setting, `("ingestion", "processes")` -> `QFLOW_INGESTION_PROCESSES`."""
    return "QFLOW_" + "_".join(path).upper()


@cache
def settings() -> Settings:
    """The settings of this process.

    Raises:
        UsageError: a value is out of its range; the message names the variable and the range.
    """
    try:
        return Settings()
    except ValidationError as error:
        problems = "; ".join(
            f"{environment_name(*map(str, e['loc']))}={e['input']!r}: {e['msg']}"
            if "url" not in e["loc"]
            else f"{environment_name(*map(str, e['loc']))}: {e['msg']}"
            for e in error.errors()
        )
        raise UsageError(f"wrong setting: {problems}") from None
