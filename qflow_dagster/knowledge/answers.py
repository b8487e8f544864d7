"""Answers to questions about an ingested repository, from facts, each with its evidence.

Belongs here: which function answers each kind of question, and the answers on single files and names. Does not belong
here: understanding questions (`questions`), other answers (the modules `*_answers`), SQL (`lookups`, `index`).
"""

from collections.abc import Callable, Sequence
from functools import partial

from sqlalchemy import Connection

from qflow_dagster.ingestion.git import GitError
from qflow_dagster.ingestion.queries import Snapshot
from qflow_dagster.knowledge import (
    callers,
    code_answers,
    code_trees,
    configuration_answers,
    coverage_answers,
    dead_code,
    folder_answers,
    graph,
    history_answers,
    homonyms,
    inheritance_answers,
    learned_wordings,
    likeness,
    lookups,
    member_answers,
    names,
    orientation_answers,
    overview_answers,
    partial_answers,
    project_answers,
    question_names,
    raise_answers,
    relation_answers,
    revision_answers,
    search,
    use_answers,
)
from qflow_dagster.knowledge.declarations import Call
from qflow_dagster.knowledge.evidence import (
    MAX_ROWS,
    NOT_KNOWN,
    Answer,
    Evidence,
    QuestionContext,
    UnansweredError,
    count,
    listed,
)
from qflow_dagster.knowledge.learned_wordings import Exist
from qflow_dagster.knowledge.question_forms import FORMS, form_of, nearest_forms
from qflow_dagster.knowledge.questions import ParsedQuestion, parse
from qflow_dagster.metrics import queries as metrics

# A call that could be of more definitions than this is shown without them.
MAX_PLACES = 2
# Kinds of questions about one name that may have been removed.
_OF_NAMES = frozenset(
    ["affected", "calls", "defined", "describe", "history", "introduced", "members", "used", "word"]
)
# A function may have more calls than an answer lists the lines of.
MAX_CALLS = 40


def answer(connection: Connection, snapshot: Snapshot, question: str) -> Answer:
    """Answer a question about the repository's current snapshot, or say that the answer is not known and why.

    A question of no kind that is understood is answered by search results, under that name.
    """
    exist = partial(lookups.existing, connection, snapshot)
    understood = _placed(connection, snapshot, parse(question, snapshot.repository, exist))
    if understood.kind == "search":
        context = QuestionContext(connection, snapshot, understood.subject, [])
        return _not_understood(context, understood, exist)
    return of(connection, snapshot, understood)


def of(connection: Connection, snapshot: Snapshot, understood: ParsedQuestion) -> Answer:
    """Answer a question of a kind that is understood, or say that the answer is not known and why."""
    context = QuestionContext(connection, snapshot, understood.subject, [], understood.other)
    try:
        folder = context.folder() if understood.kind in folder_answers.SUBJECTS else None
        if folder:
            sentence, evidence = folder_answers.answer(context, folder, understood.kind)
        else:
            # What is gone has the name that is asked, whatever has one like it now.
            context = context if understood.kind == "removed" else names.exactly(context)
            sentence, evidence = homonyms.answer(context, understood.kind, KINDS[understood.kind])
    except (UnansweredError, GitError) as error:
        return _gone(context, understood, error)
    if understood.clause:
        only = f"of the question, only {understood.clause!r} is answered"
        answer = _limited(Answer(understood, f"{only}: {sentence}", evidence), context)
        return answer._replace(limits=(only, *answer.limits))
    if understood.learned:
        sentence = f"read as {form_of(understood)!r}: {sentence}"
    if rival := understood.rival:
        instead = "a question that facts do not answer" if rival == "search" else f"as in {FORMS[rival]!r}"
        context.limit(f"the question may be meant otherwise, {instead}")
    return _limited(Answer(understood, sentence, evidence), context)


def _gone(context: QuestionContext, understood: ParsedQuestion, error: Exception) -> Answer:
    """Say that an answer is not known; if nothing has the name any more, when it was removed."""
    connection, snapshot = context.connection, context.snapshot
    subject = understood.subject
    named = lookups.existing(connection, snapshot, [subject]) or code_answers.has_word(context, subject)
    if understood.kind in _OF_NAMES and not named:
        try:
            sentence, evidence = revision_answers.removed(context._replace(subject=subject))
            return Answer(understood._replace(kind="removed"), f"{error}; {sentence}", evidence)
        except (UnansweredError, GitError):
            pass
    near = lookups.near_names(connection, snapshot, understood.subject)
    hint = f"; near it: {listed(near)}" if near else ""
    return Answer(understood._replace(kind=NOT_KNOWN), f"{error}{hint}", [])


