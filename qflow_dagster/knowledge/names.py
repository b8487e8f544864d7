"""Exact names: a name in a question must be that of something, so that the answer is of what was asked.

People write names in other cases, and name members with a type that inherits them. Does not belong here: looking names
up (`lookups`).
"""

import re
from collections.abc import Collection, Sequence

from sqlalchemy import Connection, text

from qflow_dagster.ingestion.queries import IN_SNAPSHOT, Snapshot
from qflow_dagster.knowledge import git_facts, graph, lookups, syntax_errors, type_fields
from qflow_dagster.knowledge.declarations import TYPES, Declarations, Definition, arity
from qflow_dagster.knowledge.evidence import QuestionContext, UnansweredError, listed, parts_of
from qflow_dagster.knowledge.inheritance import Inheritance
from qflow_dagster.knowledge.lookups import SymbolLocation
from qflow_dagster.knowledge.mentions import at, mentions
from qflow_dagster.knowledge.question_names import is_path

_QUALIFIED = re.compile(r"[^:]+:[a-z]+")
_PARAMETERS = re.compile(r"([^<>]+)<(.*)>")


def existing(connection: Connection, snapshot: Snapshot, words: Collection[str]) -> dict[str, set[str]]:
    """Return those of some words that name something in the snapshot, and its kinds; `where:word` only as said.

    `where` is a file or a type, the word what is declared in it.
    """
    pairs = [(word, *word.split(":")) for word in words if _QUALIFIED.fullmatch(word)]
    found = lookups.existing(connection, snapshot, set(words) - {word for word, *_ in pairs})
    if not pairs:
        return found
    query = text(f"""
        SELECT DISTINCT p.word, s.kind
        FROM unnest(CAST(:words AS text[]), CAST(:places AS text[]), CAST(:names AS text[])) p(word, place, name)
        JOIN symbols s ON s.name = p.name JOIN files f ON f.blob_id = s.blob_id
        WHERE {IN_SNAPSHOT} AND s.seq > 0 AND NOT f.vendored AND NOT f.generated
          AND (right('/' || f.path, length(p.place) + 1) = '/' || p.place OR right(
                '.' || replace(s.qualified_name, '::', '.'), length(p.place) + length(p.name) + 2
              ) = '.' || p.place || '.' || p.name)
    """)
    whole, places, short = zip(*pairs, strict=True)
    parameters = {"words": list(whole), "places": list(places), "names": list(short)}
    for row in connection.execute(query, {**snapshot.interval, **parameters}):
        found.setdefault(row.word, set()).add(row.kind)
    return found


def exactly(context: QuestionContext) -> QuestionContext:
    """Return the question on what its name means: a member that a type inherits; say if only a similar name exists.

    Raises:
        UnansweredError: The name is one of a member that its type does not have.
    """
    subject = context.subject
    if not subject or context.file():
        return context
    symbols = lookups.symbols(context.connection, context.snapshot, subject)
    if not symbols:
        context = _without_parameters(context._replace(subject=_without_sigil(context)))
        return _of_variable(context) or context
    path, _, asked = subject.rpartition(":")
    asked = asked if is_path(path) else subject
    short = lookups.short_name(_dotted(asked))
    other_case = all(lookups.short_name(symbol.name) != short for symbol in symbols)
    owner = lookups.short_name(_dotted(asked).removesuffix(short).rstrip(".:"))
    of_owner = any(owner in _parts(symbol.name.removesuffix(short)) for symbol in symbols)
    if owner and (other_case or not of_owner) and (fields := type_fields.of_subject(context)):
        if all(owner not in parts_of(field.name)[:-1] for field in fields):
            context.limit(
                f"{owner} has no {short} of its own; this is of {fields[0].name}, which it inherits"
            )
        return context._replace(subject=_dotted(asked), meant=tuple(fields))
    if other_case:
        context.limit(
            f"no function, type or file has the name {short}; this is of {symbols[0].name} ({symbols[0].path})"
        )
        return context._replace(subject=lookups.short_name(symbols[0].name))
    outside = syntax_errors.outside_of_types(context, short) if owner else []
    if paths := list(dict.fromkeys(symbol.path for symbol in outside)):
        context.limit(
            f"these have errors of syntax, and a {short} that may be one of {owner}, too: {listed(paths)}"
        )
    if not owner or of_owner:
        return context
    declarations = Declarations(context.connection, context.snapshot)
    if any(owner in parts_of(space)[-1:] for s in symbols for space in declarations.namespaces(s.path)):
        return context
    types = [s for s in lookups.symbols(context.connection, context.snapshot, owner) if s.kind in TYPES]
    if not types:
        if all(owner not in symbol.path for symbol in symbols):
            context.limit(f"what {owner} is, is not known; this is of what has the name {short}")
        return context
    inherited = next((found for declared in types if (found := _inherited(context, declared, short))), None)
    if inherited is None:
        if unknown := _in_files_with_errors(context, types, outside, short):
            return unknown
        raise UnansweredError(
            f"{owner} ({types[0].path}:{types[0].line}) defines no {short}, nor does a type of the repository that it "
            f"inherits from; {symbols[0].name} is in {symbols[0].path}:{symbols[0].line}"
        )
    context.limit(f"{owner} has no {short} of its own; this is of {inherited.name}, which it inherits")
    return context._replace(subject=f"{inherited.path}:{inherited.name}")


