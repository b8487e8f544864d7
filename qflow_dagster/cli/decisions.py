"""Deciding at the terminal: what was seen is what is decided, on a request or on several.

Does not belong here: the commands (`cli.approvals`), recording a decision (`approvals`).
"""

import sys
from typing import Any
from uuid import UUID

import typer

from qflow_dagster.approvals import arbiter, batches, records
from qflow_dagster.cli.output import actor_name, console, print_json, print_rows
from qflow_dagster.cli.request_view import print_approval
from qflow_dagster.database import ready_engine
from qflow_dagster.errors import QflowError, UsageError


def decide(
    record: Any,
    verb: str,
    approval: str,
    digests: list[str] | None,
    actor: str | None,
    comment: str | None,
    json: bool,
) -> None:
    """Decide a request and print its new state, with the token if there is one."""
    name = actor_name(actor)
    if digests and len(digests) > 1:
        raise UsageError(f"there are {len(digests)} digests for one id")
    id_, digest = seen(verb, approval, digests[0] if digests else None)
    with ready_engine().begin() as connection:
        decided: arbiter.DecisionResult = record(connection, id_, actor=name, digest=digest, comment=comment)
    if json:
        print_json(decided._asdict())
        return
    console.print(f"{id_} is {decided.status} ({decided.approvals} of {decided.required} approvals)")
    if decided.token:
        console.print("token, shown this once: ", decided.token, sep="", soft_wrap=True)


def decide_several(
    verb: str,
    approvals: list[str],
    digests: list[str] | None,
    actor: str | None,
    comment: str | None,
    json: bool,
) -> None:
    """Decide each of several requests by itself, and print what became of each.

    Raises:
        QflowError: Some were not decided; the others are.
    """
    name = actor_name(actor)
    if digests and len(digests) != len(approvals):
        raise UsageError(
            f"there are {len(digests)} digests for {len(approvals)} ids: give one for each, in order"
        )
    found, outcomes = _found(approvals, digests)
    if digests is None and found:
        _confirm(verb, [row for row, _ in found])
    digest_of = {row["id"]: digest for row, digest in found}
    results = batches.decide_all(ready_engine(), verb, digest_of, actor=name, comment=comment)
    for id_, result, problem in results:
        counted = f"{result.approvals} of {result.required}" if result else None
        outcomes[str(id_)] = {
            "status": result.status if result else None,
            "approvals": counted,
            "problem": problem,
        }
    rows = [{"id": id_, **outcome} for id_, outcome in outcomes.items()]
    print_json(rows) if json else print_rows(rows, empty="")
    if refused := sum(row["problem"] is not None for row in rows):
        raise QflowError(f"{refused} of {len(rows)} were not decided")


def seen(verb: str, approval: str, digest: str | None) -> tuple[UUID, str]:
    """Return the approval's id and the digest of the content the person saw: passed, or shown now and confirmed.

    Raises:
        UsageError: no digest was passed, and there is no terminal to show the content on.
    """
    with ready_engine().connect() as connection:
        approval_row = records.show(connection, records.resolve(connection, approval))
    if digest is not None:
        return approval_row["id"], _joined(digest)
    _confirm(verb, [approval_row])
    return approval_row["id"], approval_row["digest"]


def _found(
    approvals: list[str], digests: list[str] | None
) -> tuple[list[tuple[dict[str, Any], str]], dict[str, dict[str, Any]]]:
    """Return the requests, each with the digest of what was seen, and an outcome for each id, empty if it is one."""
    found: list[tuple[dict[str, Any], str]] = []
    outcomes: dict[str, dict[str, Any]] = {}
    with ready_engine().connect() as connection:
        for number, prefix in enumerate(approvals):
            try:
                row = records.show(connection, records.resolve(connection, prefix))
                found.append((row, _joined(digests[number]) if digests else row["digest"]))
                outcomes[str(row["id"])] = {}
            except QflowError as error:
                outcomes[prefix] = {"status": None, "approvals": None, "problem": str(error)}
    return found, outcomes


def _confirm(verb: str, rows: list[dict[str, Any]]) -> None:
    """Show requests, of several a summary too, and have the decision confirmed.

    Raises:
        UsageError: There is no terminal to show them on.
        QflowError: It was not confirmed.
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError(
            f"a decision needs the digest of the content: give --digest as printed by "
            f"`qflow approvals show {rows[0]['id']}`, or decide at a terminal"
        )
    with ready_engine().connect() as connection:
        for row in rows:
            print_approval(connection, row)
    if len(rows) > 1:
        summary = [
            {
                "id": str(row["id"]),
                "kind": row["kind"],
                "target": row["target"],
                "risk": row["risk"],
                "reason": row["reason"],
            }
            for row in rows
        ]
        print_rows(summary, empty="", title=f"{len(rows)} requests")
    if not typer.confirm(f"{verb} exactly this?" if len(rows) == 1 else f"{verb} all {len(rows)} of them?"):
        raise QflowError("nothing was decided")


def _joined(digest: str) -> str:
    """Return a digest as one word: a narrow terminal shows it in two lines."""
    return "".join(digest.split())