def _placed(connection: Connection, snapshot: Snapshot, understood: ParsedQuestion) -> ParsedQuestion:
    """Return a question with its subject as that of the file or type in which it is to be looked for."""
    for qualified in (f"{understood.place}:{understood.subject}", f"{understood.place}.{understood.subject}"):
        if not understood.place or not understood.subject or understood.kind == "between":
            break
        found = lookups.symbols(connection, snapshot, qualified)
        if found and f".{found[0].name}".endswith(f".{lookups.short_name(understood.subject)}"):
            return understood._replace(subject=qualified)
    return understood


def _not_understood(context: QuestionContext, understood: ParsedQuestion, exist: Exist) -> Answer:
    """Answer the part of a question that facts answer, else by search results; say if what it names does not exist."""
    question = understood.subject
    found, readings = learned_wordings.read(question, exist, context.snapshot.repository)
    forms = nearest_forms(found.names, readings)
    if part := partial_answers.answer(context, question, KINDS, readings):
        kind, clause, sentences, evidence = part
        sentence = f"of the question, only this is answered: {clause}. {'. '.join(sentences)}"
        return _limited(Answer(understood._replace(kind=kind, clause=clause), sentence, evidence), context)
    reason = "the question is of no kind that is understood"
    absent = [name for name in found.names if question_names.is_like_code(name) and not exist([name])]
    if absent and absent == found.names and not any(code_answers.has_word(context, name) for name in absent):
        near = lookups.near_names(context.connection, context.snapshot, absent[0])
        hint = f"; near it: {listed(near)}" if near else ""
        sentence = f"nothing in {context.snapshot.repository} has the name {listed(absent)}{hint}"
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
    symbols = context.declared(lookups.symbols(context.connection, context.snapshot, context.subject))
    if not symbols:
        paths = lookups.files(context.connection, context.snapshot, context.subject)
        if not paths:
            return code_answers.declared(context)
        return f"the file {listed(paths)}", [context.at(path, 1, path) for path in paths[:MAX_ROWS]]
    first = symbols[0]
    sentence = f"the {first.kind} {first.name} is defined in {first.path}, line {first.line}"
    others = [f"{symbol.path}:{symbol.line}" for symbol in symbols[1:]]
    if len(symbols) == lookups.MAX_ROWS:
        context.limit("there may be further definitions of that name")
    if others:
        sentence += f"; also {listed(others)}"
    return sentence, [
        context.at(symbol.path, symbol.line, symbol.signature or symbol.name) for symbol in symbols[:MAX_ROWS]
    ]


def _dependencies(context: QuestionContext) -> tuple[str, list[Evidence]]:
    path = context.path()
    rows = graph.dependencies(context.connection, context.snapshot, path)
    own = [row.target_path for row in rows if row.target_path]
    external = [row.module for row in rows if not row.target_path]
    if not rows:
        return f"{path} imports nothing", [context.at(path, 1, path)]
    sentence = f"{path} imports {count(len(own), 'file')} of the repository" + (
        f": {listed(own)}" if own else ""
    )
    sentence += f"; and from outside {listed(external)}" if external else ""
    return sentence, [context.at(path, row.line, f"imports {row.target_path or row.module}") for row in rows]


