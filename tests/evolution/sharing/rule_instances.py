"""Instances that share rules: some with a database and a home of their own, some that only sign files."""

import json
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import URL, Connection, Engine, text

from qflow_dagster.database import engine_for
from qflow_dagster.evolution.rules import Rule
from qflow_dagster.evolution.sharing.imports import (
    RuleImportResult,
    import_packages,
)
from qflow_dagster.evolution.sharing.instances import Identity, Instance, identity
from qflow_dagster.evolution.sharing.publisher import Publishable, _body
from qflow_dagster.evolution.sharing.rule_packages import Origin, sign
from qflow_dagster.evolution.sharing.votes import VOTE_FORMAT
from qflow_dagster.settings import settings
from tests import databases

AT = datetime(2025, 6, 1, 12, tzinfo=UTC)


def make_rule(name: str = "own/bar", **changed: Any) -> Rule:
    """A rule that no pack has."""
    given = {
        "id": name,
        "title": "Call bar, not foo",
        "rationale": "Because bar is what we call now.",
        "language": "python",
        "category": "correctness",
        "severity": "warning",
        "matcher": {"ast-grep": {"rule": {"pattern": "foo($A)"}}},
        "fix": "bar($A)",
        "examples": [{"bad": "foo(1)\n", "good": "bar(1)\n"}],
        "source": "us",
        "confidence": 0.9,
        "owner": "team:us",
        "pack": "own",
    }
    return Rule.model_validate({**given, **changed})


def publishable(rule: Rule, lower: float = 0.9, origin: Origin = "shipped", **evidence: Any) -> Publishable:
    """A rule of a pack of one's own, with evidence."""
    given = {"accepted": 38.0, "denied": 2.0, "uses": 40, "successes": 38, **evidence}
    return Publishable(rule=rule, confidence_mean=0.95, confidence_lower=lower, evidence=given, origin=origin)


class Peer:
    """An instance of which only the key is here: it signs what it is told to."""

    def __init__(self, name: str = "peer") -> None:
        private = Ed25519PrivateKey.generate()
        self.identity = Identity(Instance(name, private.public_key().public_bytes_raw()), private)

    @property
    def key(self) -> str:
        return self.identity.instance.key

    def package(self, rule: Rule, at: datetime = AT, *, changed: Any = None, **evidence: Any) -> bytes:
        """A package; `changed` is merged into what is signed."""
        return sign({**_body(publishable(rule, **evidence), rule, at), **(changed or {})}, self.identity)

    def vote(
        self, rule: Rule, vote: str, confidence: float, uses: int = 40, successes: int = 38, at: datetime = AT
    ) -> bytes:
        """A vote on a rule."""
        body = {
            "format": VOTE_FORMAT,
            "rule_id": rule.id,
            "version": rule.version,
            "digest": rule.digest.hex(),
            "vote": vote,
            "confidence": confidence,
            "uses": uses,
            "successes": successes,
            "cast_at": at.isoformat(),
        }
        return sign(body, self.identity)


class Home:
    """An instance with a database and a QFLOW_HOME of its own."""

    def __init__(self, name: str, home: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
        self.name, self.home, self.engine, self.monkeypatch = name, home, engine, monkeypatch
        self.trusted: list[str] = []
        with self.active():
            self.key = identity().instance.key
            self.label = identity().instance.label

    @contextmanager
    def active(self) -> Iterator[None]:
        """This process is that instance."""
        with self.monkeypatch.context() as patch:
            patch.setenv("QFLOW_HOME", str(self.home))
            patch.setenv("QFLOW_EVOLUTION_INSTANCE", self.name)
            patch.setenv("QFLOW_EVOLUTION_TRUSTED", json.dumps(getattr(self, "trusted", [])))
            settings.cache_clear()
            yield
        settings.cache_clear()

    @contextmanager
    def connected(self) -> Iterator[Connection]:
        """The same, in a transaction."""
        with self.active(), self.engine.begin() as connection:
            yield connection

    def sent(self, queue: str = "rule_notifications") -> list[Any]:
        """What was sent to a queue."""
        query = text("SELECT payload FROM messages WHERE queue = :queue ORDER BY xact, id")
        with self.engine.connect() as connection:
            return list(connection.scalars(query, {"queue": queue}))

    def pass_time(self, seconds: float) -> None:
        """Votes were opened that much earlier."""
        with self.engine.begin() as connection:
            connection.execute(
                text("UPDATE workflows SET updated_at = updated_at - make_interval(secs => :s)"),
                {"s": seconds},
            )


@pytest.fixture
def make_home(
    template: URL, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str], Home]]:
    """Makes instances."""
    made: list[Home] = []

    def make(name: str) -> Home:
        database = databases.copy(template, f"test_{uuid.uuid4().hex}")
        made.append(Home(name, tmp_path / name, engine_for(database), monkeypatch))
        return made[-1]

    yield make
    for home in made:
        home.engine.dispose()
        databases.drop(home.engine.url)


@pytest.fixture
def ours(make_home: Callable[[str], Home]) -> Home:
    """This instance."""
    return make_home("ours")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A shared folder."""
    folder = tmp_path / "shared"
    folder.mkdir()
    return folder


def files_in(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def take(home: Home, place: Path | str, *trust: str) -> RuleImportResult:
    with home.connected() as connection:
        return import_packages(connection, place, trust=trust, actor="ada")


def refused(report: RuleImportResult) -> dict[str, str]:
    return dict(report.refused)
