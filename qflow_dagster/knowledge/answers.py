"""Answers to questions about an ingested repository, from facts, each with its evidence.

Belongs here: which function answers each kind of question, and the answers on single files and names. Does not belong
here: understanding questions (`questions`), other answers (the modules `*_answers`), SQL (`lookups`, `index`).
"""

from collections.abc import Callable
from contextlib import suppress
from functools import partial

from sqlalchemy import Connection

from qflow_dagster.errors import QflowError
from qflow_dagster.ingestion.git import GitError
from qflow_dagster.ingestion.queries import Snapshot
from qflow_dagster.knowledge import (
    call_answers,
    callers,
    code_answers,
    configuration_answers,
    coverage_answers,
    dead_code,
    file_answers,
    folder_answers,
    history_answers,
    homonyms,
    inheritance_answers,
    lookups,
    member_answers,
    missing_contents,
    names,
    orientation_answers,
    overview_answers,
    partial_answers,
    project_answers,
    question_names,
    question_places,
    quoted_texts,
    raise_answers,
    relation_answers,
    revision_answers,
    search,
    syntax_errors,
    use_answers,
)
from qflow_dagster.knowledge.declarations import TYPES, arity, titled
from qflow_dagster.knowledge.evidence import (
    MAX_ROWS,
    NOT_KNOWN,
    Answer,
    Evidence,
    QuestionContext,
    UnansweredError,
    listed,
)
from qflow_dagster.knowledge.learned_wordings import Exist
from qflow_dagster.knowledge.mentions import at
from qflow_dagster.knowledge.question_forms import FORMS, form_of, nearest_forms
from qflow_dagster.knowledge.questions import ParsedQuestion, Read, read

# Kinds of questions that the lines with a name answer in part, if it is that of nothing that is known.
_OF_LINES = frozenset(["affected", "tests", "used"])
# What is gone has the name that is asked, whatever has one like it now; `process.env` is no name of code.
_AS_WRITTEN = frozenset(["removed", "configuration"])
# Kinds that need a symbol or file, and what answers them for other names that code declares: the rest where that is.
_OF_DECLARED = {
    "raises": raise_answers.raised,
    "dependents": code_answers.word,
    "describe": code_answers.word,
    "purpose": code_answers.word,
} | dict.fromkeys(
    (
        *("bases", "calls", "coupled", "dependencies", "hotspot"),
        *("members", "placement", "rules", "similar", "subclasses"),
    ),
    code_answers.declared,
)
# What answers for a field whose name something else has.
_OF_FIELDS = {
    kind: answering for kind, answering in _OF_DECLARED.items() if kind != "members"
} | dict.fromkeys(("affected", "dependents", "raises", "tests", "used"), code_answers.word)
# Kinds of questions about one name that may have been removed.
_OF_NAMES = frozenset(
    ["affected", "calls", "defined", "describe", "history", "introduced", "members", "used", "word"]
)


def answer(connection: Connection, snapshot: Snapshot, question: str) -> Answer:
    """Answer a question about the repository's current snapshot, or say that the answer is not known and why.

    A question of no kind that is understood is answered by search results, under that name.
    """
    try:
        found = _answer(connection, snapshot, question)
    except GitError as error:
        reason = f"git cannot read what the answer needs: {error}"
        return Answer(ParsedQuestion(NOT_KNOWN, question), reason, [])
    if found.understood.kind == "search" or not (paths := missing_contents.paths(connection, snapshot)):
        return found
    return _also_limited(
        found, f"the clone lacks the contents of {listed(paths)}, in which nothing can be found"
    )


def _answer(connection: Connection, snapshot: Snapshot, question: str) -> Answer:
    exist = partial(names.existing, connection, snapshot)
    asked = read(question, snapshot.repository, exist)
    context = QuestionContext(connection, snapshot, asked.understood.subject, [])
    if asked.understood.kind in quoted_texts.KINDS:
        said = quoted_texts.answer(context, question, asked.understood, asked.names)
        if said:
            return _limited(said, context)
    if asked.understood.kind == "search":
        return _not_understood(context, asked, exist)
    placed = partial(question_places.placed, connection, snapshot, question)
    found = of(connection, snapshot, placed(asked.understood))
    if asked.further:
        found = _joined(found, of(connection, snapshot, placed(asked.further)))
    return _with_absent(found, context, asked)


