"""Where a type, or the nearest that it inherits from, declares a member that is no symbol, or its methods set one.

Belongs here: which declaration a name with its type means. Does not belong here: how languages declare fields
(`fields`), the members of a type (`member_answers`), answers on fields (`code_answers`).
"""

import re
from collections.abc import Sequence

from qflow_dagster.knowledge import callers, git_facts, lookups, member_answers
from qflow_dagster.knowledge.declarations import TYPES
from qflow_dagster.knowledge.evidence import QuestionContext, parts_of
from qflow_dagster.knowledge.fields import fields_of
from qflow_dagster.knowledge.lookups import SymbolLocation
from qflow_dagster.knowledge.mentions import SET, Mentions, mentions

# The kind of what is declared and no symbol.
VALUE = "field"
# What a method sets of its own object.
_OF_SELF = re.compile(r"(?:\b(?:self|this|cls)(?:\.|->)|@)#?\w")


def of_subject(context: QuestionContext) -> list[SymbolLocation]:
    """Return the declarations of the member that the subject names with its type; none if it is no field of one."""
    *scopes, short = parts_of(context.subject.partition("<")[0])
    if not scopes or not scopes[-1] or not short:
        return []
    symbols = lookups.symbols(context.connection, context.snapshot, ".".join(scopes))
    types = [s for s in symbols if s.kind in (*TYPES, "module") and parts_of(s.name)[-1] == scopes[-1]]
    # What is not known of other types of the name makes no difference to what is found.
    apart = context._replace(limits=[])
    groups = callers.apart(types)
    if own := [field for parts in groups for field in _of_parts(apart, parts, short)]:
        return own
    for parts in groups:
        for base in member_answers.above(apart, parts, []):
            if found := _of_parts(apart, [base], short):
                return found
    return []


def _of_parts(context: QuestionContext, parts: Sequence[SymbolLocation], short: str) -> list[SymbolLocation]:
    declared = [
        field for field in fields_of(context, parts) if parts_of(field.name)[-1].lstrip("$@") == short
    ]
    if declared or not parts[0].path.endswith((".py", ".rb", ".js", ".php")):
        return declared
    names = {(part.path, part.name) for part in parts}
    set_by = attributes(context, mentions(context, short))
    return [
        SymbolLocation(row.path, row.line, VALUE, f"{owner}.{short}", row.text, row.line, part.oid)
        for row, owner in set_by.items()
        for part in parts
        if (row.path, owner) in names and part.path == row.path and part.line <= row.line <= part.end_line
    ]


def attributes(context: QuestionContext, found: Mentions) -> dict[git_facts.Line, str]:
    """Return the first line in each type that sets an attribute of a name, in a constructor if one does; with the type.

    Languages without declarations of attributes have them so.
    """
    rows = [row for row in found.uses if found.roles[row.path, row.line] == SET and _OF_SELF.search(row.text)]
    around = lookups.enclosing(context.connection, context.snapshot, [(row.path, row.line) for row in rows])
    first: dict[tuple[str, str], git_facts.Line] = {}
    makes: dict[tuple[str, str], bool] = {}
    for row in rows:
        owner, _, function = around[row.path, row.line].rpartition(".")
        place = row.path, owner
        if owner and (place not in first or (function in callers.CONSTRUCTORS and not makes[place])):
            first[place], makes[place] = row, function in callers.CONSTRUCTORS
    return {row: owner for (_, owner), row in first.items()}
