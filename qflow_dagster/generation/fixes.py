"""Fixes: the change of each location that a rule matches in a file, where its preconditions hold.

Belongs here: selecting locations, and what holds for every fix (no comment is lost, the parser understood the
code). Does not belong here: preconditions of a rule (`preconditions`), where edits come from (`generators`).
"""

import re
from collections.abc import Callable, Sequence

from qflow_dagster.evolution import matchers
from qflow_dagster.evolution.analysis.nodes import named_children
from qflow_dagster.evolution.embedded import NotMergedError
from qflow_dagster.evolution.examples import matches_in
from qflow_dagster.evolution.matchers import Edit, Match
from qflow_dagster.generation import preconditions
from qflow_dagster.generation.generators.protocol import Fix, Proposal, Request, Withheld
from qflow_dagster.generation.preconditions.file import File
from qflow_dagster.generation.preconditions.python_compiled import compiled

# No change makes a line longer than that, unless the file has a longer one.
LONGEST_LINE = 120

_NAME = re.compile(r"[A-Za-z_$][\w$]*")
_MEMBER = re.compile(r"\.([A-Za-z_$][\w$]*)")
_PYTHON_TERNARY = "conditional_expression"
_CONDITIONAL = ("if_statement", "if_expression", "elif_clause", "ternary_expression", _PYTHON_TERNARY)
# Returns the edits of a location; None: there is nothing to change, text: why nothing is changed.
EditsOf = Callable[[File, Match], Sequence[Edit] | str | None]


def own_edits(file: File, match: Match) -> Sequence[Edit] | None:
    """Return the edits that the matcher itself made (a template of ast-grep, ruff's fix)."""
    edits = match.edits
    if edits is None or file.language != "python":
        return edits
    return [_without_end_of_line(file.text, _with_blank_lines(file.text, edit)) for edit in edits]


def _separated(text: str, edit: Edit) -> Edit:
    """Put spaces around a replacement whose first or last token would become one with its neighbour."""
    replaced = text[edit.start : edit.end]
    if not edit.text or not replaced:
        return edit
    before = " " if _joins(text[edit.start - 1 : edit.start], edit.text[0], replaced[0]) else ""
    after = " " if _joins(edit.text[-1], text[edit.end : edit.end + 1], replaced[-1]) else ""
    return edit._replace(text=f"{before}{edit.text}{after}")


def _joins(left: str, right: str, replaced: str) -> bool:
    # In the middle of a word the edit is of a part of it.
    both_words = all(map(_in_word, (left, right))) and not _in_word(replaced)
    return bool(left and right) and (both_words or (left == right and left in "+-"))


def _in_word(character: str) -> bool:
    return character.isalnum() or character in ("_", "$")


def _without_end_of_line(text: str, edit: Edit) -> Edit:
    """Drop the white space that ruff leaves where a call went on in the next line."""
    removed = text[edit.start : edit.end]
    if "\n" not in edit.text or removed != removed.rstrip():
        return edit
    return edit._replace(text=edit.text.rstrip())


def _with_blank_lines(text: str, edit: Edit) -> Edit:
    """Take the blank lines above along, where the last lines of a block are removed."""
    removed = text[edit.start : edit.end]
    if edit.text or not removed.endswith("\n") or text[: edit.start].rpartition("\n")[2]:
        return edit
    following = next((line for line in text[edit.end :].splitlines() if line.strip()), "")
    if _indentation(following) >= _indentation(removed):
        return edit
    kept = text[: edit.start].rstrip()
    end_of_line = text.find("\n", len(kept)) + 1
    return edit._replace(start=min(end_of_line, edit.start))


def _longest_line(text: str, edits: Sequence[Edit]) -> int:
    """Return the length of the longest line that the edits make."""
    longest = 0
    for edit in edits:
        start = text.rfind("\n", 0, edit.start) + 1
        end = text.find("\n", edit.end)
        after = text[start : edit.start] + edit.text + text[edit.end : end if end >= 0 else len(text)]
        longest = max(longest, *(len(line) for line in after.split("\n")))
    return longest


