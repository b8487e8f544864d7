"""The gate `types`: a type checker reports no new error in the changed files and the files that import them.

The checker runs once for what is before, and once for all changes that touch different files. Belongs here: the
verdict; of Python, which files, and what counts as new. Does not belong here: running pyrefly (`type_checker`), the
compiler of TypeScript (`typescript_errors`).
"""

import re
import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from uuid import UUID

from sqlalchemy import text

from qflow_dagster.errors import QflowError
from qflow_dagster.evolution.python_targets import oldest
from qflow_dagster.generation import type_checker
from qflow_dagster.generation.candidates import Candidate
from qflow_dagster.generation.repository_gates import typescript_errors
from qflow_dagster.generation.repository_gates.protocol import Batch, Result, apart, fixes_at, not_applicable
from qflow_dagster.generation.type_checker import TypeProblem
from qflow_dagster.generation.validation import Answer, Gate
from qflow_dagster.ingestion.queries import IN_SNAPSHOT

NAME = "types"
# Files that import one of a candidate's files, checked for it; the gate says how many more there are.
MAX_DEPENDENTS = 50
MAX_NAMED = 3
_DEFINITION = re.compile(r"[ \t]*(?:async[ \t]+def|def|class)[ \t]+(\w+)")
# Path, enclosing definitions, name of the error, message.
Problem = tuple[str, str, str, str]


def check(batch: Batch, candidates: Sequence[Candidate]) -> Mapping[UUID, Result]:
    """Compare what the type checkers report before and after each candidate; see `repository_gates`."""
    results = not_applicable(NAME, candidates, "only Python and TypeScript are checked for types")
    return {**results, **_check_scripts(batch, candidates), **_check_python(batch, candidates)}


def _check_scripts(batch: Batch, candidates: Sequence[Candidate]) -> dict[UUID, Result]:
    started = time.monotonic()
    checked = typescript_errors.check(batch, candidates)
    seconds = (time.monotonic() - started) / max(1, len(checked))
    return {
        candidate.id: _result(candidate, checked[candidate.id].new, checked[candidate.id].answer, seconds)
        for candidate in candidates
        if candidate.id in checked
    }


def _check_python(batch: Batch, candidates: Sequence[Candidate]) -> dict[UUID, Result]:
    started = time.monotonic()
    changed = {candidate.id: _python(candidate) for candidate in candidates}
    chosen = [candidate for candidate in candidates if changed[candidate.id]]
    if not chosen:
        return {}
    importers = _importers(batch, {path for candidate in chosen for path in changed[candidate.id]})
    checked: dict[UUID, set[str]] = {}
    left_out: dict[UUID, int] = {}
    for candidate in chosen:
        paths = changed[candidate.id]
        dependents = sorted({path for own in paths for path in importers.get(own, ())} - paths.keys())
        checked[candidate.id] = {*paths, *dependents[:MAX_DEPENDENTS]}
        left_out[candidate.id] = len(dependents) - len(dependents[:MAX_DEPENDENTS])
    target = oldest(candidate.request.target for candidate in chosen)
    try:
        code = {
            file.request.code_path: file.request.text
            for candidate in chosen
            for file in candidate.files
            if file.request.embedded is not None
        }
        before = _problems(batch, code, set().union(*checked.values()), target)
        new = {
            candidate.id: problems
            for candidate, problems in _new(batch, chosen, changed, checked, before, target)
        }
    except QflowError as error:
        return {c.id: Result(Gate(NAME, "skipped", str(error), 0.0)) for c in chosen}
    seconds = (time.monotonic() - started) / len(chosen)
    results = {}
    for candidate in chosen:
        evidence = f"pyrefly has nothing new to say of {len(checked[candidate.id])} files"
        if left_out[candidate.id]:
            evidence += f"; {left_out[candidate.id]} more files import them and were not checked"
        results[candidate.id] = _result(candidate, new[candidate.id], ("passed", evidence), seconds)
    return results


def _python(candidate: Candidate) -> dict[str, str]:
    """Return the changed Python files with their new texts."""
    return {
        file.request.code_path: file.result.after
        for file in candidate.files
        if file.request.language == "python" and file.request.code_path.endswith((".py", ".pyi"))
    }


