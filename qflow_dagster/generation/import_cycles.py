"""Cycles of imports between Python files, as the text of one of them shows: of imports that run with their file."""

from collections.abc import Iterable

from qflow_dagster.generation.generators.protocol import ImportCycle, ImportedName


def running(text: str) -> set[ImportedName]:
    """Return the names that a Python file imports when it is imported itself."""
    # Imported late: commands that only read need no parsers.
    from qflow_dagster.ingestion.extraction import extract

    return {
        (fact.level, fact.module, name)
        for fact in extract(text.encode(), "Python").imports
        if not fact.deferred
        for name in fact.names or ("",)
    }


def members(path: str, text: str, cycle: ImportCycle) -> set[str]:
    """Return the files of the cycle that a file with this text is in; empty: it is in none."""
    own = {(path, target) for name in running(text) for target in cycle.targets.get(name, ())}
    edges = cycle.edges | own
    found = _reached(path, edges) & _reached(path, ((target, source) for source, target in edges))
    return found if len(found) > 1 else set()


def _reached(start: str, edges: Iterable[tuple[str, str]]) -> set[str]:
    following: dict[str, list[str]] = {}
    for source, target in edges:
        following.setdefault(source, []).append(target)
    reached, left = {start}, [start]
    while left:
        new = [target for target in following.get(left.pop(), ()) if target not in reached]
        reached.update(new)
        left += new
    return reached
