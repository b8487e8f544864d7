"""Folders for embedded servers of one's own."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from qflow_dagster.database import embedded
from tests.folders import new_home

Home = Path


def _homes() -> Iterator[Path]:
    folder = new_home("qflow-pg-")
    yield folder
    embedded.stop(folder)
    shutil.rmtree(embedded.data_folder(folder), ignore_errors=True)
    shutil.rmtree(folder, ignore_errors=True)


home = pytest.fixture(_homes, name="home")


@pytest.fixture(scope="module")
def shared_home() -> Iterator[Path]:
    """One server for tests that change nothing."""
    for folder in _homes():
        embedded.start(folder)
        yield folder
