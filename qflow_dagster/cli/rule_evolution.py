"""The commands of `qflow rules` that change rules: evolve, mine, promote, retire, veto, publish, import, distrust.

Belongs here: arguments in, words out. Does not belong here: looking at rules (`cli.rules`).
"""

from collections.abc import Sequence
from typing import Annotated, Any

import typer
from sqlalchemy import Connection, Row

from qflow_dagster.agents import rule_changes, rule_evolution
from qflow_dagster.cli.output import As, JsonFlag, Limit, actor_name, console, print_json, print_rows
from qflow_dagster.database import ready_engine
from qflow_dagster.errors import QflowError, UsageError
from qflow_dagster.evolution import rule_set, thresholds
from qflow_dagster.evolution.rule_evolver import Verdict
from qflow_dagster.evolution.rules import Rule, load_rules
from qflow_dagster.evolution.sharing import exchange, imports
from qflow_dagster.evolution.sharing.instances import identity

RuleId = Annotated[str, typer.Argument(metavar="RULE", help="Id of a rule (qflow rules list).")]
Version = Annotated[
    int | None, typer.Option("--version", help="Which version; needed where there are several.")
]
Place = Annotated[
    str,
    typer.Argument(metavar="PLACE", help="A folder, a git repository or its URL; for import also one file."),
]
Reason = Annotated[str, typer.Option("--reason", help="Why; it goes into the history.")]


