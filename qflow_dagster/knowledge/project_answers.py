"""Answers on the repository as a whole: what to do next, the licence, how to run and to test it.

Belongs here: one function per kind of question, from facts, metrics, manifests and well-known files. Does not belong
here: totals and rankings (`overview_answers`), questions on a file or a name (`answers`, `code_answers`,
`history_answers`).
"""

import json
import re
import tomllib

from qflow_dagster.knowledge import licences, lookups, testing_commands
from qflow_dagster.knowledge.evidence import (
    MAX_ROWS,
    Evidence,
    QuestionContext,
    UnansweredError,
    is_in,
    listed,
)
from qflow_dagster.metrics import queries as metrics


def next_work(context: QuestionContext) -> tuple[str, list[Evidence]]:
    """Name what to do first: the open work items with the highest score, else the hotspots."""
    # Imported here: no other question asks for the plan.
    from qflow_dagster.execution import work_items

    connection, snapshot = context.connection, context.snapshot
    below = context.folder() or context.file() or context.subject
    rows = [
        row
        for row in work_items.find(
            connection, repository_id=snapshot.repository_id, level="feature", state="open", limit=500
        )
        if row["path"] and is_in(row["path"], below)
    ][:MAX_ROWS]
    if rows:
        items = [f"{row['title']} ({row['path']}, score {row['wsjf'] or 0:.1f})" for row in rows]
        return f"by the plan: {listed(items)}", [context.at(row["path"], 1, row["title"]) for row in rows]
    spots = [
        row for row in metrics.hotspots(connection, snapshot.repository_id, 100) if is_in(row["path"], below)
    ]
    if not spots:
        raise UnansweredError("nothing is planned, and no file is a hotspot")
    items = [f"{row['path']}: {row['reason']}" for row in spots[:3]]
    return f"nothing is planned; the hotspots first: {listed(items)}", [
        context.at(row["path"], 1, row["reason"]) for row in spots[:3]
    ]


_PROGRAMS = r"^(?:main\.(?:go|rs|py|c|cc|cpp|kt|swift)|__main__\.py|manage\.py|Program\.cs|Main\.java)$"
_MANIFESTS = r"^(?:pyproject\.toml|Cargo\.toml|package\.json|composer\.json)$"
_LICENCE_FILES = r"^(?:(?:mit|bsd|apache|gpl|isc)[-_])?(?:licen[cs]e|copying|unlicense)(?:[.-][^/]*)?$"
# Manifests that are programs, or XML; those of C# may be in any folder.
_STATING = r"^(?:.*\.gemspec|.*\.csproj|Directory\.Build\.props|pom\.xml)$"


def licence(context: QuestionContext) -> tuple[str, list[Evidence]]:
    """Name the licence, by the text of the licence file, else as it names it; a manifest's, if it is another one."""
    paths = lookups.named(context.connection, context.snapshot, _LICENCE_FILES)
    # Those of the topmost folder: a project may be under several.
    top = [path for path in paths if path.count("/") == paths[0].count("/")]
    found: dict[str, tuple[str, Evidence]] = {}
    for path, content in context.texts(top).items():
        if name := licences.of_text(content):
            found.setdefault(name, (f"{name}, by the text of {path}", context.at(path, 1, content[:200])))
            continue
        named = licences.named_in(content)
        for name, line in named.items():
            words = content.splitlines()[line - 1]
            found.setdefault(name, (f"{name}, which {path} names", context.at(path, line, words)))
        if named:
            context.limit(
                f"{path} is not the text of a licence, and may say more: exceptions, or of which parts"
            )
        else:
            found.setdefault(
                "", (f"of no usual kind, by the text of {path}", context.at(path, 1, content[:200]))
            )
    stated = _stated_licences(context)
    if not found and not stated:
        raise UnansweredError("there is no licence file, and no manifest names a licence")
    if not found:
        said, path, line = stated[0]
        return f"the licence is {said}, as {path} says", [context.at(path, line, f"license: {said}")]
    which = "there are several licences:" if len(found) > 1 else "the licence is"
    sentence = f"{which} {'; '.join(said for said, _ in found.values())}"
    evidence = [row for _, row in found.values()]
    others = [row for row in stated if licences.is_other(row[0], found)]
    if others:
        sentence += f"; but {listed([f'{path}:{line} says {said}' for said, path, line in others])}"
        evidence += [context.at(path, line, f"license: {said}") for said, path, line in others[:MAX_ROWS]]
    return sentence, evidence


