"""The commands of `qflow rules` that change rules: evolve, mine, promote, retire, veto, publish, import, distrust.

Does not belong here: reading rules (`cli.rules`).
"""

from collections.abc import Sequence
from typing import Annotated, Any

import typer
from sqlalchemy import Connection, Row

from qflow_dagster.agents import rule_changes, rule_evolution
from qflow_dagster.cli.output import (
    As,
    JsonFlag,
    Limit,
    actor_name,
    console,
    print_json,
    print_rows,
    worker_name,
)
from qflow_dagster.database import ready_engine
from qflow_dagster.errors import QflowError, UsageError
from qflow_dagster.evolution import rule_set, thresholds
from qflow_dagster.evolution.rule_evolver import Verdict
from qflow_dagster.evolution.rules import Rule, load_rules
from qflow_dagster.evolution.sharing import exchange, imports
from qflow_dagster.evolution.sharing.instances import identity

RuleId = Annotated[str, typer.Argument(metavar="RULE", help="Id of a rule (qflow rules list).")]
Version = Annotated[int | None, typer.Option("--version", help="The version; needed if there are several.")]
Store = Annotated[
    str,
    typer.Argument(
        metavar="STORE", help="A folder, a git repository or its URL; for import also a single file."
    ),
]
Reason = Annotated[str, typer.Option("--reason", help="The reason; it goes into the history.")]


def evolve(as_: As = None, json: JsonFlag = False) -> None:
    """Evolve the rules from past decisions: confidence, thresholds, variants, verdicts on trials."""
    engine = ready_engine()
    worker = worker_name(as_)
    with console.status("evolving the rules"):
        result = rule_evolution.evolve(engine, worker=worker)
    thresholds, levels = result.confidence
    verdicts = result.verdicts
    if json:
        print_json(
            {
                "outcomes": result.outcomes.new,
                "thresholds": [change._asdict() for change in thresholds],
                "moved": [change._asdict() for change in levels if change.before],
                "variants": [variant._asdict() for variant in result.variants],
                "verdicts": [verdict._asdict() for verdict in verdicts.verdicts],
                "approvals": verdicts.requested,
                "changed": [change._asdict() for change in verdicts.changed],
            }
        )
        return
    console.print(f"{result.outcomes.new:,} new outcomes")
    for change in thresholds:
        console.print(f"threshold now {change.value:.2f}: {change.reason}", soft_wrap=True)
    for change in levels:
        if change.before is not None or change.drifts:
            drifts = ", it drifts" if change.drifts else ""
            console.print(
                f"{change.rule_id} version {change.version}: {change.before} -> {change.after}{drifts}"
            )
    for variant in result.variants:
        console.print(
            f"on trial: {variant.rule_id} version {variant.version}, {variant.operation}: {variant.description}",
            soft_wrap=True,
        )
    for verdict in verdicts.verdicts:
        console.print(
            f"{verdict.rule_id} version {verdict.version} -> {verdict.to}: {verdict.reason}", soft_wrap=True
        )
    for change in verdicts.changed:
        console.print(
            f"{change.rule_id} is {change.to} now"
            if change.problem is None
            else f"{change.rule_id}: {change.problem}"
        )
    for id_ in verdicts.requested:
        console.print(f"  qflow approvals show {str(id_)[:18]}")


def mine(
    repo: Annotated[str, typer.Argument(metavar="REPO", help="Name of a registered repository.")],
    as_: As = None,
    json: JsonFlag = False,
) -> None:
    """Mine a repository's history for repeated changes; the best become draft rules to approve."""
    engine = ready_engine()
    worker = worker_name(as_)
    with console.status(f"mining the history of {repo}") as status:
        mined = rule_evolution.mine(
            engine,
            repo,
            worker=worker,
            progress=lambda stage, done, total: status.update(
                f"{stage} {done:,} of {total:,}" if total else stage
            ),
        )
    rows = [
        {
            "rule": draft.rule_id,
            "version": draft.version,
            "approval": str(approval)[:18],
            "why": draft.reason,
        }
        for draft, approval in mined
    ]
    if json:
        print_json(rows)
        return
    print_rows(rows, empty="No new change is repeated often enough for a rule.")


