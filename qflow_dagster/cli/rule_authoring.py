"""The commands of `qflow rules` for writing a pack: `new` writes a first rule, `try` shows what a pack finds.

Does not belong here: testing rules against their examples, and reading rules (`cli.rules`).
"""

from pathlib import Path
from typing import Annotated, get_args

import typer

from qflow_dagster.cli.output import JsonFlag, Limit, check_choice, console, print_json, write_file
from qflow_dagster.errors import UsageError
from qflow_dagster.evolution import matchers
from qflow_dagster.evolution.rules import Category, Severity, read_pack
from qflow_dagster.ingestion import git

_CATEGORIES, _SEVERITIES = get_args(Category), get_args(Severity)
_TEMPLATE = """\
# Rules of {pack}. Check them: qflow rules test {file}. See what they find: qflow rules try {file} REPOSITORY
pack: {pack}
owner: team:{pack}
rules:
  - id: {id}
    title: The old call  # what is wrong, in a few words; shown with each finding
    rationale: Why it matters, and what to do instead.
    language: {language}  # {languages}; or a list; or any
    category: {category}  # {categories}
    severity: {severity}  # {severities}
    matcher:  # one of ast-grep, ruff, metric
      ast-grep: {{rule: {{pattern: old_call($A)}}}}  # $A is one expression, $$$A any number; $_A is not used by the fix
    fix: new_call($A)  # leave it out if only a person can fix it
    safety: checked  # safe: syntax alone shows that behaviour stays; checked: gates decide; judgement: on request only
    confidence: 0.8  # the share of its changes that you expect people to accept, 0 to 1
    source: https://example.com/  # where the rule comes from
    examples:  # the rule finds bad and not good; its fix turns the one into the other
      - bad: "{bad}"
        good: "{good}"
"""


def new(
    file: Annotated[Path, typer.Argument(metavar="PACK.yaml", help="The file to write.")],
    id_: Annotated[
        str | None,
        typer.Option("--id", help="Id of the rule; default: the name of the file and /first-rule."),
    ] = None,
    language: Annotated[
        str, typer.Option(autocompletion=lambda: [*matchers.LANGUAGES, "any"], help="A language of rules.")
    ] = "python",
    category: Annotated[
        str, typer.Option(autocompletion=lambda: list(_CATEGORIES), help="A category; TAB completes it.")
    ] = "correctness",
    severity: Annotated[
        str, typer.Option(autocompletion=lambda: list(_SEVERITIES), help="A severity; TAB completes it.")
    ] = "warning",
) -> None:
    """Write a pack with one rule in which every field is explained, for you to edit."""
    check_choice("language", language, (*matchers.LANGUAGES, "any"))
    check_choice("category", category, _CATEGORIES)
    check_choice("severity", severity, _SEVERITIES)
    if file.exists():
        raise UsageError(f"{file} exists already; add the rule to its list, or give another name")
    pack = "".join(c if c.isascii() and c.isalnum() else "-" for c in file.stem.lower()).strip("-") or "own"
    end = {"python": "\\n", "any": "\\n"}.get(language, ";\\n")
    content = _TEMPLATE.format(
        pack=pack,
        file=file,
        # The first part of an id has no hyphen.
        id=id_ or f"{pack.replace('-', '')}/first-rule",
        language=language if language != "any" else "python",
        languages=", ".join(matchers.LANGUAGES),
        category=category,
        categories=", ".join(_CATEGORIES),
        severity=severity,
        severities=", ".join(_SEVERITIES),
        bad=f"old_call(1){end}",
        good=f"new_call(1){end}",
    )
    write_file(file, content)
    try:
        read_pack(file)
    except UsageError:
        file.unlink()
        raise
    console.print(f"wrote {file}; edit it, then qflow rules test {file}", soft_wrap=True)


def try_(
    file: Annotated[Path, typer.Argument(metavar="PACK.yaml", help="A pack of rules.")],
    path: Annotated[
        Path,
        typer.Argument(metavar="PATH", help="A git repository, or a folder or file in one; HEAD is read."),
    ],
    rev: Annotated[str, typer.Option(help="Another revision.")] = "HEAD",
    limit: Limit = 30,
    json: JsonFlag = False,
) -> None:
    """Show what the rules of a pack find in a repository, and change; nothing is stored."""
    from qflow_dagster.generation.rule_trial import try_rules

    rules = read_pack(file)
    objects = git.find_repository(path.resolve())
    commit = git.resolve(objects, rev).oid
    results = sorted(try_rules(objects, commit, rules, path.resolve().relative_to(objects).as_posix()))
    if json:
        print_json([result._asdict() for result in results])
        return
    for rule in rules:
        if rule.matcher.metric is not None:
            console.print(f"not tried: {rule.id} is of measures, which qflow run computes", soft_wrap=True)
    for result in results:
        if result.problem:
            console.print(f"not tried: {result.path}: {result.problem}", soft_wrap=True)
    found = [result for result in results if result.matches]
    for result in found[:limit]:
        for line, message in result.matches:
            console.print(f"{result.path}:{line}: {result.rule}: {message}", soft_wrap=True)
        if result.diff:
            console.print(result.diff, style="dim", soft_wrap=True)
    if len(found) > limit:
        console.print(f"({len(found) - limit} more files; --limit shows more)")
    matches = sum(len(result.matches) for result in found)
    changed = sum(bool(result.diff) for result in found)
    console.print(f"{matches} matches in {len({r.path for r in found})} files, {changed} would be changed")


def add_to(app: typer.Typer) -> None:
    """Add the commands to `qflow rules`."""
    app.command("new")(new)
    app.command("try")(try_)