def _in_files_with_errors(
    context: QuestionContext, types: Sequence[SymbolLocation], outside: Sequence[SymbolLocation], short: str
) -> QuestionContext | None:
    """Return the question on what stands after a type where its file has errors of syntax; None if it has none.

    `outside` is what has the name in no type, in such files.

    Raises:
        UnansweredError: It has errors, but nothing after the type has the name.
    """
    owner = types[0]
    if not (paths := syntax_errors.of_paths(context, {declared.path for declared in types})):
        return None
    for symbol in outside:
        if any(symbol.path == declared.path and symbol.line > declared.line for declared in types):
            place = f"{symbol.path}:{symbol.line}"
            context.limit(f"this is of {short} ({place}), which seems to be of {owner.name}")
            return context._replace(subject=f"{symbol.path}:{symbol.name}")
    lines = [row for row in syntax_errors.declaring(context, short) if row.path in paths]
    declared = f"; {listed(at(lines))} may declare it" if lines else ""
    raise UnansweredError(
        f"whether {owner.name} ({owner.path}:{owner.line}) has a {short} is not known: "
        f"{listed(paths)} was read with errors of syntax{declared}"
    )


def _of_variable(context: QuestionContext) -> QuestionContext | None:
    """Return a question about "ctx.throw" as one about throw, if code has a variable ctx that is no module; else None.

    Its type is not known.
    """
    owner, _, short = _dotted(context.subject).rpartition(".")
    if not re.fullmatch(r"[a-z_]\w*", owner) or not short:
        return None
    symbols = lookups.symbols(context.connection, context.snapshot, short)
    if all(lookups.short_name(symbol.name) != short for symbol in symbols):
        return None
    if not mentions(context, owner).declarations or graph.importing(*context[:2], owner):
        return None
    context.limit(f"what {owner} is, is not known; this is of what has the name {short}")
    return context._replace(subject=short)


def _without_parameters(context: QuestionContext) -> QuestionContext:
    """Return a question about `A<T>` as one about A; in C# the one with as many parameters is meant."""
    match = _PARAMETERS.fullmatch(context.subject)
    symbols = lookups.symbols(context.connection, context.snapshot, match[1]) if match else []
    if not match or not symbols:
        return context
    meant = [symbol for symbol in symbols if arity(symbol) == match[2].count(",") + 1]
    return context._replace(subject=match[1], meant=tuple(meant))


def _without_sigil(context: QuestionContext) -> str:
    """Return the subject without what Ruby and PHP write before the names of attributes and variables."""
    if context.subject.startswith("@") and "/" in context.subject:
        return context.subject  # A package of npm.
    bare = re.sub(r"(^|[.:#>])(?:@@?|\$)(?=\w)", r"\1", context.subject)
    if "$" in context.subject:
        # In JavaScript it is part of a name.
        lines = git_facts.lines_with(context.objects(), context.snapshot.commit_oid, context.short_name)
        return bare if all(line.path.endswith(".php") for line in lines) else context.subject
    return bare


def _dotted(name: str) -> str:
    return re.sub(r"#|->|\\", ".", name)


def _parts(name: str) -> list[str]:
    return name.replace("::", ".").split(".")


def _inherited(context: QuestionContext, declared: SymbolLocation, short: str) -> Definition | None:
    """Return the member that a type inherits from the nearest type; None if there is none."""
    scopes = Inheritance(context.connection, context.snapshot)
    place = scopes.declarations.at(declared.path, declared.line)
    found = scopes.scopes.members([place], short) if place else []
    return found[0] if found else None