def _with_absent(found: Answer, context: QuestionContext, asked: Read) -> Answer:
    """Return the answer, saying which names of the question nothing has: they may be what is asked about."""
    if not asked.understood.learned or found.understood.kind in (NOT_KNOWN, "removed"):
        return found
    absent = [
        name
        for name in asked.names.unknown
        if question_names.is_like_code(name) and not code_answers.has_word(context, name)
    ]
    if not absent:
        return found
    said = f"nothing in {context.snapshot.repository} has the name {listed(absent)}"
    if found.understood.kind == "defined" and any("_" in name for name in absent):
        # "Session has a close_all, where is it?"
        understood = found.understood._replace(kind=NOT_KNOWN)
        return found._replace(understood=understood, words=f"{said}; {found.words}")
    return _also_limited(found, f"{said}, which the question has, too")


def _also_limited(answer: Answer, limit: str) -> Answer:
    """Return an answer with a further limit."""
    words = f"{answer.words.rstrip('.')}. Not certain: {limit}"
    return answer._replace(words=words, limits=(*answer.limits, limit))


def _joined(first: Answer, second: Answer) -> Answer:
    """Return the answers to two questions as one; what is not known is of a kind of its own only if both are."""
    known = first if first.understood.kind != NOT_KNOWN else second
    words = f"{first.words.rstrip('.')}. {second.words}"
    evidence = list(dict.fromkeys([*first.evidence, *second.evidence]))
    return Answer(known.understood, words, evidence, limits=(*first.limits, *second.limits))


def of(connection: Connection, snapshot: Snapshot, understood: ParsedQuestion) -> Answer:
    """Answer a question of a kind that is understood, or say that the answer is not known and why."""
    context = QuestionContext(
        connection, snapshot, understood.subject, [], understood.other, window=understood.window
    )
    try:
        folder = context.folder() if understood.kind in folder_answers.SUBJECTS else None
        if folder:
            sentence, evidence = folder_answers.answer(context, folder, understood.kind)
        else:
            context = context if understood.kind in _AS_WRITTEN else names.exactly(context)
            context = context._replace(within=understood.within)
            answering = KINDS[understood.kind]
            if code_answers.is_value(context):
                answering = _OF_FIELDS.get(understood.kind, answering)
            sentence, evidence = homonyms.answer(context, understood.kind, answering)
    except QflowError as error:
        return _gone(context, understood, error)
    if understood.clause:
        only = f"of the question, only {understood.clause!r} is answered"
        answer = _limited(Answer(understood, f"{only}: {sentence}", evidence), context)
        return answer._replace(limits=(only, *answer.limits))
    if understood.within:
        sentence = f"in {understood.within}: {sentence}"
    if understood.learned:
        sentence = f"read as {form_of(understood)!r}: {sentence}"
    if understood.condition:
        context.limit(f"{understood.condition!r} in the question was not taken into account")
    if rival := understood.rival:
        instead = "a question that facts do not answer" if rival == "search" else f"as in {FORMS[rival]!r}"
        context.limit(f"the question may be meant otherwise, {instead}")
    return _limited(Answer(understood, sentence, evidence), context)