def evolve(as_: As = None, json: JsonFlag = False) -> None:
    """Let rules learn from what was decided: confidence, thresholds, variants, verdicts on trials."""
    engine = ready_engine()
    actor = actor_name(as_)
    with console.status("evolving the rules"):
        result = rule_evolution.evolve(engine, worker=f"{actor} by hand")
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
    """Mine a repository's history for what people change again and again; the best becomes drafts to approve."""
    engine = ready_engine()
    actor = actor_name(as_)
    with console.status(f"mining the history of {repo}") as status:
        mined = rule_evolution.mine(
            engine,
            repo,
            worker=f"{actor} by hand",
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
    print_rows(rows, empty="Nothing new is done often enough to be a rule.")


def promote(id_: RuleId, reason: Reason, version: Version = None, as_: As = None) -> None:
    """Ask for a draft to go on trial, or for a version on trial to become active."""
    with ready_engine().begin() as connection:
        life = _life(connection, id_, version, ("draft", "trial"))
        to = {"draft": "trial", "trial": "active"}[life.status]
        verdict = Verdict(life.id, id_, life.version, to, f"{actor_name(as_)}: {reason}", {})
        asked = rule_changes.propose(connection, [verdict])
    if not asked:
        raise QflowError(f"version {life.version} of {id_} waits for an approval already: {life.approval_id}")
    console.print(f"asked: qflow approvals show {str(asked[0])[:18]}")


def retire(id_: RuleId, reason: Reason, version: Version = None, as_: As = None) -> None:
    """End a rule: it finds nothing any more. It can return only as a new version."""
    actor = actor_name(as_)
    with ready_engine().begin() as connection:
        rules = [
            rule
            for rule in rule_set.current(connection)
            if rule.id == id_ and version in (None, rule.version)
        ]
        if len(rules) > 1:
            raise UsageError(f"{id_} has the versions {_numbers(rules)}: say --version")
        if rules:
            life_id = rule_set.lifecycle_of(connection, rules[0], actor=actor)
        else:
            life_id = _life(connection, id_, version, ("draft",)).id
        rule_set.change(connection, life_id, "retired", actor=actor, reason=reason)
    console.print("retired")


def veto(id_: RuleId, reason: Reason, as_: As = None) -> None:
    """Say no to what a rule is about to become: what waits is denied, what is on trial ends."""
    with ready_engine().begin() as connection:
        done = rule_changes.veto(connection, id_, actor=actor_name(as_), reason=reason)
    for words in done:
        console.print(words)


def thresholds_(
    revert: Annotated[
        int | None, typer.Option("--revert", help="Take back the change of this number.")
    ] = None,
    reason: Annotated[str | None, typer.Option("--reason", help="Why, with --revert.")] = None,
    as_: As = None,
    json: JsonFlag = False,
    limit: Limit = 20,
) -> None:
    """From what confidence rules ask, act and are published; how that moved, and taking it back."""
    with ready_engine().begin() as connection:
        if revert is not None:
            if not reason:
                raise UsageError("--revert needs --reason: whoever finds it later wants to know it")
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
    print_rows([{name: row[name] for name in names} for row in changes], empty="None has moved yet.")


def publish(
    place: Place,
    rules: Annotated[list[str] | None, typer.Argument(metavar="[RULE]...", help="Only these.")] = None,
    examples: Annotated[
        bool, typer.Option("--examples", help="With the examples of mined rules: code of your repositories.")
    ] = False,
    json: JsonFlag = False,
    limit: Limit = 10,
) -> None:
    """Publish the rules that are trusted enough, signed, with their evidence, for other instances."""
    report = exchange.publish(
        ready_engine(), place, rules=rules or (), limit=limit, include_examples=examples
    )
    if json:
        names = ("published", "skipped", "failed")
        print_json({name: [one._asdict() for one in getattr(report, name)] for name in names})
        return
    for one in report.published:
        console.print(f"published {one.what}: {one.words}", soft_wrap=True)
    for one in report.failed:
        console.print(f"not published {one.what}: {one.words}", soft_wrap=True)
    console.print(
        f"{len(report.published)} published, {len(report.skipped)} not yet, {len(report.failed)} failed"
    )
    console.print(
        f"others trust it by QFLOW_EVOLUTION_TRUSTED or --trust {identity().instance.key}", soft_wrap=True
    )


def import_(
    place: Place,
    trust: Annotated[
        list[str] | None, typer.Option("--trust", help="Also trust this public key, in this import.")
    ] = None,
    as_: As = None,
    json: JsonFlag = False,
) -> None:
    """Import rules and votes of other instances: on trial, only shown until the instances agree."""
    received = exchange.take_in(ready_engine(), place, trust=trust or (), actor=actor_name(as_))
    report = received.report
    if json:
        print_json(
            {
                "imported": [one.rule.id for one in report.imported],
                "on_trial": received.begun,
                "known": report.known,
                "refused": [one._asdict() for one in report.refused],
                "votes": report.votes._asdict(),
                "not_cast": received.not_cast,
                "consensus": [
                    {"rule": one.rule_id, "state": one.state, "reason": one.reason}
                    for one in received.settled
                ],
            }
        )
        return
    for one in report.imported:
        console.print(f"imported {one.rule.id} version {one.rule.version} from {one.instance.label}")
    for one in report.refused:
        console.print("refused", style="red", end=" ")
        console.print(f"{one.name}: {one.reason}", soft_wrap=True)
    for one in received.settled:
        console.print(f"{one.rule_id} is {one.state}: {one.reason}", soft_wrap=True)
    console.print(
        f"{len(report.imported)} imported, {report.known} known, {report.own} our own, {len(report.refused)} refused; "
        f"{len(report.votes.counted)} votes"
    )


def distrust(
    instance: Annotated[str, typer.Argument(metavar="FINGERPRINT", help="16 digits, as import shows them.")],
    as_: As = None,
) -> None:
    """Withdraw what --trust vouched for: packages and votes of the instance no longer count."""
    with ready_engine().begin() as connection:
        ended = imports.distrust(connection, instance, actor=actor_name(as_))
    console.print(f"{ended} packages and votes of {instance} no longer count; its rules are only shown")


def add_to(app: typer.Typer) -> None:
    """Make the commands part of `qflow rules`."""
    for command in (evolve, mine, promote, retire, veto, publish, distrust):
        app.command()(command)
    app.command("thresholds")(thresholds_)
    app.command("import")(import_)


def _life(connection: Connection, id_: str, version: int | None, states: tuple[str, ...]) -> Row[Any]:
    found = [
        life
        for life in rule_set.lifecycles(connection, rule=id_, states=states)
        if version in (None, life.version)
    ]
    if not found:
        known = {rule.id for rule in load_rules()}
        what = (
            "no draft and nothing on trial" if states != ("draft",) else "no version that holds, and no draft"
        )
        hint = "" if id_ in known else "; see qflow rules list"
        raise UsageError(f"{id_} has {what}{hint}")
    if len(found) > 1:
        raise UsageError(f"{id_} has the versions {_numbers(found)}: say --version")
    return found[0]


def _numbers(versions: Sequence[Row[Any] | Rule]) -> str:
    return ", ".join(str(number) for number in sorted(one.version for one in versions))
