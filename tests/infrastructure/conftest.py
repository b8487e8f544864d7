"""What the tests of infrastructure share: settings for one test, and recorded errors."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Engine, text

from qflow_dagster.infrastructure.error_rate_tracker import (
    Occurrence,
    track_errors,
    track_successes,
)
from qflow_dagster.settings import settings
from qflow_dagster.settings.platform import ErrorsSettings, HealthSettings


@pytest.fixture
def errors_settings(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Change settings of errors and breakers for one test."""

    def change(**values: Any) -> None:
        monkeypatch.setattr(settings(), "errors", ErrorsSettings(**values))

    return change


@pytest.fixture
def health_settings(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Change settings of health for one test."""

    def change(**values: Any) -> None:
        monkeypatch.setattr(settings(), "health", HealthSettings(**values))

    return change


def count(engine: Engine, table: str = "error_occurrences") -> int:
    with engine.connect() as connection:
        return connection.scalar(text(f"SELECT count(*) FROM {table}")) or 0


def failed(engine: Engine, operation: str = "pay", times: int = 1, age: float = 0.0, **fields: str) -> None:
    with engine.begin() as connection:
        track_errors(connection, [Occurrence(operation=operation, age=age, **fields)] * times)


def succeeded(engine: Engine, operation: str = "pay", times: int = 1, age: float = 0.0) -> None:
    with engine.begin() as connection:
        track_successes(connection, [(operation, age, times)])
