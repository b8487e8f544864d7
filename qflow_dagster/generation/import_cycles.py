"""Cycles of imports between Python files, as the text of one of them shows: of imports that run with their file."""

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
    # Imported late: it brings what measures need.
    from qflow_dagster.metrics.files import import_cycles

    own = {(path, target) for name in running(text) for target in cycle.targets.get(name, ())}
    return next((set(files) for files in import_cycles(cycle.edges | own) if path in files), set())