def _stated_licences(context: QuestionContext) -> list[tuple[str, str, int]]:
    """Return the licences that the manifests of the project state: (as stated, path, line)."""
    found = []
    for path, (manifest, content) in _manifests(context).items():
        if "/" in path:
            # Examples and tests may be under another one.
            continue
        tables = (
            manifest.get("project"),
            manifest.get("package"),
            (manifest.get("workspace") or {}).get("package") if path == "Cargo.toml" else None,
            (manifest.get("tool") or {}).get("poetry") if path == "pyproject.toml" else None,
            manifest,
        )
        stated = next((t["license"] for t in tables if isinstance(t, dict) and t.get("license")), None)
        if isinstance(stated, dict):
            stated = stated.get("text") or stated.get("type") or stated.get("file")
        if isinstance(stated, list):
            stated = " or ".join(map(str, stated))
        if isinstance(stated, str):
            found.append((stated, path, line_of(content, "license")))
    paths = lookups.named(context.connection, context.snapshot, _STATING)
    for path, content in context.texts(paths).items():
        stated = licences.stated_in(content)
        if stated and ("/" not in path or path.endswith(".csproj")):
            found.append((stated[0], path, stated[1]))
    return found


def running(context: QuestionContext) -> tuple[str, list[Evidence]]:
    """List entry points: what manifests declare, and files that are programs by convention."""
    found: list[tuple[str, int, str]] = []
    for path, (manifest, content) in _manifests(context).items():
        scripts = (manifest.get("project") or {}).get("scripts") if path.endswith("pyproject.toml") else None
        binaries = manifest.get("bin")
        start = (manifest.get("scripts") or {}).get("start") if path.endswith("package.json") else None
        commands: list[tuple[object, object]] = []
        if isinstance(scripts, dict):
            commands += scripts.items()
        if isinstance(binaries, str):
            commands.append((manifest.get("name", ""), binaries))
        if isinstance(binaries, dict):
            commands += binaries.items()
        if isinstance(binaries, list):
            commands += [(binary.get("name"), binary.get("path")) for binary in binaries]
        found += [
            (path, line_of(content, str(target)), f"command {name} = {target}") for name, target in commands
        ]
        if isinstance(start, str):
            found.append((path, line_of(content, "start"), f"npm start: {start}"))
    for path in lookups.named(context.connection, context.snapshot, _PROGRAMS):
        main = lookups.symbols(context.connection, context.snapshot, f"{path}:main")
        found.append((path, main[0].line if main else 1, "a program by its name"))
    if not found:
        raise UnansweredError("no manifest declares a command, and no file is a program by its name")
    return _located("entry points: ", context, found)


def testing(context: QuestionContext) -> tuple[str, list[Evidence]]:
    """List the commands that run the tests: of manifests, Makefiles and the continuous integration."""
    found: list[tuple[str, int, str]] = []
    for path, (manifest, content) in _manifests(context).items():
        if path.endswith("pyproject.toml") and "pytest" in (manifest.get("tool") or {}):
            found.append((path, line_of(content, "pytest"), "pytest is configured"))
    paths = lookups.named(context.connection, context.snapshot, testing_commands.FILES)
    for folder in testing_commands.WORKFLOWS:
        paths += lookups.named(context.connection, context.snapshot, r"\.ya?ml$", folder=folder)
    for path, content in context.texts(paths).items():
        found += [(path, line, said) for line, said in testing_commands.read(path, content)]
    if not found:
        raise UnansweredError("no manifest, Makefile or workflow has a command that runs tests")
    return _located("the tests are run by ", context, found)


def _located(
    beginning: str, context: QuestionContext, found: list[tuple[str, int, str]]
) -> tuple[str, list[Evidence]]:
    """Return a sentence that names what was found (path, line, text), and its evidence."""
    return beginning + listed([f"{said} ({path}:{line})" for path, line, said in found]), [
        context.at(path, line, said) for path, line, said in found[:MAX_ROWS]
    ]


def line_of(content: str, name: str) -> int:
    """Return the first line that has a name as a whole word; 1 if none has it."""
    match = re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", content)
    return content.count("\n", 0, match.start()) + 1 if match else 1


def _manifests(context: QuestionContext) -> dict[str, tuple[dict, str]]:
    """Return the manifests of the top folder and its packages, parsed and as text, nearest to the top first."""
    parsed = {}
    paths = lookups.named(context.connection, context.snapshot, _MANIFESTS)
    for path, content in context.texts(paths).items():
        try:
            parsed[path] = tomllib.loads(content) if path.endswith(".toml") else json.loads(content), content
        except (ValueError, RecursionError):
            continue
    return {path: manifest for path, manifest in parsed.items() if isinstance(manifest[0], dict)}
