"""Imports of a Python module that only annotations use, moved under `if TYPE_CHECKING:`: they do not run any more.

A name is moved if nothing evaluates it: every use is an annotation that stays text (`from __future__ import
annotations`, or a local variable), and no decorator or base class of its function or class may evaluate annotations.

Does not belong here: whether the module that is not imported any more is needed (`module_imports`), which imports are
part of a cycle (`import_cycles`).
"""

import ast
import builtins
import re
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import NamedTuple

from qflow_dagster.generation.function_names import FUNCTIONS
from qflow_dagster.generation.python_lines import lines_of

# Decorators that do not look at annotations, or leave their text as it is.
_DECORATORS = {
    "abc": ("abstractmethod",),
    "builtins": ("staticmethod", "classmethod", "property"),
    "contextlib": ("contextmanager", "asynccontextmanager"),
    "dataclasses": ("dataclass",),
    "enum": ("unique",),
    "functools": ("cache", "cached_property", "lru_cache", "total_ordering", "wraps"),
    "typing": ("final", "no_type_check", "overload", "override", "runtime_checkable"),
}
_ACCESSORS = ("setter", "getter", "deleter")
# What reads names by their text, or annotations.
_READING = frozenset(
    {
        *("eval", "exec", "globals", "locals", "vars", "__getattr__", "__annotations__", "get_type_hints"),
        *("get_annotations", "eval_str", "resolve_types", "singledispatch", "singledispatchmethod"),
    }
)
TYPE_CHECKING = "TYPE_CHECKING"


class Name(NamedTuple):
    """A name that an import statement binds, as it is written; `name` is empty for `import module`."""

    level: int
    module: str
    name: str


class Deferral(NamedTuple):
    """A module after imports were moved, and why others were not: (line, reason)."""

    text: str
    moved: tuple[Name, ...]
    refused: tuple[tuple[int, str], ...]


def names_of(statement: ast.Import | ast.ImportFrom) -> Iterator[tuple[Name, str, ast.alias]]:
    """Yield each name of an import statement, the name that it binds, and its node."""
    for alias in statement.names:
        if isinstance(statement, ast.ImportFrom):
            yield Name(statement.level, statement.module or "", alias.name), alias.asname or alias.name, alias
        else:
            yield Name(0, alias.name, ""), alias.asname or alias.name.partition(".")[0], alias


def deferred(
    text: str,
    wanted: Collection[Name],
    local: Collection[Name],
    unused_elsewhere: Callable[[str], str | None],
) -> Deferral:
    """Move those of the wanted names under `if TYPE_CHECKING:` that nothing evaluates.

    `local`: names that come from the repository; `unused_elsewhere` says why another file may use a name of this one.
    """
    module = _Module(ast.parse(text), text, local)
    moved: dict[ast.Import | ast.ImportFrom, list[ast.alias]] = {}
    names: list[Name] = []
    refused: list[tuple[int, str]] = []
    for statement in ast.walk(module.tree):
        if not isinstance(statement, ast.Import | ast.ImportFrom) or module.in_function(statement):
            continue
        for name, bound, alias in names_of(statement):
            if name not in wanted:
                continue
            reason = module.why_not(statement, bound) or unused_elsewhere(bound)
            if reason:
                refused.append((statement.lineno, f"{bound}: {reason}"))
            else:
                moved.setdefault(statement, []).append(alias)
                names.append(name)
    after = _written(module.tree, lines_of(text), moved) if moved else text
    return Deferral(after, tuple(names), tuple(refused))


