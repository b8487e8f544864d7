"""The syntax tree of a file with what its names mean, each part computed on first use."""

import re
from collections.abc import Callable
from functools import cached_property
from typing import Any, TypeVar

from ast_grep_py import SgNode

from qflow_dagster.evolution.analysis import javascript_scopes
from qflow_dagster.evolution.analysis.declared_types import Declarations, declarations_of
from qflow_dagster.evolution.analysis.java_types import Types
from qflow_dagster.evolution.analysis.nodes import span_of

Result = TypeVar("Result")
_OFF = re.compile(r"(?<![\w$])([\w$]++)\s{0,10}:\s{0,10}off\b")


class Tree:
    """A parsed file in one language."""

    def __init__(self, root: SgNode, language: str) -> None:
        self.root, self.language = root, language
        self._computed: dict[Callable[[Tree], Any], Any] = {}

    def once(self, compute: Callable[["Tree"], Result]) -> Result:
        """Return what a function computes of the tree, computed the first time: matches may be many."""
        if compute not in self._computed:
            self._computed[compute] = compute(self)
        return self._computed[compute]

    @cached_property
    def switched_off(self) -> frozenset[str]:
        """In JavaScript and TypeScript, the names of which a comment says that they are not global."""
        comments = [node.text() for node in self.root.find_all(kind="comment")]
        return frozenset(
            name for text in comments if re.match(r"/\*\s*globals?\b", text) for name in _OFF.findall(text)
        )

    @cached_property
    def scopes(self) -> dict[str, list[tuple[int, int]]]:
        """In JavaScript and TypeScript, the spans of the scopes that declare a name, by name."""
        found: dict[str, list[tuple[int, int]]] = {}
        for name, _, scope in javascript_scopes.all_declarations(self.root):
            found.setdefault(name, []).append(span_of(scope))
        return found

    @cached_property
    def written(self) -> frozenset[str]:
        """In JavaScript and TypeScript, the names that are assigned to after their declaration."""
        return frozenset(name for _, names in javascript_scopes.all_writes(self.root) for name in names)

    @cached_property
    def declarations(self) -> Declarations:
        """In Go, Java, Rust and TypeScript, what may state the type of a name, by name."""
        return declarations_of(self.root, self.language)

    @cached_property
    def types(self) -> Types:
        """In Java, the types of expressions."""
        return Types(self.root)