def _calls(context: QuestionContext) -> tuple[str, list[Evidence]]:
    context.definition()
    symbols = lookups.symbols(context.connection, context.snapshot, context.subject)
    groups = callers.same(symbols)[: callers.MAX_DEFINITIONS]
    code_answers.say_homonyms(context)
    sentences, evidence = [], []
    for symbol, *_ in groups:
        called = callers.called(context.connection, context.snapshot, symbol)
        lines = _call_lines(context, symbol, [call for call, _ in called])
        targets: dict[str, list[tuple[str, int]]] = {}
        for call, target in called:
            places = [(d.path, d.line) for d in target.definitions]
            targets.setdefault(call.name, places if len(places) <= MAX_PLACES else [])
        # What the repository defines says more of a function than what it calls of others.
        targets = dict(sorted(targets.items(), key=lambda item: not item[1]))
        items = [
            name
            + (f" ({' or '.join(f'{path}:{line}' for path, line in places)})" if places else "")
            + (f" (lines {listed([str(line) for line in lines[name]])})" if len(lines[name]) > 1 else "")
            for name, places in targets.items()
        ]
        names = listed(items)
        sentences.append(f"{symbol.name} ({symbol.path}:{symbol.line}) calls {names or 'nothing by name'}")
        evidence.append(context.at(symbol.path, symbol.line, symbol.signature))
        rows = [(name, line) for name in targets for line in lines[name]]
        if len(rows) > MAX_CALLS:
            context.limit(f"of {len(rows)} calls in {symbol.name}, the lines of {MAX_CALLS} are listed")
        evidence += [context.at(symbol.path, line, f"calls {name}") for name, line in rows[:MAX_CALLS]]
        evidence += [
            context.at(path, line, f"defines {name}")
            for name, places in list(targets.items())[:MAX_ROWS]
            for path, line in places
        ]
    return "; ".join(sentences), evidence


def _call_lines(
    context: QuestionContext, symbol: lookups.SymbolLocation, calls: Sequence[Call]
) -> dict[str, list[int]]:
    """Return the lines on which a symbol calls each name: of several calls the facts have the first."""
    lines: dict[str, list[int]] = {}
    for call in calls:
        lines.setdefault(call.name, []).append(call.line)
    if repeated := {call.name for call in calls if call.number > 1}:
        text = context.texts([symbol.path]).get(symbol.path, "")
        more = code_trees.call_lines(symbol.path, text, symbol.line, symbol.end_line, repeated)
        for name, further in more.items():
            lines[name] += further
    return {name: sorted(set(found)) for name, found in lines.items()}


def _coupled(context: QuestionContext) -> tuple[str, list[Evidence]]:
    path = context.path()
    rows = metrics.file_metrics(context.connection, context.snapshot.repository_id, path)["coupled_files"]
    if not rows:
        return f"no file often changes with {path}", [context.at(path, 1, path)]
    items = [
        f"{row['path']} (in {row['common_commits']} common commits, degree {row['degree']})" for row in rows
    ]
    sentence = f"with {path} change {listed(items)}"
    return sentence, [
        context.at(row["path"], 1, f"{row['common_commits']} commits together") for row in rows[:MAX_ROWS]
    ]


def _hotspot(context: QuestionContext) -> tuple[str, list[Evidence]]:
    if not lookups.files(context.connection, context.snapshot, context.subject):
        symbol = context.definition()
        measures = metrics.metrics_of(
            context.connection, context.snapshot.repository_id, f"{symbol.path}:{symbol.name}"
        )
        metrics_by_name = {
            name: measures[name]
            for name in ("cognitive", "cyclomatic", "nesting", "code_lines", "parameters")
        }
        sentence = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in metrics_by_name.items())
        (symbol,) = context.declared([symbol])
        return f"{symbol.name} ({symbol.path}:{symbol.line}): {sentence}", [
            context.at(symbol.path, symbol.line, sentence)
        ]
    path = context.path()
    measures = metrics.file_metrics(context.connection, context.snapshot.repository_id, path)
    spot, size, changes = (measures.get(name) for name in ("hotspot", "size", "changes"))
    worst = [{**row, "path": path} for row in measures["functions"] if row["cognitive"]][:3]
    worst = context.at_names(worst)
    parts = []
    if spot:
        parts.append(f"{path} is hotspot {spot['rank']}: {spot['reason']}")
    elif size:
        parts.append(
            f"{path} is not a hotspot: {size['code_lines']:,} lines of code, cognitive complexity {size['cognitive']}"
        )
    if changes:
        parts.append(
            f"{changes['commits']:,} commits by {changes['authors']:,} authors, "
            f"{changes['bug_fixes']:,} of them bug fixes"
        )
    if worst:
        items = [f"{row['function']} (cognitive {row['cognitive']}, line {row['line']})" for row in worst]
        parts.append(f"its most complex: {listed(items)}")
    if not parts:
        raise UnansweredError(f"{path} was not measured")
    evidence = [
        context.at(path, row["line"], f"{row['function']}: cognitive {row['cognitive']}") for row in worst
    ]
    return "; ".join(parts), [context.at(path, 1, parts[0]), *evidence]


