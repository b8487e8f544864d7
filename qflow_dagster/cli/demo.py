"""`qflow demo`: the whole loop on a repository with planted problems, in a home of its own, without any person."""

import os
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import typer
from sqlalchemy import Engine

from qflow_dagster.agents import (
    edit_lifecycle,
    edit_verification,
    edits,
    rule_changes,
    rule_evolution,
    self_improvement,
)
from qflow_dagster.approvals import arbiter, records
from qflow_dagster.cli import demo_repository
from qflow_dagster.cli.output import console
from qflow_dagster.cli.run import OpenPage, TerminalProgress, execute, show, show_page, summary
from qflow_dagster.database import embedded, ready_engine
from qflow_dagster.errors import QflowError, UsageError
from qflow_dagster.evolution import rule_set
from qflow_dagster.evolution.rule_evolver import Verdict
from qflow_dagster.ingestion import git, pipeline, repositories
from qflow_dagster.settings import settings

NAME, WORKER, PERSON = "shop", "qflow demo", "ada (demo)"
TEST_COMMAND = "python3 -m unittest -q"


def demo(
    again: Annotated[bool, typer.Option("--again", help="Remove an earlier demonstration first.")] = False,
    open_page: OpenPage = False,
) -> None:
    """Show the whole loop on a made-up repository: findings, changes, a reverted change, a mined and promoted rule.

    Everything lies in a folder of its own below QFLOW_HOME, with its own database; what a person decides is decided
    by the made-up person "ada (demo)".
    """
    started = time.monotonic()
    home = _own_home(again=again)
    folder = home / NAME
    demo_repository.create(folder)
    _say(1, f"A repository with {_commits(folder)} commits, made by script: {folder}")

    with TerminalProgress() as progress:
        engine = ready_engine()
        with engine.begin() as connection:
            repositories.register(connection, str(folder), NAME)
        run_id, seconds = execute(NAME, "HEAD", None, progress)
        with engine.connect() as connection:
            result = summary(connection, NAME, run_id)
    _say(
        2, "The loop ran up to the approvals: code and history read, measured, findings, plan, tested changes"
    )
    show({**result, "seconds": {**seconds, "total": time.monotonic() - started}}, hints=False)

    _say(
        3,
        f"{PERSON} approves the changes; each is committed on a branch of its own and verified with the tests",
    )
    _decide(engine, result["approvals"])
    for applied in edits.apply_approved(engine, worker=WORKER):
        console.print(
            f"  {applied.branch}: {applied.commit or applied.problem}", markup=False, soft_wrap=True
        )
    _print_verified(engine, edit_verification.verify_applied(engine))

    _say(
        4,
        "Somebody commits new tests: the branches are rebased and verified again, what breaks them is reverted",
    )
    demo_repository.add_tests_of_forms(folder)
    pipeline.ingest(engine, NAME, "HEAD")
    _print_verified(engine, edit_lifecycle.observe(engine).verified)

    _say(5, "The history is mined: a change that people made by hand again and again becomes a rule")
    _promote_mined_rule(engine)

    _say(6, "The loop runs again, with the new rule, and asks for approval of what it finds")
    with TerminalProgress() as progress:
        run_id, _ = execute(NAME, "HEAD", None, progress)
    with engine.connect() as connection:
        for row in summary(connection, NAME, run_id)["suggestions"]:
            console.print(f"  {row['title']} ({row['rule']})", markup=False, soft_wrap=True)
    console.print(f"\nDone in {time.monotonic() - started:.0f} s.", style="bold")
    console.print(f"All of it is in the web page: QFLOW_HOME={home} qflow up", soft_wrap=True, markup=False)
    if open_page:
        show_page("/")


def _own_home(*, again: bool) -> Path:
    """Switch this process to a home of its own, so that the demonstration changes no rule and no table of the user.

    Raises:
        UsageError: the database is not the embedded one, or there is a demonstration already.
    """
    if settings().database.url is not None:
        raise UsageError(
            "the demonstration needs a database of its own: unset QFLOW_DATABASE_URL for this command"
        )
    home = settings().home.absolute() / "demo"
    if home.exists() and not again:
        raise UsageError(f"{home} has a demonstration already: look at it, or run qflow demo --again")
    if home.exists():
        embedded.stop(home)
        shutil.rmtree(home)
    os.environ["QFLOW_HOME"] = str(home)
    settings.cache_clear()
    settings().generation.test_commands[NAME] = TEST_COMMAND
    return home


def _decide(engine: Engine, approvals: list[UUID]) -> None:
    for id_ in approvals:
        with engine.begin() as connection:
            shown = records.show(connection, id_)
            arbiter.approve(
                connection, id_, actor=PERSON, comment="part of the demonstration", digest=shown["digest"]
            )


def _promote_mined_rule(engine: Engine) -> None:
    """Mine rules, put the first on trial, and make it active, each step by its approval."""
    mined = rule_evolution.mine(engine, NAME, worker=WORKER)
    if not mined:
        raise QflowError("the demonstration's history gave no rule; please report it")
    verdict, approval = mined[0]
    console.print(f"  {verdict.rule_id}: {verdict.reason}", markup=False)
    _decide(engine, [approval])
    rule_changes.apply_approved(engine, worker=WORKER)
    with engine.begin() as connection:
        to_active = Verdict(
            verdict.lifecycle_id,
            verdict.rule_id,
            verdict.version,
            "active",
            f"{PERSON}: it does what we do",
            {},
        )
        approvals = rule_changes.propose(connection, [to_active])
    _decide(engine, approvals)
    rule_changes.apply_approved(engine, worker=WORKER)
    with engine.connect() as connection:
        status = rule_set.get_lifecycle(connection, verdict.lifecycle_id).status
    console.print(f"  {verdict.rule_id} is {status} now", markup=False)


def _print_verified(engine: Engine, results: Sequence[edit_verification.VerifyResult]) -> None:
    for result in results:
        outcome = "verified" if result.good else f"reverted: {result.reason}"
        console.print(f"  {_title(engine, result.edit_id)}: {outcome}", markup=False, soft_wrap=True)


def _title(engine: Engine, id_: UUID) -> str:
    with engine.connect() as connection:
        row: dict[str, Any] = self_improvement.show(connection, id_)
    return row["title"]


def _commits(folder: Path) -> int:
    return int(git.run(folder, "rev-list", "--count", "HEAD"))


def _say(number: int, sentence: str) -> None:
    console.print(f"\n{number}. {sentence}", style="bold", markup=False, soft_wrap=True)