def promote(id_: RuleId, reason: Reason, version: Version = None, as_: As = None) -> None:
    """Request that a draft goes on trial, or that a version on trial becomes active."""
    with ready_engine().begin() as connection:
        lifecycle = _lifecycle(connection, id_, version, ("draft", "trial"))
        to = {"draft": "trial", "trial": "active"}[lifecycle.status]
        verdict = Verdict(lifecycle.id, id_, lifecycle.version, to, f"{actor_name(as_)}: {reason}", {})
        approvals = rule_changes.propose(connection, [verdict])
    if not approvals:
        raise QflowError(
            f"version {lifecycle.version} of {id_} has a pending approval already: {lifecycle.approval_id}"
        )
    console.print(f"requested: qflow approvals show {str(approvals[0])[:18]}")


def retire(id_: RuleId, reason: Reason, version: Version = None, as_: As = None) -> None:
    """Retire a rule: it finds nothing from now on, and can return only as a new version."""
    actor = actor_name(as_)
    with ready_engine().begin() as connection:
        rules = [
            rule
            for rule in rule_set.current(connection)
            if rule.id == id_ and version in (None, rule.version)
        ]
        if len(rules) > 1:
            raise UsageError(f"{id_} has the versions {_numbers(rules)}: pass --version")
        if rules:
            lifecycle_id = rule_set.lifecycle_of(connection, rules[0], actor=actor)
        else:
            lifecycle_id = _lifecycle(connection, id_, version, ("draft",)).id
        rule_set.change(connection, lifecycle_id, "retired", actor=actor, reason=reason)
    console.print("retired")


def veto(id_: RuleId, reason: Reason, as_: As = None) -> None:
    """Veto a rule: deny its pending approvals, and retire versions on trial."""
    with ready_engine().begin() as connection:
        changes = rule_changes.veto(connection, id_, actor=actor_name(as_), reason=reason)
    for change in changes:
        console.print(change)


def thresholds_(
    revert: Annotated[int | None, typer.Option("--revert", help="Revert the change of this number.")] = None,
    reason: Annotated[str | None, typer.Option("--reason", help="The reason; needed with --revert.")] = None,
    as_: As = None,
    json: JsonFlag = False,
    limit: Limit = 20,
) -> None:
    """Show the confidence thresholds for asking, acting and publishing, and their changes; or revert a change."""
    with ready_engine().begin() as connection:
        if revert is not None:
            if not reason:
                raise UsageError("--revert needs --reason, which is recorded with the change")
            value = thresholds.revert(connection, revert, actor=actor_name(as_), reason=reason)
            console.print(f"it is {value:.2f} again")
            return
        now = thresholds.current(connection)
        changes = thresholds.changes(connection, limit=limit)
    if json:
        print_json({"thresholds": now, "changes": changes})
        return
    rows = [
        {
            "threshold": name,
            "value": value,
            "lowest": thresholds.bounds(name)[0],
            "highest": thresholds.bounds(name)[1],
        }
        for name, value in now.items()
    ]
    print_rows(rows, empty="")
    console.print()
    names = ("id", "at", "name", "previous", "value", "actor", "reason")
    print_rows(
        [{name: row[name] for name in names} for row in changes], empty="No threshold was changed yet."
    )


