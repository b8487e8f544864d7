"""The titles of tests that are no functions with a name: `it("bakes", () => ...)`, `test "bakes" do`.

Belongs here: which of them a line is in. Does not belong here: which lines of tests are of what (`coverage_answers`).
"""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from qflow_dagster.knowledge import code_trees
from qflow_dagster.knowledge.code_trees import text_of
from qflow_dagster.knowledge.evidence import QuestionContext

if TYPE_CHECKING:
    from tree_sitter import Node

_TITLED = re.compile(
    r"(?:it|test|describe|context|specify|scenario)(?:\.\w{1,20}){0,3}\s?\(?\s{0,80}"
    r"(?P<quote>[\"'`])(?P<title>(?:(?!(?P=quote)).){1,200})(?P=quote)"
)


def titles(context: QuestionContext, places: Sequence[tuple[str, int]]) -> dict[tuple[str, int], str]:
    """Return the title of the innermost test around each place (path, line) that is in one with a title."""
    found = {}
    for path, content in context.texts(sorted({path for path, _ in places})).items():
        code = code_trees.read(path, content.encode(), plain=True)
        lines = content.splitlines()
        for line in {line for other, line in places if other == path and line <= len(lines)} if code else ():
            column = len(lines[line - 1]) - len(lines[line - 1].lstrip())
            start = line - 1, len(lines[line - 1][:column].encode())
            if code and (title := _title(code.tree.root_node.descendant_for_point_range(start, start))):
                found[path, line] = title
    return found


def _title(node: "Node | None") -> str:
    """Return the title of the innermost call around a node that makes a test; '' if there is none."""
    while node is not None:
        titled = _TITLED.match(text_of(node)[:400]) if "call" in node.type else None
        if titled:
            return titled["title"]
        node = node.parent
    return ""
