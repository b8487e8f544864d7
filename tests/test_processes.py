"""What a worker process that reads hostile bytes is started with."""

import ctypes
import os
from pathlib import Path
from typing import Any

import pytest

from qflow_dagster.processes import LostResult, in_processes
from tests.sandbox.test_system_calls import (
    ADD_KEY,
    KEYCTL,
    KEYCTL_JOIN_SESSION_KEYRING,
    KEYCTL_SEARCH,
    SESSION,
)


def told(what: str, tasks: list[Any]) -> list[Any]:
    """Run in the worker: what it has."""
    if what == "environment":
        return [dict(os.environ)]
    if what == "key":
        return [ctypes.CDLL(None).syscall(KEYCTL, KEYCTL_SEARCH, SESSION, b"user", b"qflow-worker", 0)]
    return [Path("/proc/self/status").read_text()]


def ask(what: str) -> Any:
    return next(iter(in_processes(told, what, [[1]], 1, lost=lambda *_: LostResult())))[0]


def test_it_gets_of_our_environment_only_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path.cwd()))
    for name in (
        "QFLOW_DATABASE_URL",
        "AWS_SECRET_ACCESS_KEY",
        "DAGSTER_CLOUD_API_TOKEN",
        "PGPASSWORD",
        "GITHUB_TOKEN",
        "HTTP_PROXY",
        "DATABASE_URL",
        "SSH_AUTH_SOCK",
    ):
        monkeypatch.setenv(name, "PLANTED")
    monkeypatch.setenv("LC_TIME", "C")
    environment = ask("environment")
    assert "PLANTED" not in environment.values()
    assert environment["PATH"] == os.environ["PATH"]
    assert environment["LC_TIME"] == "C"


def test_it_cannot_gain_rights_nor_read_our_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path.cwd()))
    assert "NoNewPrivs:\t1" in ask("status")
    libc = ctypes.CDLL(None)
    libc.syscall(KEYCTL, KEYCTL_JOIN_SESSION_KEYRING, None)
    if libc.syscall(ADD_KEY, b"user", b"qflow-worker", b"SECRET", 6, SESSION) < 0:
        pytest.skip("no keyrings here")
    assert libc.syscall(KEYCTL, KEYCTL_SEARCH, SESSION, b"user", b"qflow-worker", 0) > 0
    assert ask("key") == -1
