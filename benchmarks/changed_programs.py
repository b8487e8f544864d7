"""Small programs (`programs/*.yaml`), run before and after each offered change: `benchmarks.changes --programs`.

Belongs here: the repository made of the programs, running them, and the table. Does not belong here: the loop that
offers changes (`changes`).
"""

import re
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import yaml
from rich.table import Table

FOLDER = Path(__file__).with_name("programs")
_TSC = (
    f"{sys.prefix}/node/bin/tsc --strict --target es2022 --module commonjs --moduleDetection force --allowJs"
    " --jsx react --jsxFactory h --outDir compiled"
)
# Where the program called NAME is, and how it is run in the folder of the repository: alone, to be ended in time.
_PLACES = {
    "python": ("python/{}.py", f"exec {sys.executable} -W ignore {{path}}"),
    "javascript": ("javascript/{}.js", "exec node --no-warnings {path}"),
    "typescript": ("typescript/{}", f"{_TSC} {{path}} && exec node compiled/{{stem}}.js"),
    "go": ("go/{}/main.go", "go run {path}"),
    "rust": ("rust/{}.rs", "rustc --edition 2021 --cap-lints allow -o program {path} && exec ./program"),
    "java": ("java/{}.java", "exec java {path}"),
}
_PYPROJECT = '[project]\nname = "programs"\nversion = "1"\nrequires-python = ">=3.10"\n'
_PACKAGE = '{"name": "programs", "version": "1.0.0", "private": true, "engines": {"node": ">=20"}}\n'
SECONDS = 120


class Program(NamedTuple):
    """A program: its path, the rule that it is aimed at, and whether a change by that rule is right.

    `after`: what the program prints after a right change that repairs a bug; None: the same as before.
    """

    path: str
    command: str
    rule: str
    right: bool
    after: str | None
    code: str


class Judged(NamedTuple):
    """What a change by a rule did to a program: `same`, `meant` or `changed`, and both outputs."""

    rule: str
    program: Program
    verdict: str
    before: str
    now: str


def read(pattern: str = "") -> list[Program]:
    """Return the programs whose path or rule has a match of a regular expression in it."""
    programs = []
    for language, (place, command) in _PLACES.items():
        for entry in yaml.safe_load((FOLDER / f"{language}.yaml").read_text()):
            path = place.format(entry["name"])
            run = command.format(path=path, stem=Path(path).stem)
            programs.append(
                Program(path, run, entry["rule"], entry["right"], entry.get("after"), entry["code"])
            )
    return [program for program in programs if re.search(pattern, f"{program.path} {program.rule}")]


def write(programs: Iterable[Program], folder: Path) -> None:
    """Write a git repository of the programs."""
    texts = {program.path: program.code for program in programs}
    for path, text in {**texts, "pyproject.toml": _PYPROJECT, "package.json": _PACKAGE}.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    author = ["-c", "user.name=benchmark", "-c", "user.email=benchmark@example.com"]
    for command in (["init", "-q"], ["add", "."], [*author, "commit", "-q", "-m", "Programs"]):
        subprocess.run(["git", *command], cwd=folder, check=True)


def judge(
    repository: Path, programs: Iterable[Program], patches: Mapping[str, tuple[str, str]]
) -> list[Judged]:
    """Run the programs that each change touches, before and after it."""
    by_path = {program.path: program for program in programs}
    before: dict[str, str] = {}
    judged = []
    for rule, patch in patches.values():
        touched = [line[6:].strip() for line in patch.splitlines() if line.startswith("+++ b/")]
        with tempfile.TemporaryDirectory(prefix="qflow-program-") as name:
            folder = Path(name)
            subprocess.run(["git", "clone", "-q", str(repository), name], check=True)
            todo = [by_path[path] for path in touched]
            for program in todo:
                if program.path not in before:
                    before[program.path] = output(program, folder)
            subprocess.run(["git", "apply"], cwd=folder, input=patch, text=True, check=True)
            for program in todo:
                now, was = output(program, folder), before[program.path]
                meant = program.after if rule == program.rule else None
                verdict = "meant" if now == meant else "same" if now == was and meant is None else "changed"
                judged.append(Judged(rule, program, verdict, was, now))
    return judged


def output(program: Program, folder: Path) -> str:
    """Return what a program prints, and how it ends if not well."""
    try:
        ran = subprocess.run(
            ["sh", "-c", program.command],
            cwd=folder,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return "does not end\n"
    return ran.stdout + (f"exit {ran.returncode}\n" if ran.returncode else "")


def table(programs: Iterable[Program], judged: Iterable[Judged]) -> Table:
    """Return the table by rule: programs, those with an offered change, and what running these showed."""
    judged = list(judged)
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    offered = {(result.rule, result.program.path) for result in judged}
    for program in programs:
        kind = "right" if program.right else "wrong"
        counts[program.rule][kind] += 1
        counts[program.rule][f"{kind} offered"] += (program.rule, program.path) in offered
    for result in judged:
        counts[result.rule][result.verdict] += 1
    columns = ("right", "right offered", "wrong", "wrong offered", "same", "meant", "changed")
    shown = Table(title="Programs run before and after what is offered")
    for column in ("rule", *columns):
        shown.add_column(column, justify="left" if column == "rule" else "right")
    for rule, count in sorted(counts.items()):
        shown.add_row(rule, *(str(count[column]) for column in columns))
    total = sum(counts.values(), Counter())
    shown.add_row("all", *(str(total[column]) for column in columns))
    return shown


def differences(judged: Iterable[Judged]) -> str:
    """Return each change of behaviour, and each change that is offered where it is wrong, as text."""
    lines = []
    for result in judged:
        wrong = result.rule == result.program.rule and not result.program.right
        if wrong or result.verdict == "changed":
            lines.append(
                f"{result.rule} {result.program.path}{' (wrong)' if wrong else ''}: {result.verdict}\n"
                f"  before: {result.before!r}\n  after: {result.now!r}\n  meant: {result.program.after!r}"
            )
    return "\n".join(lines)
