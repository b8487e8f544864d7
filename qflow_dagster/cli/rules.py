"""`qflow rules`: the rules that look for findings, what is believed of them, and what they become."""

from pathlib import Path
from typing import Annotated, get_args

import typer
from sqlalchemy import Connection

from qflow_dagster.cli import rule_evolution
from qflow_dagster.cli.output import (
    JsonFlag,
    Limit,
    check_choice,
    console,
    print_fields,
    print_json,
    print_rows,
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
    category: Annotated[str | None, typer.Option(help="As `correctness` or `security`.")] = None,
    level: Annotated[str | None, typer.Option(help="What it may do: show, ask or act.")] = None,
    fixable: Annotated[bool, typer.Option("--fixable", help="Only those with a fix.")] = False,
    json: JsonFlag = False,
) -> None:
    """List the rules that hold, with what each may do."""
    check_choice("language", language, (*matchers.LANGUAGES, "any"))
    check_choice("category", category, get_args(Category))
    check_choice("level", level, confidence.LEVELS)
    with ready_engine().connect() as connection:
        rules = rule_set.current(connection)
        known = trust.of_rules(connection, rules)
    rows = []
    for rule in rules:
        one = known[rule.digest]
        if (
            language in (None, *rule.language)
            and category in (None, rule.category)
            and level in (None, one.level)
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
                    "level": one.level,
                    "confidence": round(one.mean, 2),
                    "decisions": one.decisions,
                    "title": rule.title,
                }
            )
    print_json(rows) if json else print_rows(rows, empty="No rule.")


@app.command()
def show(id_: RuleId, json: JsonFlag = False) -> None:
    """One rule, why it is there, its examples, and what is believed of each of its versions."""
    with ready_engine().connect() as connection:
        versions = named(connection, id_)
        known = trust.of_rules(connection, rule_set.current(connection))
        counted = {bytes(row["digest"]): row for row in outcomes.counts(connection, [id_])}
    rule = versions[0]
    standing = [
        {
            "version": one.version,
            "status": one.status,
            "level": known[one.digest].level,
            "mean": round(known[one.digest].mean, 3),
            "lower": round(known[one.digest].lower, 3),
            "wilson": round(known[one.digest].wilson, 3),
            "decisions": known[one.digest].decisions,
            "drifted": known[one.digest].drifted,
            "because": known[one.digest].because,
            **{kind: counted.get(one.digest, {}).get(kind, 0) for kind in outcomes.KINDS},
        }
        for one in versions
        if one.digest in known
    ]
    if json:
        print_json({**rule_set.definition_of(rule), "standing": standing})
        return
    shown = rule_set.definition_of(rule)
    shown.pop("examples")
    print_fields({**shown, "language": ", ".join(rule.language)})
    names = ("version", "status", "level", "mean", "lower", "wilson", "decisions", "because")
    console.print()
    print_rows([{name: row[name] for name in names} for row in standing], empty="It does not hold now.")
    for example in rule.examples:
        for name in ("bad", "good"):
            console.print(f"\n{name}", style="bold")
            console.print(str(getattr(example, name)), style="dim")


@app.command()
def history(
    id_: RuleId,
    svg: Annotated[
        Path | None, typer.Option("--svg", help="Write the picture of its confidence and outcomes here.")
    ] = None,
    json: JsonFlag = False,
    limit: Limit = 30,
) -> None:
    """What became of what a rule found and proposed, what was believed of it, and what it became."""
    with ready_engine().connect() as connection:
        named(connection, id_)
        happened = outcomes.history(connection, id_, limit=max(limit, 1_000))
        line = trust.timeline(connection, id_)
        limits = thresholds.current(connection)
        changed = [
            {**event, "version": life.version, "words": life.description}
            for life in rule_set.lifecycles(connection, rule=id_)
            for event in rule_set.events(connection, life.id)
        ]
    if svg is not None:
        svg.write_text(pictures.of_rule(id_, line, happened, limits), encoding="utf-8")
        console.print(f"{svg} is written")
        return
    if json:
        print_json({"outcomes": happened[:limit], "confidence": line, "lives": changed})
        return
    if line:
        bars = "".join(_BARS[min(int(row["mean"] * len(_BARS)), len(_BARS) - 1)] for row in line[-60:])
        last = line[-1]
        console.print(
            f"confidence {bars} {last['mean']:.2f} (lower bound {last['lower']:.2f}), {last['level']}\n"
        )
    names = ("at", "version", "kind", "number", "gate", "actor", "reason", "repository")
    print_rows(
        [{name: row[name] for name in names} for row in happened[:limit]], empty="Nothing is known of it yet."
    )
    if changed:
        console.print()
        names = ("at", "version", "from", "to", "actor", "reason")
        print_rows([{name: row[name] for name in names} for row in changed], empty="")


@app.command("test")
def hold_to_examples(
    names: Annotated[
        list[str] | None, typer.Argument(help="Rules, or pack files; default: every rule of the packs.")
    ] = None,
) -> None:
    """Hold rules to their own examples: the bad is found, the good is not, the fix makes one of the other."""
    from qflow_dagster.generation.codemods import rewrite

    chosen: list[Rule] = []
    for name in names or []:
        chosen += read_pack(Path(name)) if Path(name).is_file() else _of_packs(name)
    chosen = chosen or list(load_rules())
    failed = 0
    for rule in chosen:
        problems = examples.problems(rule, rewrite)
        failed += bool(problems)
        for problem in problems:
            console.print("failed", style="red", end=" ")
            console.print(problem, soft_wrap=True)
    console.print(f"{len(chosen)} rules, {failed} failed")
    if failed:
        raise QflowError(f"{failed} of {len(chosen)} rules do not do what their examples say")


def named(connection: Connection, id_: str) -> list[Rule]:
    """The versions of the rule of that id that hold now, the active one first; else what there ever was of it.

    Raises:
        UsageError: there is none; the message names what is near.
    """
    rules = rule_set.current(connection)
    found = [rule for rule in rules if rule.id == id_]
    if not found:
        ended = rule_set.lifecycles(connection, rule=id_)
        found = [rule_set.RULE.validate_python({**life.definition, "status": life.status}) for life in ended]
    if not found:
        raise UsageError(_unknown(id_, [rule.id for rule in rules]))
    return found


def _of_packs(id_: str) -> list[Rule]:
    rules = load_rules()
    found = [rule for rule in rules if rule.id == id_]
    if not found:
        raise UsageError(_unknown(id_, [rule.id for rule in rules]))
    return found


def _unknown(id_: str, known: list[str]) -> str:
    near = list(dict.fromkeys(name for name in known if id_ in name))[:8]
    hint = f"; near it: {', '.join(near)}" if near else "; see qflow rules list"
    return f"no rule is called {id_!r}{hint}"


rule_evolution.add_to(app)