def _indentation(line: str) -> int:
    return len(line) - len(line.lstrip(" \t"))


def propose(request: Request, edits_of: EditsOf, note: str) -> Proposal:
    """Return the fixes of the request's locations as one proposal, and the locations that get none."""
    file = File(request)
    fixes: list[Fix] = []
    withheld: list[Withheld] = []
    for match in locations(request):
        edits = edits_of(file, match)
        if edits is None:
            continue
        reason = edits if isinstance(edits, str) else _reason_against(file, match, edits)
        if reason or isinstance(edits, str):
            withheld.append(Withheld(match.line, str(reason)))
        elif edits:
            separate = tuple(_separated(file.text, edit) for edit in edits)
            fixes.append(Fix(match.line, match.end_line, separate))
    text, applied = matchers.apply_changes(request.text, [fix.edits for fix in fixes])
    withheld += [
        Withheld(fix.line, "it overlaps another change, and is looked at again after it")
        for number, fix in enumerate(fixes)
        if number not in set(applied)
    ]
    fixes = [fixes[number] for number in applied]
    contents = {request.path: text} if text != request.text else {}
    return Proposal(contents=contents, note=note, fixes=tuple(fixes), withheld=tuple(withheld))


def locations(request: Request) -> list[Match]:
    """Return the matches of the request's rule that nobody suppressed, on the lines of its findings."""
    lines = {line for line, _ in request.findings}
    return [
        match
        for match in matches_in(request.rule, request.text, request.path, request.language, request.target)
        if not match.suppressed and (not lines or match.line in lines)
    ]


def _reason_of_container(file: File, match: Match, edits: Sequence[Edit]) -> str | None:
    """Return why code within a file of another language stays; None: nothing is against a change."""
    if file.embedded is None:
        return None
    if file.embedded.code.doubt:
        return file.embedded.code.doubt
    for start, end in [(match.start, match.end), *((edit.start, edit.end) for edit in edits)]:
        used = file.names_used_outside.intersection(_NAME.findall(file.text[start:end]))
        if used:
            return f"`{min(used)}` may be used outside of the code, too"
    try:
        file.embedded.merged(matchers.apply_edits(file.text, edits))
    except NotMergedError as error:
        return str(error)
    return None


def _asked_for(file: File, match: Match, edits: Sequence[Edit]) -> str | None:
    """Return why a location stays where its own condition asks whether what the change would use exists."""
    new = {name for edit in edits for name in _MEMBER.findall(edit.text)}
    new -= set(_MEMBER.findall(file.text[match.start : match.end]))
    for outer in file.node(match).ancestors() if new else ():
        if outer.kind() not in _CONDITIONAL:
            continue
        condition = outer.field("condition") or (
            named_children(outer)[1] if outer.kind() == _PYTHON_TERNARY else None
        )
        asked = new.intersection(_NAME.findall(condition.text())) if condition is not None else ()
        if asked:
            return f"a condition here asks for `{min(asked)}`, which the change would use"
    return None


def _reason_against(file: File, match: Match, edits: Sequence[Edit]) -> str | None:
    if file.language == "python" and (file.target.startswith("py2") or file.tests_for_python_2):
        return "the code supports Python 2, and fixes are written for Python 3"
    if file.has_error(match.start, match.end):
        return "the parser does not understand the code here"
    if file.language == "python" and (compiler := compiled(file, match.start, match.end)):
        return compiler
    ignored = file.source.suppressions.lines_of_type_checkers
    if any(
        file.source.line_of(edit.start) <= line <= file.source.line_of(edit.end)
        for line in ignored
        for edit in edits
    ):
        return "a comment tells the type checker to ignore this line, and a change may change what it ignores"
    lost = file.comments_lost(match, edits)
    if lost:
        return f"the comment in line {lost[0]} would be lost"
    longest = _longest_line(file.text, edits)
    if longest > LONGEST_LINE and longest > max(map(len, file.text.split("\n"))):
        return f"a line would be {longest} characters long"
    return (
        _asked_for(file, match, edits)
        or _reason_of_container(file, match, edits)
        or preconditions.unmet(file, match)
    )