def _gone(context: QuestionContext, understood: ParsedQuestion, error: Exception) -> Answer:
    """Say that an answer is not known; if nothing has the name any more, when it was removed."""
    connection, snapshot = context.connection, context.snapshot
    subject = understood.subject
    known = bool(lookups.existing(connection, snapshot, [subject]))
    named = known or code_answers.has_word(context, subject)
    if understood.kind in _OF_LINES and named and not known:
        try:
            sentence, evidence = code_answers.word(context._replace(subject=context.short_name))
            context.limit(f"{error}; these are the lines that have the word")
            return _limited(Answer(understood, sentence, evidence), context)
        except (UnansweredError, GitError):
            pass
    if understood.kind == "members" and (without := member_answers.without(context)):
        return _limited(Answer(understood, *without), context)
    if understood.kind in _OF_DECLARED and named and not known and code_answers.is_declared(context):
        with suppress(UnansweredError):
            sentence, evidence = _OF_DECLARED[understood.kind](context)
            if understood.kind not in ("raises", "dependents"):
                context.limit(f"{subject} is no function, type or file, of which alone more is known")
            return _limited(Answer(understood, sentence, evidence), context)
    if understood.kind in _OF_NAMES and not named:
        try:
            before = len(context.limits)
            sentence, evidence = revision_answers.removed(context._replace(subject=subject))
            # What only had the last part of the name may be something else.
            kind = "removed" if len(context.limits) == before else NOT_KNOWN
            found = Answer(understood._replace(kind=kind), f"{error}; {sentence}", evidence)
            return _limited(found, context)
        except (UnansweredError, GitError):
            pass
    if not known and (lines := syntax_errors.declaring(context, context.short_name)):
        said = (
            f"{subject} is declared in {listed(at(lines))}, in files with errors of syntax; more is not known"
        )
        return Answer(understood._replace(kind=NOT_KNOWN), said, [])
    near = lookups.near_names(connection, snapshot, understood.subject)
    hint = f"; near it: {listed(near)}" if near else ""
    return Answer(understood._replace(kind=NOT_KNOWN), f"{error}{hint}", [])


def _not_understood(context: QuestionContext, asked: Read, exist: Exist) -> Answer:
    """Answer the part of a question that facts answer, else by search results; say if what it names does not exist."""
    understood, named = asked.understood, asked.names.names
    forms = nearest_forms(named, asked.readings)
    if part := partial_answers.answer(context, understood.subject, KINDS, asked.readings):
        kind, clause, sentences, evidence = part
        sentence = f"of the question, only this is answered: {clause}. {'. '.join(sentences)}"
        return _limited(Answer(understood._replace(kind=kind, clause=clause), sentence, evidence), context)
    reason = "the question is of no kind that is understood"
    like_code = bool(named) and all(map(question_names.is_like_code, named))
    if like_code and not exist(named) and not any(code_answers.has_word(context, name) for name in named):
        near = lookups.near_names(context.connection, context.snapshot, named[0])
        hint = f"; near it: {listed(near)}" if near else ""
        sentence = f"nothing in {context.snapshot.repository} has the name {listed(named)}{hint}"
        return Answer(understood._replace(kind=NOT_KNOWN), sentence, [], forms)
    try:
        sentence, evidence = _search(context)
    except UnansweredError as error:
        return Answer(understood._replace(kind=NOT_KNOWN), f"{reason}, and {error}", [], forms)
    return Answer(understood, f"{reason}. Search results, {sentence}", evidence, forms)


def _limited(answer: Answer, context: QuestionContext) -> Answer:
    """Return the answer with what it may leave out."""
    if not context.limits:
        return answer
    said = f"{answer.words.rstrip('.')}. Not certain: {'; '.join(context.limits)}"
    return answer._replace(words=said, limits=tuple(context.limits))


def _defined(context: QuestionContext) -> tuple[str, list[Evidence]]:
    found = list(context.meant) or lookups.symbols(context.connection, context.snapshot, context.subject)
    symbols = context.declared(found)
    if not symbols:
        paths = lookups.files(context.connection, context.snapshot, context.subject)
        if not paths:
            return code_answers.declared(context)
        return f"the file {listed(paths)}", [context.at(path, 1, path) for path in paths[:MAX_ROWS]]
    first = symbols[0]
    sentence = f"the {first.kind} {titled(first)} is defined in {first.path}, line {first.line}"
    others = [
        where if arity(symbol) == arity(first) else f"{titled(symbol)} ({where})"
        for symbol in symbols[1:]
        for where in [f"{symbol.path}:{symbol.line}"]
    ]
    if len(symbols) == lookups.MAX_ROWS:
        context.limit("there may be further definitions of that name")
    if others:
        sentence += f"; also {listed(others)}"
    prototypes = code_answers.prototypes(context, symbols)
    if prototypes:
        sentence += f"; declared in {listed(at(prototypes))}"
    evidence = [context.at(symbol.path, symbol.line, symbol.signature or symbol.name) for symbol in symbols]
    return sentence, [
        *evidence[:MAX_ROWS],
        *(context.at(row.path, row.line, row.text) for row in prototypes[:MAX_ROWS]),
    ]


