"""`qflow rules`: the rules that look for findings."""

from pathlib import Path
from typing import Annotated

import typer

from qflow_dagster.cli.output import JsonFlag, console, print_fields, print_json, print_rows
from qflow_dagster.errors import QflowError, UsageError
from qflow_dagster.evolution import examples
from qflow_dagster.evolution.rules import Rule, load_rules, read_pack

app = typer.Typer(no_args_is_help=True)


@app.command("list")
def list_(
    language: Annotated[str | None, typer.Option(help="Only for this language.")] = None,
    category: Annotated[str | None, typer.Option(help="As `correctness` or `security`.")] = None,
    fixable: Annotated[bool, typer.Option("--fixable", help="Only those with a fix.")] = False,
    json: JsonFlag = False,
) -> None:
    """List the rules of all packs."""
    rows = [
        {
            "rule": rule.id, "version": rule.version, "severity": rule.severity, "category": rule.category,
            "engine": rule.matcher.engine.replace("_", "-"), "fix": rule.fix is not None, "status": rule.status,
            "confidence": rule.confidence, "title": rule.title,
        }
        for rule in load_rules()
        if (language is None or language in rule.language)
        and (category is None or category == rule.category)
        and (rule.fix is not None or not fixable)
    ]  # fmt: skip
    print_json(rows) if json else print_rows(rows, empty="No rule.")


@app.command()
def show(id_: Annotated[str, typer.Argument(metavar="RULE")], json: JsonFlag = False) -> None:
    """One rule, why it is there, and its examples."""
    rule = named(id_)
    if json:
        print_json(rule.model_dump(mode="json", by_alias=True, exclude_none=True))
        return
    shown = rule.model_dump(mode="json", by_alias=True, exclude_none=True, exclude={"examples"})
    print_fields({**shown, "language": ", ".join(rule.language)})
    for example in rule.examples:
        for name in ("bad", "good"):
            console.print(f"\n[bold]{name}[/]")
            console.print(str(getattr(example, name)), markup=False, style="dim")


@app.command("test")
def hold_to_examples(
    names: Annotated[
        list[str] | None, typer.Argument(help="Rules, or pack files; default: every rule there is.")
    ] = None,
) -> None:
    """Hold rules to their own examples: the bad is found, the good is not, the fix makes one of the other."""
    from qflow_dagster.generation.codemods import rewrite

    chosen: list[Rule] = []
    for name in names or []:
        chosen += read_pack(Path(name)) if Path(name).is_file() else [named(name)]
    chosen = chosen or list(load_rules())
    failed = 0
    for rule in chosen:
        problems = examples.problems(rule, rewrite)
        failed += bool(problems)
        for problem in problems:
            console.print(f"[red]failed[/] {problem}", soft_wrap=True)
    console.print(f"{len(chosen)} rules, {failed} failed")
    if failed:
        raise QflowError(f"{failed} of {len(chosen)} rules do not do what their examples say")


def named(id_: str) -> Rule:
    """The rule of that id.

    Raises:
        UsageError: there is none; the message names what is near.
    """
    rules = {rule.id: rule for rule in load_rules()}
    if id_ not in rules:
        near = [known for known in rules if id_ in known][:8]
        hint = f"; near it: {', '.join(near)}" if near else "; see qflow rules list"
        raise UsageError(f"no rule is called {id_!r}{hint}")
    return rules[id_]
