"""The last gate: the repository's own tests pass as they did before the change.

Belongs here: running them on the commit once and on each change, and telling what the change
broke from what failed before or fails now and then. Does not belong here: which command and
how its output is read (`repository_tests`).
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Engine, text

from qflow_dagster import sandbox
from qflow_dagster.generation import patches, repository_tests
from qflow_dagster.generation.patches import Patch
from qflow_dagster.generation.repository_tests import Outcome, SuiteCommand, SuiteRun
from qflow_dagster.generation.validation import Answer, Gate
from qflow_dagster.ingestion import checkouts, trees
from qflow_dagster.ingestion.queries import IN_SNAPSHOT, Snapshot
from qflow_dagster.quantumflow.rows import to_json
from qflow_dagster.safety.folders import work_folder
from qflow_dagster.settings import settings

NAME = "tests"
MANIFESTS = ("pyproject.toml", "setup.cfg", "tox.ini", "package.json", "Makefile")
NAMED = 5


class Suite:
    """The tests of a repository at one commit."""

    def __init__(self, engine: Engine, objects: Path, snapshot: Snapshot) -> None:
        self.engine, self.objects, self.snapshot = engine, objects, snapshot
        self.command = self._command()
        self._base: SuiteRun | None = None
        self._lock = threading.Lock()

    def judge(self, patch: Patch) -> Gate:
        """Whether the tests pass with the patch as they do without."""
        started = time.monotonic()
        verdict, evidence = self._judge(patch)
        return Gate(NAME, verdict, evidence, time.monotonic() - started)

    def base(self) -> SuiteRun:
        """The tests of the commit as it is; run once, then remembered in the database."""
        with self._lock:
            if self._base is None:
                self._base = self._known() or self._run_base()
            return self._base

    def _judge(self, patch: Patch) -> Answer:
        required = settings().generation.tests == "require"
        if settings().generation.tests == "off":
            return "skipped", "QFLOW_GENERATION_TESTS is off"
        missing = "failed" if required else "skipped"
        if self.command is None:
            return missing, "nothing says how this repository is tested; see QFLOW_GENERATION_TEST_COMMANDS"
        try:
            base = self.base()
            if not base.ran or not (base.succeeded or base.tests):
                return missing, f"{self.command}: {base.words}; it does not succeed without the change either"
            with self._checkout(patch) as folder:
                after = repository_tests.run(self.command, folder)
            if not after.ran:
                return "failed", f"{self.command}: {after.words}; without the change it runs"
            broken = self._broken(base, after)
            if not broken:
                return "passed", f"{self.command}: {after.words}, isolated by {after.isolation}"
            # Once more: a test that fails now and then fails without the change too.
            with self._checkout(patch) as folder:
                again = repository_tests.run(self.command, folder)
            broken &= self._broken(base, again)
        except sandbox.NotIsolatedError as error:
            return missing, str(error)
        if not broken:
            return "passed", f"{self.command}: {again.words}; what failed the first time did not the second"
        named = ", ".join(sorted(broken)[:NAMED])
        return "failed", f"{self.command}: {len(broken)} broken: {named}"

    @staticmethod
    def _broken(base: SuiteRun, after: SuiteRun) -> set[str]:
        """The tests that failed after and not before; "the command" where it does not name tests."""
        if base.tests and after.tests:
            missing = {
                name
                for name, outcome in base.tests.items()
                if outcome == "passed" and name not in after.tests
            }
            return (after.failed - base.failed) | missing
        return {"the command"} if base.succeeded and not after.succeeded else set()

    def _run_base(self) -> SuiteRun:
        assert self.command is not None  # noqa: S101  (asked by those who have one)
        with self._checkout(None) as folder:
            first = repository_tests.run(self.command, folder)
        if first.ran and first.failed:
            # What fails once in two runs is held to fail: no change is blamed for it.
            with self._checkout(None) as folder:
                second = repository_tests.run(self.command, folder)
            both: dict[str, Outcome] = {
                **second.tests,
                **dict.fromkeys(first.failed | second.failed, "failed"),
            }
            first = SuiteRun(
                second.ran,
                first.succeeded or second.succeeded,
                both,
                first.words,
                first.seconds,
                first.isolation,
            )
        self._remember(first)
        return first

    @contextmanager
    def _checkout(self, patch: Patch | None) -> Iterator[Path]:
        with work_folder("qflow-tests-") as outer:
            # The outer folder stays ours alone, the inner one may become the sandbox's user's: nobody else
            # reaches what hostile tests leave there.
            folder = outer / "work"
            folder.mkdir()
            with checkouts.scratch(self.objects) as store:
                tree = self.snapshot.commit_oid
                if patch is not None:
                    tree = patches.apply(store, tree, patch)
                checkouts.export(store, tree, folder)
            yield folder

    def _command(self) -> SuiteCommand | None:
        given = settings().generation.test_commands.get(self.snapshot.repository)
        if given:
            return repository_tests.configured(given)
        query = text(
            f"SELECT f.path, f.oid FROM files f WHERE {IN_SNAPSHOT} AND f.kind IN ('file', 'executable')"
        )
        with self.engine.connect() as connection:
            rows = connection.execute(query, self.snapshot.interval).all()
        manifests = trees.read_texts(
            self.objects, [(row.path, row.oid) for row in rows if row.path in MANIFESTS]
        )
        return repository_tests.detect(manifests, {row.path for row in rows})

    def _known(self) -> SuiteRun | None:
        query = text("""
            SELECT ran, succeeded, tests, words, seconds, isolation FROM suite_runs
            WHERE repository_id = :id AND commit_oid = :commit AND command = :command
        """)
        with self.engine.connect() as connection:
            row = connection.execute(query, self._key()).one_or_none()
        return None if row is None else SuiteRun(*row)

    def _remember(self, run: SuiteRun) -> None:
        statement = text("""
            INSERT INTO suite_runs (repository_id, commit_oid, command, ran, succeeded, tests, words, seconds,
                                    isolation)
            VALUES (:id, :commit, :command, :ran, :succeeded, CAST(:tests AS jsonb), :words, :seconds, :isolation)
            ON CONFLICT (repository_id, commit_oid, command) DO NOTHING
        """)
        values = {
            "ran": run.ran,
            "succeeded": run.succeeded,
            "tests": to_json(dict(run.tests), "the tests"),
            "words": run.words,
            "seconds": run.seconds,
            "isolation": run.isolation,
        }
        with self.engine.begin() as connection:
            connection.execute(statement, {**self._key(), **values})

    def _key(self) -> dict[str, object]:
        return {
            "id": self.snapshot.repository_id,
            "commit": self.snapshot.commit_oid,
            "command": str(self.command),
        }
