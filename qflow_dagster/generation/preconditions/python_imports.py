"""Preconditions of Python about imports that are removed: their effect, and who else uses their names."""

import re
import sys

from ast_grep_py import SgNode

from qflow_dagster.evolution import matchers
from qflow_dagster.evolution.analysis.nodes import named_children, of_kinds, span_of
from qflow_dagster.evolution.matchers import Match
from qflow_dagster.generation.preconditions.file import File, Precondition
from qflow_dagster.generation.preconditions.python_syntax import (
    in_try,
    names_in,
    node_of,
)

# Modules whose import does something that is seen without using a name of theirs.
_WITH_EFFECT = {
    "this",
    "antigravity",
    "readline",
    "rlcompleter",
    "site",
    "sitecustomize",
    "faulthandler",
    "test",
}
_REEXPORTING = re.compile(r"(^|/)(__init__|conftest|_?compat\w*|_?py[23]\w*|six)\.py$")


def name_not_read(file: File, match: Match, argument: None) -> str | None:
    """Check that nothing reads what a __future__ import binds."""
    statement = node_of(file, match, "future_import_statement")
    if statement is None:
        return "the import was not understood"
    own = {span_of(identifier) for identifier in of_kinds(statement, ("identifier",))}
    names = names_in(statement)
    for identifier in of_kinds(file.root, ("identifier",)):
        if identifier.text() in names and span_of(identifier) not in own:
            return f"`{identifier.text()}` is read as a name"
    return imported_elsewhere(file, names)


def imported_elsewhere(file: File, names: set[str]) -> str | None:
    """Return why other files may use one of these names of the file."""
    imported, missing = file.surroundings.imported_names, file.surroundings.missing_file
    if missing:
        return f"{missing} is missing from the repository, and may use a name of this file"
    if imported is None:
        return "which of its names other files import is not known"
    used = sorted(names & imported)
    return f"another file uses `{used[0]}` of this one" if used else None


def passes_names_on(path: str) -> bool:
    """Return whether a file is there for others to import its names, by its own name."""
    return _REEXPORTING.search(path) is not None


def import_without_effect(file: File, match: Match, argument: None) -> str | None:
    """Check that the import of what a removal takes away has no effect, and that nothing else uses its names."""
    if passes_names_on(file.path):
        return "a file of this name is there to pass names on"
    removed, modules = _removed_imports(file, match)
    if not removed:
        return "the import was not understood"
    if in_try(file.node(match)):
        return "within a try, an import asks whether the module is there"
    for module in modules:
        top = module.split(".")[0]
        if top not in sys.stdlib_module_names or top in _WITH_EFFECT or module.startswith("."):
            return f"importing {module} may have an effect of its own"
        if "." in module and f"{module}." in file.text.replace(f"import {module}", ""):
            return f"importing {module} makes it an attribute of {top}"
    if {"eval", "exec", "globals", "locals", "vars", "__getattr__"} & names_in(file.root):
        return "names of this file may be read by their text"
    for name in removed:
        if re.search(rf">>>.*\b{re.escape(name)}\b", file.text) or re.search(
            rf"#\s*type:.*\b{re.escape(name)}\b", file.text
        ):
            return f"`{name}` is used in an example of a docstring, or in a type comment"
    return imported_elsewhere(file, removed)


def _removed_imports(file: File, match: Match) -> tuple[set[str], set[str]]:
    """Return the names and modules that are imported before the edits of a match, and no more after them."""
    after = matchers.apply_edits(file.text, match.edits or [])
    before_names, before_modules = _imported(file.root)
    source = matchers.Source(after, file.path)
    after_names, after_modules = _imported(source.root("python"))
    return set(before_names - after_names), {module for _, module in before_modules - after_modules}


def _imported(root: SgNode) -> tuple[set[str], set[tuple[str, str]]]:
    names: set[str] = set()
    pairs: set[tuple[str, str]] = set()
    for statement in of_kinds(
        root,
        (
            "import_statement",
            "import_from_statement",
        ),
    ):
        module = statement.field("module_name")
        for item in named_children(statement):
            if module is not None and span_of(item) == span_of(module):
                continue
            alias = item.field("alias")
            path = (named_children(item)[0] if item.kind() == "aliased_import" else item).text()
            bound = alias.text() if alias is not None else (path if module else path.split(".")[0])
            names.add(bound)
            pairs.add((bound, module.text() if module is not None else path))
    return names, pairs


PRECONDITIONS = {
    "name-not-read": Precondition("nothing reads what the import binds", name_not_read),
    "import-without-effect": Precondition(
        "the import has no effect, and nothing else uses it", import_without_effect
    ),
}
