"""What the tests of the examples share: the folder, and the sample project as a git repository."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import environment, forked, home, qflow
from tests.generation.conftest import loop
from tests.ingestion.conftest import GitRepository, ingested, make_repository, repository

__all__ = ["environment", "forked", "home", "ingested", "loop", "make_repository", "qflow", "repository"]

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def shop(repository: GitRepository) -> GitRepository:
    """The sample project, committed."""
    shutil.copytree(EXAMPLES / "shop", repository.path, dirs_exist_ok=True)
    repository.commit(message="A small shop")
    return repository


@pytest.fixture
def use_settings(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Set an environment variable, and forget what was read before: settings, rules, generators."""
    from qflow_dagster.evolution.rules import load_rules
    from qflow_dagster.generation.generators import installed
    from qflow_dagster.settings import settings

    def forget() -> None:
        for cached in (settings, load_rules, installed):
            cached.cache_clear()

    def use(name: str, value: str) -> None:
        monkeypatch.setenv(name, value)
        forget()

    yield use
    monkeypatch.undo()
    forget()
