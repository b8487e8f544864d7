"""A question about a name that several things have, answered for each of them; `path:name` selects one.

Belongs here: which definitions a name means, and answers joined. Does not belong here: the answers themselves
(`answers`), callers, which are distinguished by resolving calls (`callers`).
"""

from collections.abc import Callable

from qflow_dagster.knowledge import callers, lookups
from qflow_dagster.knowledge.declarations import TYPES
from qflow_dagster.knowledge.evidence import MAX_ROWS, Evidence, QuestionContext, UnansweredError, listed
from qflow_dagster.knowledge.lookups import SymbolLocation

Answering = Callable[[QuestionContext], tuple[str, list[Evidence]]]

# Of more definitions than this, only the locations are named.
MAX_ANSWERED = 3
# Kinds whose answer is of one definition. `used`, `calls`, `tests` and `defined` name all definitions themselves.
SINGLE = frozenset(
    {
        *("affected", "bases", "coupled", "dependencies", "describe", "history", "hotspot", "introduced"),
        *("members", "owner", "placement", "purpose", "raises", "relation", "rules", "similar"),
        "subclasses",
    }
)
# Only types have these.
_OF_TYPES = frozenset({"bases", "members", "subclasses"})
# These are of two subjects, or of the place of one.
_OF_PAIRS = frozenset({"placement", "relation"})


def answer(context: QuestionContext, kind: str, answering: Answering) -> tuple[str, list[Evidence]]:
    """Answer a question for each definition that its subject may mean; those of tests and copies are only named.

    Raises:
        UnansweredError: Of no definition there is an answer.
    """
    meant, others = definitions(context, kind) if kind in SINGLE and not context.meant else ([], [])
    if not meant:
        return answering(context)
    answered = 1 if kind in _OF_PAIRS else MAX_ANSWERED
    unanswered = [*meant[answered:], *others]
    if kind == "relation":
        second, more = definitions(context._replace(subject=context.other), kind)
        unanswered += [*second[1:], *more]
    also = [f"{parts[0].path}:{parts[0].name}" for parts in unanswered]
    note = f". Also defined, and not answered for here: {listed(also)}" if also else ""
    named = [
        context.at(part.path, part.line, part.signature)
        for part in context.declared([p[0] for p in unanswered])
    ]
    if len(meant[:answered]) == 1:
        sentence, evidence = answering(context._replace(meant=tuple(meant[0])))
        return sentence + note, [*evidence, *named[:MAX_ROWS]]
    sentences, evidence, failures = [], [], []
    for parts in meant[:answered]:
        subject = f"{parts[0].path}:{parts[0].name}"
        try:
            sentence, found = answering(context._replace(subject=subject, meant=tuple(parts)))
        except UnansweredError as error:
            sentence, found = str(error), []
            failures.append(error)
        sentences.append(sentence.rstrip("."))
        evidence += found
    if len(failures) == len(sentences):
        raise failures[0]
    least = "at least " if sum(map(len, [*meant, *others])) >= lookups.MAX_ROWS else ""
    return (
        f"{least}{len(meant)} definitions have the name {context.subject}: {'. '.join(sentences)}{note}",
        [*evidence, *named[:MAX_ROWS]],
    )


def definitions(
    context: QuestionContext, kind: str
) -> tuple[list[list[SymbolLocation]], list[list[SymbolLocation]]]:
    """Return the definitions that the subject means, and others of its name: of tests, generated or vendored.

    Each is a list of its parts: overloads, the parts of a type and its constructors are one definition. A subject that
    is a file has none.
    """
    if context.file():
        return [], []
    symbols = lookups.symbols(context.connection, context.snapshot, context.subject)
    if kind in _OF_TYPES:
        symbols = [symbol for symbol in symbols if symbol.kind in TYPES] or symbols
    # Of a module and its stub, the module answers.
    groups = [
        [part for part in parts if part.path.endswith(".pyi") == parts[0].path.endswith(".pyi")]
        for parts in callers.apart(symbols)
    ]
    own = lookups.code_paths(context.connection, context.snapshot, [symbol.path for symbol in symbols])
    meant = [parts for parts in groups if parts[0].path in own and not any(own[parts[0].path][:2])]
    others = [parts for parts in groups if parts not in meant]
    return (meant, others) if meant else (others, [])