def _importers(batch: Batch, paths: Collection[str]) -> dict[str, list[str]]:
    """Return the Python files of the snapshot that import each of these files."""
    query = text(f"""
        SELECT DISTINCT f.target_path AS target, f.source_path AS source FROM dependencies f
        WHERE {IN_SNAPSHOT} AND f.target_path = ANY(:paths) AND f.source_path LIKE '%.py'
    """)
    importers: dict[str, list[str]] = {}
    with batch.engine.connect() as connection:
        for row in connection.execute(query, {**batch.snapshot.interval, "paths": sorted(paths)}):
            importers.setdefault(row.target, []).append(row.source)
    return importers


def _new(
    batch: Batch,
    candidates: Sequence[Candidate],
    changed: Mapping[UUID, Mapping[str, str]],
    checked: Mapping[UUID, Collection[str]],
    before: Counter[Problem],
    target: str,
) -> Iterator[tuple[Candidate, list[TypeProblem]]]:
    """Yield each candidate with the problems that it adds."""
    for together in apart(candidates, changed):
        texts = {path: text for candidate in together for path, text in changed[candidate.id].items()}
        paths = set().union(*(checked[candidate.id] for candidate in together))
        reported = _reported(batch, texts, paths, target)
        for candidate in together:
            new = _added(reported, before, checked[candidate.id], batch, texts)
            if new and len(together) > 1:
                # It may be of another change of the same run.
                own = changed[candidate.id]
                alone = _reported(batch, own, checked[candidate.id], target)
                new = _added(alone, before, checked[candidate.id], batch, own)
            yield candidate, new


def _reported(
    batch: Batch, texts: Mapping[str, str], paths: Collection[str], target: str
) -> list[TypeProblem]:
    with batch.replaced(texts) as folder:
        return type_checker.problems_in(folder, sorted(paths), target)


def _problems(
    batch: Batch, texts: Mapping[str, str], paths: Collection[str], target: str
) -> Counter[Problem]:
    reported = _reported(batch, texts, paths, target)
    return Counter(_key(problem, batch, texts) for problem in reported)


def _added(
    reported: Sequence[TypeProblem],
    before: Counter[Problem],
    paths: Collection[str],
    batch: Batch,
    texts: Mapping[str, str],
) -> list[TypeProblem]:
    """Return the problems in these files that are not among those before, however often."""
    remaining = Counter(before)
    added = []
    for problem in reported:
        key = _key(problem, batch, texts)
        if problem.path in paths and remaining[key] == 0:
            added.append(problem)
        remaining[key] -= 1
    return added


def _key(problem: TypeProblem, batch: Batch, texts: Mapping[str, str]) -> Problem:
    """Identify a problem by its message and the definitions around it, not by its line."""
    content = texts.get(problem.path)
    if content is None:
        content = (batch.folder / problem.path).read_text(encoding="utf-8", errors="replace")
    return problem.path, _symbol(content.splitlines(), problem.line), problem.name, problem.message


def _symbol(lines: Sequence[str], line: int) -> str:
    """Return the names of the classes and functions around a line, by indentation."""
    names: list[str] = []
    inner = len(lines[line - 1]) - len(lines[line - 1].lstrip()) if 0 < line <= len(lines) else 0
    for above in range(min(line, len(lines)) - 1, -1, -1):
        definition = _DEFINITION.match(lines[above])
        indent = len(lines[above]) - len(lines[above].lstrip())
        if definition and (indent < inner or (above == line - 1 and not names)):
            names.append(definition[1])
            inner = indent
        if inner == 0:
            break
    return ".".join(reversed(names))


def _result(candidate: Candidate, new: Sequence[TypeProblem], answer: Answer, seconds: float) -> Result:
    """Return the gate's result: `answer` if there are no new errors."""
    if not new:
        return Result(Gate(NAME, *answer, seconds))
    blamed: dict[tuple[str, int], str] = {}
    for problem in new:
        for file in candidate.files:
            if file.request.code_path == problem.path:
                for fix in fixes_at(file, problem.line):
                    blamed[file.request.path, fix.line] = f"{NAME}: {problem.message}"[:1_000]
    named = "; ".join(f"{problem.path}:{problem.line}: {problem.message}" for problem in new[:MAX_NAMED])
    more = f"; {len(new) - MAX_NAMED} more" if len(new) > MAX_NAMED else ""
    return Result(Gate(NAME, "failed", f"new: {named}{more}"[:2_000], seconds), blamed)