def publish(
    store: Store,
    rules: Annotated[list[str] | None, typer.Argument(metavar="[RULE]...", help="Only these.")] = None,
    examples: Annotated[
        bool,
        typer.Option(
            "--examples", help="Include the examples of mined rules, which are code of your repositories."
        ),
    ] = False,
    json: JsonFlag = False,
    limit: Limit = 10,
) -> None:
    """Publish sufficiently trusted rules, signed and with their evidence, for other instances."""
    report = exchange.publish(
        ready_engine(), store, rules=rules or (), limit=limit, include_examples=examples
    )
    if json:
        names = ("published", "skipped", "failed")
        print_json({name: [result._asdict() for result in getattr(report, name)] for name in names})
        return
    for result in report.published:
        console.print(f"published {result.subject}: {result.message}", soft_wrap=True)
    for result in report.failed:
        console.print(f"not published {result.subject}: {result.message}", soft_wrap=True)
    console.print(
        f"{len(report.published)} published, {len(report.skipped)} not yet, {len(report.failed)} failed"
    )
    console.print(
        f"other instances trust it by QFLOW_EVOLUTION_TRUSTED or --trust {identity().instance.key}",
        soft_wrap=True,
    )


def import_(
    store: Store,
    trust: Annotated[
        list[str] | None, typer.Option("--trust", help="Also trust this public key for this import.")
    ] = None,
    as_: As = None,
    json: JsonFlag = False,
) -> None:
    """Import rules and votes of other instances: on trial, only shown until the instances agree."""
    received = exchange.import_rules(ready_engine(), store, trust=trust or (), actor=actor_name(as_))
    report = received.report
    if json:
        print_json(
            {
                "imported": [result.rule.id for result in report.imported],
                "on_trial": received.started,
                "known": report.known,
                "refused": [result._asdict() for result in report.refused],
                "votes": report.votes._asdict(),
                "not_cast": received.not_cast,
                "consensus": [
                    {"rule": result.rule_id, "state": result.state, "reason": result.reason}
                    for result in received.consensus_changes
                ],
            }
        )
        return
    for result in report.imported:
        console.print(f"imported {result.rule.id} version {result.rule.version} from {result.instance.label}")
    for result in report.refused:
        console.print("refused", style="red", end=" ")
        console.print(f"{result.name}: {result.reason}", soft_wrap=True)
    for result in received.consensus_changes:
        console.print(f"{result.rule_id} is {result.state}: {result.reason}", soft_wrap=True)
    console.print(
        f"{len(report.imported)} imported, {report.known} known, {report.own} our own, {len(report.refused)} refused; "
        f"{len(report.votes.counted)} votes"
    )


def distrust(
    instance: Annotated[
        str, typer.Argument(metavar="FINGERPRINT", help="Fingerprint of 16 digits, as import prints it.")
    ],
    as_: As = None,
) -> None:
    """Withdraw the trust given by --trust: packages and votes of the instance no longer count."""
    with ready_engine().begin() as connection:
        ended = imports.distrust(connection, instance, actor=actor_name(as_))
    console.print(f"{ended} packages and votes of {instance} no longer count; its rules are only shown")


def add_to(app: typer.Typer) -> None:
    """Make the commands part of `qflow rules`."""
    for command in (evolve, mine, promote, retire, veto, publish, distrust):
        app.command()(command)
    app.command("thresholds")(thresholds_)
    app.command("import")(import_)


def _lifecycle(connection: Connection, id_: str, version: int | None, states: tuple[str, ...]) -> Row[Any]:
    lifecycles = [
        lifecycle
        for lifecycle in rule_set.lifecycles(connection, rule=id_, states=states)
        if version in (None, lifecycle.version)
    ]
    if not lifecycles:
        rule_ids = {rule.id for rule in load_rules()}
        problem = (
            "no draft and nothing on trial" if states != ("draft",) else "no version in force, and no draft"
        )
        hint = "" if id_ in rule_ids else "; see qflow rules list"
        raise UsageError(f"{id_} has {problem}{hint}")
    if len(lifecycles) > 1:
        raise UsageError(f"{id_} has the versions {_numbers(lifecycles)}: pass --version")
    return lifecycles[0]


def _numbers(versions: Sequence[Row[Any] | Rule]) -> str:
    return ", ".join(str(number) for number in sorted(version.version for version in versions))
