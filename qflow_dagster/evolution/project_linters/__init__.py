"""Rules that the repository's own linters switch off, and rules of style, which are on only where a linter has them on.

Rules about what a newer Python has are off where the project of a file supports Python 2.

Belongs here: which rules are off for which file of a snapshot, and why. Each linter is read by a module of its
own: `ruff` (and flake8), `pylint`, `eslint`, `clippy`, `golangci`. All of it is read, nothing of it runs. Does not
belong here: comments that suppress a rule on a line (`suppressions`), running a linter on a change (the gate
`project_linter`).
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import Connection, text

from qflow_dagster.errors import QflowError
from qflow_dagster.evolution.project_linters import clippy, eslint, golangci, pylint, ruff
from qflow_dagster.evolution.project_linters.protocol import MAX_CHARACTERS, Files, ProjectLinter
from qflow_dagster.evolution.python_targets import PythonTargets
from qflow_dagster.evolution.rules import Rule
from qflow_dagster.ingestion import trees
from qflow_dagster.ingestion.queries import IN_SNAPSHOT, Snapshot
from qflow_dagster.settings import settings

# Files in which linters are configured, by name, in any folder.
NAMES = (
    *(
        "pyproject.toml",
        "ruff.toml",
        ".ruff.toml",
        "setup.cfg",
        "tox.ini",
        ".flake8",
        "pylintrc",
        ".pylintrc",
    ),
    *("package.json", ".eslintignore", *eslint.NAMES, *eslint.CODE),
    *("Cargo.toml", "clippy.toml", ".clippy.toml", "lib.rs", "main.rs", *golangci.NAMES),
)
# Configuration files that are read; those nearest to the root come first.
MAX_FILES = 2_000
STYLE = "style, which no linter of the repository has on"
PYTHON_2 = "its project supports Python 2"


class SwitchedOff(NamedTuple):
    """Matches that are no findings: the reason by rule version and path, how many they are, what was not read."""

    reasons: Mapping[tuple[int, str], str]
    # By rule and reason: matches, files.
    matches: Mapping[tuple[str, str], tuple[int, int]]
    notes: Sequence[str]


def switched_off(
    connection: Connection,
    objects: Path,
    snapshot: Snapshot,
    rules: Mapping[int, Rule],
    targets: PythonTargets,
) -> SwitchedOff:
    """Return which matches in a snapshot are no findings; `rules` are the rule versions by their id."""
    query = text(f"""
        SELECT m.rule_version_id AS version, f.path, count(*) AS matches
        FROM files f JOIN blobs b ON b.id = f.blob_id JOIN rule_matches m ON m.blob_id = f.blob_id
        WHERE {IN_SNAPSHOT} AND NOT f.vendored AND NOT f.generated
          AND m.rule_version_id = ANY(:versions)
        GROUP BY 1, 2
    """)
    rows = connection.execute(query, {**snapshot.interval, "versions": list(rules)}).all()
    found = [(rules[row.version], row.path) for row in rows]
    linters, notes = read(_files(connection, objects, snapshot), found)
    reasons: dict[tuple[int, str], str] = {}
    matches: Counter[tuple[str, str]] = Counter()
    files: Counter[tuple[str, str]] = Counter()
    for row in rows:
        rule = rules[row.version]
        older = (
            "python" in rule.language and rule.category == "modernisation" and targets.of(row.path) == "py27"
        )
        reason = PYTHON_2 if older else reason_for(rule, row.path, linters)
        if reason is not None:
            reasons[row.version, row.path] = reason
            matches[rule.id, reason] += row.matches
            files[rule.id, reason] += 1
    return SwitchedOff(reasons, {key: (matches[key], files[key]) for key in sorted(matches)}, notes)


def read(files: Files, found: Iterable[tuple[Rule, str]]) -> tuple[list[ProjectLinter], list[str]]:
    """Return the linters that these files configure, and notes on what was not read.

    `found` are the rules that match, each with the path of a file.
    """
    found = list(found)
    paths = sorted({path for rule, path in found if ruff.codes_of(rule)}) if _speaks_of_ruff(files) else []
    codes = (
        {code for rule, path in found if path in set(paths) for code in ruff.codes_of(rule)}
        if paths
        else set()
    )
    readers: list[Callable[[], ProjectLinter | None]] = [
        lambda: ruff.read_ruff(files, paths, codes) if paths else None,
        lambda: ruff.read_flake8(files, paths, codes) if paths else None,
        lambda: pylint.read_pylint(files),
        lambda: eslint.read_eslint(files),
        lambda: clippy.read_clippy(files),
        lambda: golangci.read_golangci(files),
    ]
    linters: list[ProjectLinter] = []
    notes = []
    for reader in readers:
        try:
            linter = reader()
        except QflowError as error:
            notes.append(str(error))
        else:
            if linter is not None:
                linters.append(linter)
                notes += linter.notes
    notes += [
        f"{path} is code, which is not run"
        for path in sorted(files)
        if path.rpartition("/")[2] in eslint.CODE
    ]
    return linters, notes


def reason_for(rule: Rule, path: str, linters: Sequence[ProjectLinter]) -> str | None:
    """Return why a match of a rule in a file is no finding; None: it is one."""
    if rule.id in settings().rules.enabled:
        return None
    states = {linter.name: linter.state(rule, path) for linter in linters}
    for linter in linters:
        if linter.excludes(path) and _has_name(rule, linter):
            return f"{linter.name} excludes the file"
    if True in states.values():
        return None
    for name, state in states.items():
        if state is False:
            return f"{name} ignores the rule"
    return STYLE if rule.cosmetic else None


def turned_on(
    connection: Connection, objects: Path, snapshot: Snapshot, rule: Rule, paths: Iterable[str]
) -> set[str]:
    """Return for which of these files a linter of the repository has the rule on by choice.

    All messages of pylint are on by default, so that one is on says nothing.
    """
    paths = list(paths)
    linters, _ = read(_files(connection, objects, snapshot), [(rule, path) for path in paths])
    chosen = [linter for linter in linters if linter.name != "pylint"]
    return {path for path in paths if any(linter.state(rule, path) for linter in chosen)}


def _has_name(rule: Rule, linter: ProjectLinter) -> bool:
    if linter.name in ("ruff", "flake8"):
        return bool(ruff.codes_of(rule))
    return bool(rule.peers.get(linter.name))


def _speaks_of_ruff(files: Files) -> bool:
    return any(
        path.rpartition("/")[2] in ("ruff.toml", ".ruff.toml") or "ruff" in content or "[flake8" in content
        for path, content in files.items()
        if path.endswith((".toml", ".cfg", ".ini", ".flake8"))
    )


def _files(connection: Connection, objects: Path, snapshot: Snapshot) -> dict[str, str]:
    """Return the texts of configuration files; files of ruff may extend any other file of TOML."""
    query = text(f"""
        SELECT f.path, f.oid FROM files f
        WHERE {IN_SNAPSHOT} AND f.kind IN ('file', 'executable') AND NOT f.vendored
          AND (regexp_replace(f.path, '^.*/', '') = ANY(:names) OR f.path LIKE '%.toml')
        ORDER BY length(f.path) - length(replace(f.path, '/', '')), f.path LIMIT :limit
    """)
    parameters = {**snapshot.interval, "names": list(NAMES), "limit": MAX_FILES}
    rows = [(row.path, row.oid) for row in connection.execute(query, parameters)]
    return dict(_decoded(trees.read_texts(objects, rows)))


def _decoded(contents: Mapping[str, bytes]) -> Iterator[tuple[str, str]]:
    for path, content in contents.items():
        # More than what a reader accepts is kept by one character, so that it says so.
        yield path, content.decode("utf-8", "replace")[: MAX_CHARACTERS + 1]
