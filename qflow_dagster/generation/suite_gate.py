"""The last gate: the repository's own tests pass as they did before the change.

Belongs here: running them on the commit once and on each change, and telling apart what the change
broke from what failed before or fails at random. Does not belong here: which command and
how its output is read (`repository_tests`).
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Engine, select, text
from sqlalchemy.dialects.postgresql import insert

from qflow_dagster import sandbox
from qflow_dagster.generation import patches, repository_tests
from qflow_dagster.generation.environments import Environment, Environments
from qflow_dagster.generation.patches import Patch
from qflow_dagster.generation.repository_tests import Outcome, SuiteCommand, SuiteRun
from qflow_dagster.generation.tables import suite_runs
from qflow_dagster.generation.validation import Answer, Gate
from qflow_dagster.ingestion import checkouts, trees
from qflow_dagster.ingestion.git import GitError
from qflow_dagster.ingestion.queries import IN_SNAPSHOT, Snapshot
from qflow_dagster.quantumflow.rows import to_jsonb
from qflow_dagster.safety.folders import work_folder
from qflow_dagster.settings import settings

NAME = "tests"
MANIFESTS = ("pyproject.toml", "setup.cfg", "tox.ini", "package.json", "Makefile")
MAX_NAMED = 5


class Suite:
    """The tests of a repository at one commit."""

    def __init__(
        self,
        engine: Engine,
        objects: Path,
        snapshot: Snapshot,
        environments: Environments | None = None,
    ) -> None:
        self.engine, self.objects, self.snapshot = engine, objects, snapshot
        self.command = self._command()
        self._environments = environments or Environments(engine, objects, snapshot)
        self._base: SuiteRun | None = None
        self._lock = threading.Lock()

    def check(self, patch: Patch) -> Gate:
        """Run the tests with the patch; return whether they pass as they do without it."""
        started = time.monotonic()
        verdict, evidence = self._check(patch)
        return Gate(NAME, verdict, evidence, time.monotonic() - started)

    def base(self) -> SuiteRun:
        """Return the result of the tests on the unchanged commit; run once, then stored in the database."""
        with self._lock:
            if self._base is None:
                self._base = self._stored() or self._run_base()
            return self._base

    def _check(self, patch: Patch) -> Answer:
        required = settings().generation.tests == "require"
        if settings().generation.tests == "off":
            return "skipped", "QFLOW_GENERATION_TESTS is off"
        missing = "failed" if required else "skipped"
        if self.command is None:
            return missing, "no test command was detected; set QFLOW_GENERATION_TEST_COMMANDS"
        try:
            base, environment = self.base(), self._environment()
            if not base.ran or not (base.succeeded or base.tests):
                return (
                    missing,
                    f"{self.command}: {base.summary}; it does not succeed without the change either; "
                    f"{environment.evidence}",
                )
            after = self._run(patch)
            if not after.ran:
                return "failed", f"{self.command}: {after.summary}; without the change it runs"
            broken = self._broken(base, after)
            if not broken:
                packages = f", with {environment.evidence}" if environment.key else ""
                return "passed", f"{self.command}: {after.summary}, isolated by {after.isolation}{packages}"
            # Run again: a test that fails at random fails without the change too.
            second = self._run(patch)
            broken &= self._broken(base, second)
        except (sandbox.NotIsolatedError, GitError) as error:
            # Tests may need any file, also one whose object is missing.
            return missing, str(error)
        if not broken:
            return (
                "passed",
                f"{self.command}: {second.summary}; tests that failed in the first run passed in the second",
            )
        named = ", ".join(sorted(broken)[:MAX_NAMED])
        return "failed", f"{self.command}: {len(broken)} broken: {named}"

    @staticmethod
    def _broken(base: SuiteRun, after: SuiteRun) -> set[str]:
        """Return the tests that failed after and not before; "the command" if it does not name tests."""
        broken: set[str] = set()
        if base.tests:
            passed = {name for name, outcome in base.tests.items() if outcome == "passed"}
            broken = (after.failed - base.failed) | (passed - after.tests.keys())
        return broken or ({"the command"} if base.succeeded and not after.succeeded else set())

    def _run_base(self) -> SuiteRun:
        first = self._run(None)
        if first.ran and first.failed:
            # A test that fails once in two runs counts as failing: no change is blamed for it.
            second = self._run(None)
            both: dict[str, Outcome] = {
                **second.tests,
                **dict.fromkeys(first.failed | second.failed, "failed"),
            }
            first = SuiteRun(
                second.ran,
                first.succeeded or second.succeeded,
                both,
                first.summary,
                first.seconds,
                first.isolation,
            )
        self._store(first)
        return first

    def _run(self, patch: Patch | None) -> SuiteRun:
        assert self.command is not None  # noqa: S101  (callers check it)
        environment = self._environment()
        with self._checkout(patch) as folder:
            environment.prepare(folder)
            return repository_tests.run(self.command, folder, environment.packages)

    def _environment(self) -> Environment:
        return self._environments.for_command(self.command.arguments if self.command else ())

    @contextmanager
    def _checkout(self, patch: Patch | None) -> Iterator[Path]:
        with work_folder("qflow-tests-") as outer:
            # The outer folder stays ours alone; the inner one may be owned by the sandbox's user. So no other
            # user reaches what hostile tests leave there.
            folder = outer / "work"
            folder.mkdir()
            with checkouts.scratch(self.objects) as store:
                tree = self.snapshot.commit_oid
                if patch is not None:
                    tree = patches.apply(store, tree, patch)
                checkouts.export(store, tree, folder)
            yield folder

    def _command(self) -> SuiteCommand | None:
        configured = settings().generation.test_commands.get(self.snapshot.repository)
        if configured:
            return repository_tests.configured(configured)
        query = text(
            f"SELECT f.path, f.oid FROM files f WHERE {IN_SNAPSHOT} AND f.kind IN ('file', 'executable')"
        )
        with self.engine.connect() as connection:
            rows = connection.execute(query, self.snapshot.interval).all()
        manifests = trees.read_texts(
            self.objects, [(row.path, row.oid) for row in rows if row.path in MANIFESTS]
        )
        return repository_tests.detect(manifests, {row.path for row in rows})

    def _stored(self) -> SuiteRun | None:
        runs = suite_runs.c
        query = select(
            runs.ran, runs.succeeded, runs.tests, runs.summary, runs.seconds, runs.isolation
        ).filter_by(**self._key())
        with self.engine.connect() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else SuiteRun(*row)

    def _store(self, run: SuiteRun) -> None:
        statement = insert(suite_runs).values(
            **self._key(),
            ran=run.ran,
            succeeded=run.succeeded,
            tests=to_jsonb(dict(run.tests), "the tests"),
            summary=run.summary,
            seconds=run.seconds,
            isolation=run.isolation,
        )
        with self.engine.begin() as connection:
            connection.execute(statement.on_conflict_do_nothing())

    def _key(self) -> dict[str, object]:
        # With other packages the result may be another.
        packages = self._environment().key
        return {
            "repository_id": self.snapshot.repository_id,
            "commit_oid": self.snapshot.commit_oid,
            "command": f"{self.command} [packages {packages}]" if packages else str(self.command),
        }