class _Module:
    """A module: what each of its names is bound by, and where it is used."""

    def __init__(self, tree: ast.Module, text: str, local: Collection[Name]) -> None:
        self.tree, self.text, self.local = tree, text, local
        self.parents = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
        self.head = _head(tree)
        imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
        self.imported = [(name, bound) for node in imports for name, bound, _ in names_of(node)]
        self.lazy = (Name(0, "__future__", "annotations"), "annotations") in self.imported
        self.classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
        words = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        words |= {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        words |= {node.name for node in ast.walk(tree) if isinstance(node, FUNCTIONS)}
        self.reading = sorted(words & _READING)

    def in_function(self, node: ast.AST) -> bool:
        """Return whether a node runs only when a function is called."""
        return any(isinstance(outer, FUNCTIONS) for outer in self.around(node))

    def around(self, node: ast.AST) -> Iterator[ast.AST]:
        """Yield what a node is in, the innermost first."""
        while (outer := self.parents.get(node)) is not None:
            yield outer
            node = outer

    def why_not(self, statement: ast.Import | ast.ImportFrom, bound: str) -> str | None:
        """Return why an import of a name has to run; None: nothing evaluates the name."""
        if statement not in self.head:
            return "it is imported under a condition, or below a definition"
        if self.reading:
            return f"the module uses {self.reading[0]}, which may read names or annotations"
        if bound == "*" or (isinstance(statement, ast.Import) and "." in statement.names[0].name):
            return "what the import binds is not certain"
        lines = self.text.split("\n")[statement.lineno - 1 : statement.end_lineno]
        if "#" in "".join(lines) or ";" in "".join(lines) or "\\" in "".join(lines):
            return "its statement has a comment, or shares its lines"
        if sum(name == bound for _, name in self.imported) > 1 or bound in self._bound_otherwise():
            return "the name is bound more than once"
        if re.search(rf">>>.*\b{re.escape(bound)}\b|__all__[^\]]*[\"']{re.escape(bound)}[\"']", self.text):
            return "it is exported, or used in an example of a docstring"
        uses = [node for node in ast.walk(self.tree) if isinstance(node, ast.Name) and node.id == bound]
        if not uses:
            return "the module does not use it, so others may"
        return next((reason for node in uses if (reason := self._evaluated(node))), None)

    def _bound_otherwise(self) -> set[str]:
        bound: set[str] = set()
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
                bound.add(node.id)
            elif isinstance(node, ast.arg):
                bound.add(node.arg)
            elif isinstance(node, (*FUNCTIONS, ast.ClassDef, ast.ExceptHandler)):
                bound.add(node.name or "")
            elif isinstance(node, ast.Global | ast.Nonlocal):
                bound.update(node.names)
            elif isinstance(node, ast.MatchAs | ast.MatchStar):
                bound.add(node.name or "")
        return bound

    def _evaluated(self, node: ast.Name) -> str | None:
        """Return why a use of a name may be evaluated; None: it is text for ever."""
        inner: ast.AST = node
        for outer in self.around(node):
            if isinstance(outer, ast.AnnAssign) and inner is outer.annotation:
                return (
                    None
                    if self._local_variable(outer)
                    else self._evaluated_by(outer, node.lineno, of_class=True)
                )
            if isinstance(outer, ast.arg) and inner is outer.annotation:
                return self._evaluated_by(outer, node.lineno, of_class=False)
            if isinstance(outer, FUNCTIONS) and inner is outer.returns:
                return self._evaluated_by(inner, node.lineno, of_class=False)
            inner = outer
        return f"line {node.lineno} evaluates it"

    def _local_variable(self, statement: ast.AnnAssign) -> bool:
        scope = next(
            o for o in self.around(statement) if isinstance(o, (*FUNCTIONS, ast.ClassDef, ast.Module))
        )
        return isinstance(scope, FUNCTIONS)

    def _evaluated_by(self, node: ast.AST, line: int, *, of_class: bool) -> str | None:
        """Return who may evaluate an annotation: Python itself, a decorator, or a base class."""
        if not self.lazy:
            return (
                f"annotations such as that of line {line} are evaluated here, without the __future__ import"
            )
        for outer in self.around(node):
            if not isinstance(outer, (*FUNCTIONS, ast.ClassDef)):
                continue
            for decorator in outer.decorator_list:
                if not self._keeps_text(decorator):
                    return f"`@{ast.unparse(decorator)}` of line {decorator.lineno} may evaluate annotations"
            if isinstance(outer, ast.ClassDef) and (base := self._reader(outer, of_class=of_class)):
                return f"{base}, of which `{outer.name}` is made, may evaluate annotations"
        return None

    def _keeps_text(self, decorator: ast.expr) -> bool:
        function = decorator.func if isinstance(decorator, ast.Call) else decorator
        if isinstance(function, ast.Attribute) and function.attr in _ACCESSORS:
            return True
        module, name = self._origin(function)
        return name in _DECORATORS.get("typing" if module == "typing_extensions" else module, ())

    def _reader(self, owner: ast.ClassDef, *, of_class: bool) -> str:
        """Return the base or metaclass of a class that may read its annotations; '' if there is none."""
        for keyword in owner.keywords:
            if self._origin(keyword.value)[0] not in ("abc", "enum", "builtins"):
                return ast.unparse(keyword.value)
        for base in owner.bases:
            value = base.value if isinstance(base, ast.Subscript) else base
            module, name = self._origin(value)
            own = self.classes.get(name) if not module else None
            if own is not None and own is not owner:
                if reader := self._reader(own, of_class=of_class):
                    return reader
            elif module in sys.stdlib_module_names or module == "typing_extensions":
                continue
            elif of_class or not self._of_repository(value):
                return ast.unparse(base)
        return ""

    def _of_repository(self, value: ast.expr) -> bool:
        root = value
        while isinstance(root, ast.Attribute):
            root = root.value
        return isinstance(root, ast.Name) and any(
            name in self.local or name.level for name, bound in self.imported if bound == root.id
        )

    def _origin(self, value: ast.expr) -> tuple[str, str]:
        """Return the module that a name or attribute comes from, and its name there; ('', name): of this module."""
        if isinstance(value, ast.Attribute):
            module, name = self._origin(value.value)
            return ".".join(part for part in (module, name) if part), value.attr
        if not isinstance(value, ast.Name):
            return "", ""
        origins = [name for name, bound in self.imported if bound == value.id]
        if len(origins) == 1 and not origins[0].level:
            return (origins[0].module, origins[0].name) if origins[0].name else ("", origins[0].module)
        return ("builtins" if not origins and hasattr(builtins, value.id) else "", value.id)


class _Edit(NamedTuple):
    """Lines that replace those from `first` to `last`; where `last` is before `first`, they are inserted above it."""

    first: int
    last: int
    lines: list[str]


def _written(
    tree: ast.Module, lines: list[str], moved: Mapping[ast.Import | ast.ImportFrom, list[ast.alias]]
) -> str:
    """Return the module with names moved: out of their statements, into a block for type checkers."""
    block = next((node for node in tree.body if isinstance(node, ast.If) and _is_block(node)), None)
    indent = " " * (block.body[0].col_offset if block is not None else 4)
    statements = [f"{indent}{line}" for s, aliases in moved.items() for line in _statement(s, aliases)]
    edits = [
        _Edit(
            s.lineno, s.end_lineno or 0, _statement(s, [alias for alias in s.names if alias not in aliases])
        )
        for s, aliases in moved.items()
    ]
    if block is not None:
        end = block.body[-1].end_lineno or 0
        edits.append(_Edit(end + 1, end, statements))
    else:
        condition, condition_edits = _condition(tree)
        end = _head(tree)[-1].end_lineno or 0
        # Where the last import moves, the block stands in its place.
        edits += [*condition_edits, _Edit(end + 1, end, ["", f"if {condition}:", *statements])]
    for edit in sorted(edits, reverse=True):
        lines[edit.first - 1 : edit.last] = [f"{line}\n" for line in edit.lines]
    return "".join(lines)


def _is_block(node: ast.If) -> bool:
    return not node.orelse and ast.unparse(node.test).split(".")[-1] == TYPE_CHECKING


def _condition(tree: ast.Module) -> tuple[str, list[_Edit]]:
    """Return how the module writes the condition of a block for type checkers, and what that needs."""
    head = _head(tree)
    for node in head:
        for name, bound, _ in names_of(node):
            if name == Name(0, "typing", TYPE_CHECKING):
                return bound, []
            if name == Name(0, "typing", ""):
                return f"{bound}.{TYPE_CHECKING}", []
    for node in head:
        if isinstance(node, ast.ImportFrom) and (node.module, node.level) == ("typing", 0):
            # Constants come first, as isort has it.
            names = sorted(
                [*node.names, ast.alias(TYPE_CHECKING)], key=lambda a: (not a.name.isupper(), a.name)
            )
            return TYPE_CHECKING, [_Edit(node.lineno, node.end_lineno or 0, _statement(node, names))]
    line = f"from typing import {TYPE_CHECKING}"
    standard = [s for s in head if _top(s) in sys.stdlib_module_names and _top(s) != "__future__"]
    future = [s for s in head if _top(s) == "__future__"]
    if standard or future:
        end = (standard or future)[-1].end_lineno or 0
        return TYPE_CHECKING, [_Edit(end + 1, end, [line] if standard else ["", line])]
    return TYPE_CHECKING, [_Edit(head[0].lineno, head[0].lineno - 1, [line, ""])]


def _head(tree: ast.Module) -> list[ast.Import | ast.ImportFrom]:
    """Return the imports above the first definition."""
    head: list[ast.Import | ast.ImportFrom] = []
    for node in tree.body:
        if isinstance(node, (*FUNCTIONS, ast.ClassDef)):
            break
        if isinstance(node, ast.Import | ast.ImportFrom):
            head.append(node)
    return head


def _top(statement: ast.Import | ast.ImportFrom) -> str:
    """Return the top package of what a statement imports; '' if that is relative."""
    name, _, _ = next(names_of(statement))
    return "" if name.level else name.module.partition(".")[0]


def _statement(statement: ast.Import | ast.ImportFrom, aliases: list[ast.alias]) -> list[str]:
    """Return the lines of an import statement with these names, in the form that it has."""
    names = [alias.name + (f" as {alias.asname}" if alias.asname else "") for alias in aliases]
    if isinstance(statement, ast.Import) or not names:
        return [f"import {', '.join(names)}"] if names else []
    start = f"from {'.' * statement.level}{statement.module or ''} import "
    if statement.lineno == statement.end_lineno or len(names) == 1:
        return [start + ", ".join(names)]
    return [f"{start}(", *[f"    {name}," for name in names], ")"]
