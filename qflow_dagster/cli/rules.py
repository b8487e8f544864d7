"""`qflow rules`: the rules that find findings, their trust levels, and their history."""

from pathlib import Path
from typing import Annotated, get_args

import typer
from sqlalchemy import Connection

from qflow_dagster.cli import rule_authoring, rule_evolution
from qflow_dagster.cli.output import (
    JsonFlag,
    Limit,
    check_choice,
    console,
    print_fields,
    print_json,
    print_rows,
    write_file,
)
from qflow_dagster.database import ready_engine
from qflow_dagster.errors import QflowError, UsageError
from qflow_dagster.evolution import confidence, examples, matchers, outcomes, rule_set, thresholds, trust
from qflow_dagster.evolution.rules import Category, Rule, load_rules, read_pack
from qflow_dagster.pictures import confidence as pictures

app = typer.Typer(no_args_is_help=True)
RuleId = Annotated[str, typer.Argument(metavar="RULE", help="Id of a rule (qflow rules list).")]
_BARS = "▁▂▃▄▅▆▇█"


@app.command("list")
def list_(
    language: Annotated[str | None, typer.Option(help="Only for this language.")] = None,
    category: Annotated[str | None, typer.Option(help="Such as `correctness` or `security`.")] = None,
    level: Annotated[
        str | None, typer.Option(help="Only those with this trust level: show, ask or act.")
    ] = None,
    fixable: Annotated[bool, typer.Option("--fixable", help="Only those with a fix.")] = False,
    json: JsonFlag = False,
) -> None:
    """List the rules in force with their trust levels."""
    check_choice("language", language, (*matchers.LANGUAGES, "any"))
    check_choice("category", category, get_args(Category))
    check_choice("level", level, confidence.LEVELS)
    with ready_engine().connect() as connection:
        rules = rule_set.current(connection)
        levels = trust.of_rules(connection, rules)
    rows = []
    for rule in rules:
        rule_trust = levels[rule.digest]
        if (
            language in (None, *rule.language)
            and category in (None, rule.category)
            and level in (None, rule_trust.level)
            and (rule.fix is not None or not fixable)
        ):
            rows.append(
                {
                    "rule": rule.id,
                    "version": rule.version,
                    "severity": rule.severity,
                    "category": rule.category,
                    "engine": rule.matcher.engine.replace("_", "-"),
                    "fix": rule.fix is not None,
                    "status": rule.status,
                    "level": rule_trust.level,
                    "confidence": round(rule_trust.mean, 2),
                    "decisions": rule_trust.decisions,
                    "title": rule.title,
                }
            )
    print_json(rows) if json else print_rows(rows, empty="No rule.")


@app.command()
def show(id_: RuleId, json: JsonFlag = False) -> None:
    """Show one rule, its rationale, its examples, and the trust level of each of its versions."""
    with ready_engine().connect() as connection:
        versions = named(connection, id_)
        levels = trust.of_rules(connection, rule_set.current(connection))
        outcome_counts = {bytes(row["digest"]): row for row in outcomes.counts(connection, [id_])}
    rule = versions[0]
    version_rows = [
        {
            "version": version.version,
            "status": version.status,
            "level": levels[version.digest].level,
            "mean": round(levels[version.digest].mean, 3),
            "lower": round(levels[version.digest].lower, 3),
            "wilson": round(levels[version.digest].wilson, 3),
            "decisions": levels[version.digest].decisions,
            "drifted": levels[version.digest].drifted,
            "because": levels[version.digest].because,
            **{kind: outcome_counts.get(version.digest, {}).get(kind, 0) for kind in outcomes.KINDS},
        }
        for version in versions
        if version.digest in levels
    ]
    if json:
        print_json({**rule_set.definition_of(rule), "trust": version_rows})
        return
    definition = rule_set.definition_of(rule)
    definition.pop("examples")
    print_fields({**definition, "language": ", ".join(rule.language)})
    names = ("version", "status", "level", "mean", "lower", "wilson", "decisions", "because")
    console.print()
    print_rows([{name: row[name] for name in names} for row in version_rows], empty="No version is in force.")
    for example in rule.examples:
        for name in ("bad", "good"):
            console.print(f"\n{name}", style="bold")
            console.print(str(getattr(example, name)), style="dim")


