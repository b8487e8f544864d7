"""Running ruff on decoded files and converting what it reports to matches.

The rules of other engines are in `matchers`. Imported by worker processes: no database here.
"""

import json
import re
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from ruff.__main__ import find_ruff_bin  # type: ignore[import-untyped]

from qflow_dagster.errors import QflowError
from qflow_dagster.evolution.embedded import notebooks
from qflow_dagster.evolution.matchers import Edit, Match, Source, satisfies_where
from qflow_dagster.evolution.rules import Rule

# Seconds.
TIMEOUT = 120


def find_with_ruff(
    sources: Sequence[Source], rules: Sequence[Rule | None], target: str
) -> Iterator[tuple[int, Match]]:
    """Yield (position in `sources`, match) for everything ruff finds in Python files.

    `target` is the Python version as ruff names it, such as ``py39``.

    Raises:
        QflowError: Ruff could not be run.
    """
    # A rule and its variants share a code.
    by_code: dict[str, list[tuple[int, Rule]]] = {}
    for number, rule in enumerate(rules):
        if rule and rule.matcher.ruff:
            by_code.setdefault(rule.matcher.ruff, []).append((number, rule))
    if not by_code or not sources:
        return
    with tempfile.TemporaryDirectory(prefix="qflow-ruff-") as folder:
        names = {}
        for number, source in enumerate(sources):
            # A folder for each file: ruff sees the file's name (__init__.py, test_x.py), not its folders.
            path = Path(folder, str(number), name_for_ruff(source.path))
            path.parent.mkdir()
            text, before = as_ruff_reads(source.path, source.text)
            path.write_text(text, encoding="utf-8", newline="")
            names[str(path.resolve())] = number, before
        for finding in _run_ruff(folder, sorted(by_code), target):
            position, before = names.get(str(Path(finding["filename"]).resolve()), (None, []))
            if position is None or finding["code"] not in by_code:
                # A file ruff cannot parse is reported as a syntax error, which ingestion records.
                continue
            source = sources[position]
            lines_before = before[finding["cell"] - 1] if before else 0
            start = _offset(source, finding["location"], lines_before)
            end = _offset(source, finding["end_location"], lines_before)
            if _is_intended(source, finding["code"], start, end):
                continue
            for number, rule in by_code[finding["code"]]:
                if satisfies_where(rule, source, "python", start, end):
                    edits = _ruff_edits(source, rule, finding["fix"], lines_before)
                    yield position, source.match(number, rule, start, end, finding["message"], edits)


def as_ruff_reads(path: str, text: str) -> tuple[str, list[int]]:
    """Return the text to give to ruff, and how many lines of the code are before each cell if it is of a notebook."""
    return notebooks.as_notebook(text) if path.endswith(notebooks.ENDING) else (text, [])


def name_for_ruff(path: str) -> str:
    """Return the name of a file for ruff, which reads some of it; no name that a pattern of paths would leave out."""
    name = re.sub(r"[^A-Za-z0-9_.-]", "_", path.rsplit("/", 1)[-1])
    if name.endswith((".py", ".pyi", notebooks.ENDING)) and not name.startswith("."):
        return name
    return f"file{notebooks.ENDING}" if name.endswith(notebooks.ENDING) else "file.py"


def ruff_command(*arguments: str) -> list[str]:
    """Return a command that runs ruff without any configuration file."""
    return [str(find_ruff_bin()), "check", "--isolated", "--no-cache", "--exit-zero", *arguments]


def ruff_target(target: str) -> str:
    """Return the version to name to ruff: it knows no Python 2."""
    return "py37" if target.startswith("py2") else target


def run_ruff(arguments: list[str], folder: str | Path, stdin: bytes = b"") -> bytes:
    """Run a ruff command in `folder` on `stdin` and return what it prints.

    Raises:
        QflowError: Ruff failed, or exceeded `TIMEOUT`.
    """
    try:
        process = subprocess.run(
            arguments, cwd=folder, input=stdin, capture_output=True, timeout=TIMEOUT, env={}, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise QflowError(f"ruff could not be run: {error}") from None
    if process.returncode:
        raise QflowError(f"ruff failed: {process.stderr.decode(errors='replace').strip()[:500]}")
    return process.stdout


def _run_ruff(folder: str, codes: Sequence[str], target: str) -> list[dict]:
    command = ruff_command(
        "--output-format", "json", "--select", ",".join(codes), "--target-version", ruff_target(target), "."
    )
    return json.loads(run_ruff(command, folder))


def _ruff_edits(source: Source, rule: Rule, fix: dict | None, lines_before: int) -> list[Edit] | None:
    allowed = {"ruff": ("safe",), "ruff-unsafe": ("safe", "unsafe")}.get(rule.fix or "", ())
    if fix is None or fix["applicability"] not in allowed:
        return None
    return [
        Edit(
            _offset(source, edit["location"], lines_before),
            _offset(source, edit["end_location"], lines_before),
            edit["content"],
        )
        for edit in fix["edits"]
    ]


def _offset(source: Source, location: dict, lines_before: int) -> int:
    # Ruff does not count a byte order mark as a column.
    mark = location["row"] == 1 and source.text.startswith("\ufeff")
    return source.offset(lines_before + location["row"], location["column"] + mark)


_IMPORT = re.compile(r"^[ \t]*(?:from|import)\b.*", re.MULTILINE)
_TYPE_COMMENT = re.compile(r"#[ \t]*type:[^\n]*")
# With these libraries, comparing with None or True builds an SQL condition.
_SQL_EXPRESSIONS = re.compile(r"\b(sqlalchemy|sqlmodel|peewee|pony)\b")


def _is_intended(source: Source, code: str, start: int, end: int) -> bool:
    """Return whether the code is intended, in a way that ruff does not recognise."""
    if code in ("E711", "E712"):
        return _SQL_EXPRESSIONS.search(source.text) is not None
    if code == "B005":
        # A function of a module that is called so.
        receiver = source.text[start:end].partition(".")[0]
        return (
            re.search(rf"^[ \t]*import\b.*\b{re.escape(receiver)}\s*(?:$|[,#])", source.text, re.MULTILINE)
            is not None
        )
    if code != "F401":
        return False
    line_end = source.text.find("\n", end)
    before = source.text[: line_end if line_end >= 0 else None]
    if "unused-import" in before[start:]:
        return True
    if source.path.rsplit("/", 1)[-1] == "__init__.py":
        # What a package imports from its own modules is its public interface.
        statements = _IMPORT.findall(before)
        if statements and statements[-1].lstrip().startswith("from ."):
            return True
    return _in_type_comment(source.text, source.text[start:end])


def _in_type_comment(text: str, imported: str) -> bool:
    """Return whether a type comment (PEP 484), which ruff does not read, uses what an import binds."""
    if "type:" not in text:
        return False
    bound = imported.split(" as ")[-1].split(".")[0 if imported.startswith("import ") else -1].strip()
    name = re.compile(rf"\b{re.escape(bound)}\b")
    return any(name.search(comment) for comment in _TYPE_COMMENT.findall(text))
