"""Folders for embedded servers of one's own: empty, or with data that were made before."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from qflow_dagster.database import embedded
from tests.database.old_data_folder import make_old_data_folder
from tests.folders import new_home

Home = Path


@contextmanager
def temporary_home() -> Iterator[Home]:
    """A folder for a server, which is stopped and removed at the end."""
    folder = new_home("qflow-pg-")
    try:
        yield folder
    finally:
        embedded.stop(folder)
        shutil.rmtree(embedded.data_folder(folder), ignore_errors=True)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def empty_home() -> Iterator[Home]:
    with temporary_home() as home:
        yield home


@pytest.fixture
def home(empty_home: Home, _made: Home) -> Home:
    """One whose server was started before, and stopped: to copy it costs a tenth of making it."""
    subprocess.run(["cp", "-a", f"{_made}/.", empty_home], check=True)
    return empty_home


@pytest.fixture
def old_home(empty_home: Home, _made_by_an_earlier_version: Home) -> Home:
    """The same as an earlier version made it."""
    subprocess.run(["cp", "-a", f"{_made_by_an_earlier_version}/.", empty_home], check=True)
    return empty_home


@pytest.fixture(scope="session")
def _made() -> Iterator[Home]:
    with temporary_home() as home:
        embedded.start(home)
        embedded.stop(home)
        yield home


@pytest.fixture(scope="session")
def _made_by_an_earlier_version() -> Iterator[Home]:
    with temporary_home() as home:
        make_old_data_folder(home)
        embedded.stop(home)
        yield home


@pytest.fixture(scope="module")
def shared_home() -> Iterator[Home]:
    """One server for tests that change nothing."""
    with temporary_home() as home:
        embedded.start(home)
        yield home
