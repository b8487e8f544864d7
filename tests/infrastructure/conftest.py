"""What the tests of infrastructure share: settings for one test."""

from collections.abc import Callable
from typing import Any

import pytest

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