@app.command()
def history(
    id_: RuleId,
    svg: Annotated[
        Path | None,
        typer.Option("--svg", help="Write a picture of its confidence and outcomes to this file."),
    ] = None,
    json: JsonFlag = False,
    limit: Limit = 30,
) -> None:
    """Show the outcomes of a rule's findings and proposals, its confidence over time, and its lifecycle."""
    with ready_engine().connect() as connection:
        named(connection, id_)
        outcome_rows = outcomes.history(connection, id_, limit=max(limit, 1_000))
        confidence_rows = trust.timeline(connection, id_)
        limits = thresholds.current(connection)
        lifecycle_events = [
            {**event, "version": lifecycle.version, "words": lifecycle.description}
            for lifecycle in rule_set.lifecycles(connection, rule=id_)
            for event in rule_set.events(connection, lifecycle.id)
        ]
    if svg is not None:
        write_file(svg, pictures.of_rule(id_, confidence_rows, outcome_rows, limits))
        console.print(f"wrote {svg}")
        return
    if json:
        print_json(
            {"outcomes": outcome_rows[:limit], "confidence": confidence_rows, "lives": lifecycle_events}
        )
        return
    if confidence_rows:
        bars = "".join(
            _BARS[min(int(row["mean"] * len(_BARS)), len(_BARS) - 1)] for row in confidence_rows[-60:]
        )
        last = confidence_rows[-1]
        console.print(
            f"confidence {bars} {last['mean']:.2f} (lower bound {last['lower']:.2f}), {last['level']}\n"
        )
    names = ("at", "version", "kind", "number", "gate", "actor", "reason", "repository")
    print_rows([{name: row[name] for name in names} for row in outcome_rows[:limit]], empty="No outcome yet.")
    if lifecycle_events:
        console.print()
        names = ("at", "version", "from", "to", "actor", "reason")
        print_rows([{name: row[name] for name in names} for row in lifecycle_events], empty="")


@app.command("test")
def hold_to_examples(
    names: Annotated[
        list[str] | None, typer.Argument(help="Rules, or pack files; default: every rule of the packs.")
    ] = None,
) -> None:
    """Test rules on their own examples: they match the bad code, not the good, and the fix turns one into the other."""
    from qflow_dagster.generation.fixed_text import fix_text

    rules: list[Rule] = []
    for name in names or []:
        rules += read_pack(Path(name)) if Path(name).is_file() else _of_packs(name)
    rules = rules or list(load_rules())
    failed = 0
    for rule in rules:
        problems = examples.problems(rule, fix_text)
        failed += bool(problems)
        for problem in problems:
            console.print("failed", style="red", end=" ")
            console.print(problem, soft_wrap=True)
        for name in rule.unused_variables:
            console.print("warning", style="yellow", end=" ")
            bare = name.lstrip("$")
            meant = f"{name[: -len(bare)]}_{bare}"
            console.print(
                f"{rule.id}: the pattern binds {name} and nothing uses it; write {meant} if that is meant",
                soft_wrap=True,
            )
    console.print(f"{len(rules)} rules, {failed} failed")
    if failed:
        raise QflowError(f"{failed} of {len(rules)} rules contradict their examples")


def named(connection: Connection, id_: str) -> list[Rule]:
    """Return the versions of a rule that are in force, the active one first; else all versions there have been.

    Raises:
        UsageError: unknown rule; the message lists similar ids.
    """
    rules = rule_set.current(connection)
    versions = [rule for rule in rules if rule.id == id_]
    if not versions:
        ended = rule_set.lifecycles(connection, rule=id_)
        versions = [
            rule_set.RULE.validate_python({**lifecycle.definition, "status": lifecycle.status})
            for lifecycle in ended
        ]
    if not versions:
        raise UsageError(_unknown(id_, [rule.id for rule in rules]))
    return versions


def _of_packs(id_: str) -> list[Rule]:
    rules = load_rules()
    versions = [rule for rule in rules if rule.id == id_]
    if not versions:
        raise UsageError(_unknown(id_, [rule.id for rule in rules]))
    return versions


def _unknown(id_: str, ids: list[str]) -> str:
    similar = list(dict.fromkeys(name for name in ids if id_ in name))[:8]
    hint = f"; similar: {', '.join(similar)}" if similar else "; see qflow rules list"
    return f"unknown rule {id_!r}{hint}"


rule_authoring.add_to(app)
rule_evolution.add_to(app)