def _describe(context: QuestionContext) -> tuple[str, list[Evidence]]:
    if context.file():
        return orientation_answers.purpose(context)
    symbols = context.meant or lookups.symbols(context.connection, context.snapshot, context.subject)
    if not symbols:
        return orientation_answers.purpose(context)
    items = [(symbol, lookups.documented(context.connection, symbol)) for symbol in symbols[:5]]
    # Of several parts, the first documented one.
    best, documented = next((symbol for symbol in items if symbol[1]), items[0])
    (named,) = context.declared([best])
    sentence = f"the {best.kind} {best.name} ({best.path}:{named.line}): {best.signature}"
    sentence += f". {documented[:600]}" if documented else ", not documented"
    evidence = [context.at(best.path, named.line, documented or best.signature)]
    if best.kind in TYPES:
        own = lookups.members(context.connection, context.snapshot, best)
        made = context.declared([m for m in own if callers.is_constructor(m.name)][:MAX_ROWS])
        sentence += "".join(f". It is constructed by {m.signature} ({m.path}:{m.line})" for m in made)
        evidence += [context.at(m.path, m.line, m.signature) for m in made]
    calls = [call.name for call, _ in callers.called(context.connection, context.snapshot, best)]
    sentence += (
        f"{'' if sentence.endswith('.') else '.'} It calls {listed(list(dict.fromkeys(calls)))}."
        if calls
        else ""
    )
    return sentence, evidence


def _search(context: QuestionContext) -> tuple[str, list[Evidence]]:
    """Code and documents are ranked apart: a question on code is answered by code, if at all."""
    connection, snapshot = context.connection, context.snapshot
    words = search.weigh(connection, snapshot, context.subject)
    code = search.search(connection, snapshot, words, limit=MAX_ROWS)
    prose = search.search(connection, snapshot, words, limit=MAX_ROWS // 2, prose=True)
    commits = search.search_commits(connection, snapshot, words)
    if not code and not prose and not commits:
        raise UnansweredError(f"nothing in {snapshot.repository} contains these words")
    parts = []
    if code:
        parts.append(
            "code: " + listed([f"{hit.name or hit.path} ({hit.path}:{hit.line})" for hit in code[:5]])
        )
    if prose:
        parts.append(
            "documents: " + listed([f"{hit.name or hit.path} ({hit.path}:{hit.line})" for hit in prose[:3]])
        )
    if commits:
        parts.append("commits: " + listed([f"{row.oid[:10]} {row.subject}" for row in commits[:3]]))
    evidence = [context.at(hit.path, hit.line, hit.words or hit.name) for hit in [*code, *prose]]
    return "; ".join(parts), [*evidence, *(Evidence(row.oid, None, None, row.subject) for row in commits)]


KINDS: dict[str, Callable[[QuestionContext], tuple[str, list[Evidence]]]] = {
    "defined": _defined,
    "used": use_answers.used,
    "dependents": use_answers.dependents,
    "affected": use_answers.affected,
    "dependencies": file_answers.dependencies,
    "calls": call_answers.calls,
    "subclasses": inheritance_answers.subclasses,
    "bases": inheritance_answers.bases,
    "raised": raise_answers.raised,
    "raises": raise_answers.raises,
    "word": code_answers.word,
    "dead": dead_code.dead,
    "relation": relation_answers.related,
    "placement": orientation_answers.placement,
    "purpose": _describe,
    "removed": revision_answers.removed,
    "between": revision_answers.between,
    "active": revision_answers.active,
    "configuration": configuration_answers.configuration,
    "requirements": configuration_answers.dependencies,
    "next": project_answers.next_work,
    "owner": history_answers.owner,
    "history": history_answers.changed,
    "introduced": history_answers.introduced,
    "coupled": file_answers.coupled,
    "hotspot": file_answers.hotspot,
    "rules": file_answers.rules,
    "similar": file_answers.similar,
    "tests": coverage_answers.covered,
    "members": member_answers.members,
    "describe": _describe,
    "overview": overview_answers.overview,
    "licence": project_answers.licence,
    "running": project_answers.running,
    "testing": project_answers.testing,
}