def _rules(context: QuestionContext) -> tuple[str, list[Evidence]]:
    # The rules bring parsers, whose import takes longer than other answers.
    from qflow_dagster.evolution import findings

    path = context.path()
    rows = [
        row
        for row in findings.find(context.connection, context.snapshot.repository_id, path=path, limit=1_000)
        if row["path"] == path
    ]
    if not rows:
        return f"no rule has findings in {path}", [context.at(path, 1, path)]
    by_rule: dict[str, int] = {}
    for row in rows:
        by_rule[row["rule"]] = by_rule.get(row["rule"], 0) + 1
    items = [f"{rule} ({number})" for rule, number in sorted(by_rule.items(), key=lambda pair: -pair[1])]
    sentence = f"{count(len(rows), 'finding')} in {path}: {listed(items)}"
    return sentence, [
        context.at(path, row["line"] or 1, f"{row['rule']}: {row['message']}") for row in rows[:MAX_ROWS]
    ]


def _similar(context: QuestionContext) -> tuple[str, list[Evidence]]:
    connection, snapshot = context.connection, context.snapshot
    path, first, last, what = context.path(), 1, 10**9, "other file"
    same: list[str] = []
    evidence: list[Evidence] = []
    if context.file():
        same = lookups.identical(connection, snapshot, path)
        if path not in lookups.code_paths(connection, snapshot, [path]):
            context.limit(f"{path} is not read as code; files that only resemble it were not looked for")
    else:
        symbol = context.definition()
        first, last, what = symbol.line, symbol.end_line, "other code"
        evidence = [context.at(s.path, s.line, s.signature) for s in context.declared([symbol])]
    rows = [row for row in lookups.similar(connection, snapshot, path, first, last) if row.path not in same]
    parts = [f"{context.subject} has the same content as {listed(same)}"] if same else []
    if rows:
        # The copied lines may begin in the middle of a function.
        places = [(row.path, row.line) for row in rows]
        around = lookups.enclosing_symbols(connection, snapshot, places)
        names = {place: f" in {around[place].name}" if place in around else "" for place in places}
        items = [f"{r.path}:{r.line}{names[r.path, r.line]} ({r.tokens:,} tokens)" for r in rows]
        parts.append(f"{context.subject} shares code with {listed(items)}")
        copies = context.declared(list(dict.fromkeys(around[place] for place in places if place in around)))
        evidence += [context.at(s.path, s.line, s.signature) for s in copies[:MAX_ROWS]]
    alike: list[lookups.SymbolLocation] = []
    if not rows and not context.file():
        alike = likeness.nearly_same(context, context.meant or [context.definition()])
        what = "other code of its kind and size is nearly the same, or"
    if alike:
        items = [f"{other.name} ({other.path}:{other.line})" for other in alike]
        parts.append(
            f"{context.subject} has the same or, but for names, nearly the same code as {listed(items)}"
        )
        context.limit("only symbols of its kind, language and size were compared, each as a whole")
    evidence += [context.at(other, 1, f"the same as {path}") for other in same[:MAX_ROWS]]
    evidence += [context.at(other.path, other.line, other.signature) for other in alike[:MAX_ROWS]]
    evidence += [context.at(row.path, row.line, f"as {path}:{row.own_line}") for row in rows[:MAX_ROWS]]
    if not parts:
        return f"no {what} shares copied code with {context.subject}", evidence or [
            context.at(path, first, path)
        ]
    return "; ".join(parts), evidence


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
    calls = [call.name for call, _ in callers.called(context.connection, context.snapshot, best)]
    sentence += f" It calls {listed(list(dict.fromkeys(calls)))}." if calls else ""
    return sentence, [context.at(best.path, named.line, documented or best.signature)]


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
    "dependencies": _dependencies,
    "calls": _calls,
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
    "coupled": _coupled,
    "hotspot": _hotspot,
    "rules": _rules,
    "similar": _similar,
    "tests": coverage_answers.covered,
    "members": member_answers.members,
    "describe": _describe,
    "overview": overview_answers.overview,
    "licence": project_answers.licence,
    "running": project_answers.running,
    "testing": project_answers.testing,
}
