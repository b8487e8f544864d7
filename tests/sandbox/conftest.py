"""What the tests of the sandbox share: both kinds of isolation, a folder, and running things in it."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from qflow_dagster.sandbox import Limits, Ran, run, supervision
from qflow_dagster.settings import settings

KINDS = ["bubblewrap", "namespaces"]
# Not the one of a version manager, whose start alone takes a moment.
PYTHON = "/usr/bin/python3"

Run = Callable[..., Ran]


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "bubblewrap" and shutil.which("bwrap") is None:
        pytest.skip("no bubblewrap here")
    monkeypatch.setattr(supervision, "available", lambda: request.param)
    return request.param


@pytest.fixture
def folder() -> Iterator[Path]:
    outer = Path(tempfile.mkdtemp(prefix="qflow-sandbox-"))
    inner = outer / "work"
    inner.mkdir()
    yield inner
    shutil.rmtree(outer, ignore_errors=True)


@pytest.fixture
def shell(folder: Path) -> Run:
    """Run a shell script in the folder, with limits by name."""

    def running(script: str, **limits: float) -> Ran:
        return run(["sh", "-c", script], folder, limits=limits_of(**limits))

    return running


@pytest.fixture
def python(folder: Path) -> Run:
    """Run a Python program in the folder, with limits by name."""

    def running(program: str, **limits: float) -> Ran:
        return run([PYTHON, "-c", program], folder, limits=limits_of(**limits))

    return running


def limits_of(**limits: float) -> Limits:
    return Limits(**{"seconds": 30, "memory": 2 * 1024**3, "processes": 60, **limits})  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def _fresh_settings() -> Iterator[None]:
    settings.cache_clear()
    yield
    settings.cache_clear()
