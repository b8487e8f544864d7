"""Gates: what a candidate must pass before a person sees it. Cheapest first; the first failure ends the run.

Belongs here: the gates that read the changed files alone. They run in worker processes, because the
code is hostile. Does not belong here: the repository's own tests (`repository_tests`), choosing among
candidates (`orchestrator`).
"""

import json
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from qflow_dagster.evolution import matchers, ruff_matcher
from qflow_dagster.evolution.embedded import NotMergedError
from qflow_dagster.evolution.rules import Rule
from qflow_dagster.generation.comments import CommentChange
from qflow_dagster.generation.generators.protocol import Fix, Proposal, Request, Withheld
from qflow_dagster.generation.remaining import count_findings
from qflow_dagster.ingestion.facts import BlobFacts

# Raised with every change of a gate's condition: results of another version are not reused.
VERSION = 8
# skipped: it could not check what there is to check, and says what it lacks; not applicable: there is nothing.
Verdict = Literal["passed", "failed", "skipped", "not applicable"]
LINT_RULES = "E4,E7,E9,F"


class Gate(NamedTuple):
    """The result of a gate for a candidate: verdict, evidence as text, seconds."""

    name: str
    verdict: Verdict
    evidence: str
    seconds: float


class Subject:
    """A candidate as the gates see it: the request, and the texts before and after."""

    def __init__(self, request: Request, after: Mapping[str, str], rules: Sequence[Rule]) -> None:
        self.request, self.after, self.rules = request, after, rules
        self.new = after.get(request.path, request.text)
        self.comments = CommentChange(request, self.new)
        self._facts: dict[bool, BlobFacts] = {}

    def facts(self, new: bool) -> BlobFacts:
        """Return what extraction says of the file before (`new` false) or after the change."""
        # Imported late: commands that only read need no parsers.
        from qflow_dagster.ingestion.extraction import extract

        if new not in self._facts:
            data = (self.new if new else self.request.text).encode()
            language = matchers.LANGUAGES.get(self.request.language, "")
            self._facts[new] = extract(data, language)
        return self._facts[new]


Answer = tuple[Verdict, str]


def intended_files(subject: Subject) -> Answer:
    """Pass if only the file of the finding changes, and of that only code."""
    others = sorted(set(subject.after) - {subject.request.path})
    if others:
        return "failed", f"it also changes {', '.join(others)}"
    try:
        subject.request.file_with(subject.new)
    except NotMergedError as error:
        return "failed", str(error)
    return "passed", f"only {subject.request.path}"


def parses(subject: Subject) -> Answer:
    """Pass if the change adds no syntax error."""
    before, after = subject.facts(False).parse_error_count, subject.facts(True).parse_error_count
    if subject.request.language == "python":
        # Ruff's parser knows newer Python than the interpreter's, and what the oldest supported one lacks.
        before, after = (
            _lint(subject.request, text, "E9")["invalid-syntax"]
            for text in (subject.request.text, subject.new)
        )
    if after > before:
        return "failed", f"{after} syntax errors, {before} before"
    return "passed", f"{after} syntax errors"


def finding_gone(subject: Subject) -> Answer:
    """Pass if the rule finds less than before; how much less is the evidence."""
    request = subject.request
    if (tests := request.surroundings.recorded) is not None:
        added = sum(f"def {name}(" in subject.new for name in tests.names)
        return ("passed" if added else "failed"), f"{added} of {len(tests.names)} tests added"
    before, after = (
        count_findings(
            request.rule,
            text,
            request.path,
            request.language,
            subject.facts(new),
            request.surroundings.cycle,
        )
        for text, new in ((request.text, False), (subject.new, True))
    )
    evidence = f"{before - after} of {before} gone"
    return ("passed" if after < before else "failed"), evidence


def no_new_finding(subject: Subject) -> Answer:
    """Pass if no rule finds more than before."""
    before, after = (_anchors(subject, text) for text in (subject.request.text, subject.new))
    # A changed line has another anchor, so the number of findings per rule is compared.
    counts = Counter(rule for rule, _ in after.elements()), Counter(rule for rule, _ in before.elements())
    new = sorted(rule for rule in counts[0] if counts[0][rule] > counts[1][rule])
    if new:
        return "failed", f"new: {', '.join(new)}"
    return "passed", f"{len(subject.rules)} rules"


def linter(subject: Subject) -> Answer:
    """Pass if ruff's default rules find no more than before (Python only)."""
    if subject.request.language != "python":
        return "not applicable", "only Python is checked"
    before, after = (_lint(subject.request, text) for text in (subject.request.text, subject.new))
    worse = after - before
    if worse:
        return "failed", f"new: {', '.join(sorted(worse))}"
    return "passed", f"{sum(after.values())} complaints, {sum(before.values())} before"


def suppressions(subject: Subject) -> Answer:
    """Pass if no line changes that a comment suppresses, and no such comment is lost."""
    problem = subject.comments.suppressed_line()
    return ("failed", problem) if problem else ("passed", "no suppressed line changes")


def comments(subject: Subject) -> Answer:
    """Pass if every comment is still there, with the code that it describes."""
    if not subject.comments.before.knows_comments:
        return "skipped", f"comments of {subject.request.language} are not read"
    problem = subject.comments.lost_or_moved()
    return ("failed", problem) if problem else ("passed", f"{len(subject.comments.before.comments)} comments")


def metrics(subject: Subject) -> Answer:
    """Pass if the file's cognitive complexity does not grow beyond what is allowed."""
    if not subject.facts(False).parsed or not subject.facts(True).parsed:
        return "skipped", "no syntax tree"
    before, after = (
        sum(symbol.cognitive or 0 for symbol in subject.facts(new).symbols) for new in (False, True)
    )
    allowed = max_complexity(before, len(subject.request.findings))
    evidence = f"cognitive complexity {after}, {before} before"
    return ("failed" if after > allowed else "passed"), evidence


def max_complexity(before: int, findings: int) -> int:
    """Return how complex a file may be after so many findings were fixed.

    Moving a mutable default into the body costs one branch; more than that is another design.
    """
    return before + max(2, findings)


GATES: dict[str, Callable[[Subject], Answer]] = {
    "intended_files": intended_files,
    "parses": parses,
    "suppressions": suppressions,
    "comments": comments,
    "finding_gone": finding_gone,
    "no_new_finding": no_new_finding,
    "linter": linter,
    "metrics": metrics,
}


def run_gates(request: Request, after: Mapping[str, str], rules: Sequence[Rule]) -> list[Gate]:
    """Run the gates on a change until one fails; return the results."""
    subject = Subject(request, after, rules)
    gates: list[Gate] = []
    for name, gate in GATES.items():
        started = time.monotonic()
        verdict, evidence = gate(subject)
        gates.append(Gate(name, verdict, evidence, time.monotonic() - started))
        if verdict == "failed":
            break
    return gates


class FileResult(NamedTuple):
    """The fixes of a file that pass its gates together, the gates' results, and the fixes left out, with reasons.

    `after` is the file's text with the fixes; the text of the proposal if that is not made of fixes.
    """

    after: str
    fixes: tuple[Fix, ...]
    gates: list[Gate]
    withheld: tuple[Withheld, ...]

    @property
    def passed(self) -> bool:
        """Return whether there is a change, and no gate has failed."""
        return bool(self.gates) and all(gate.verdict != "failed" for gate in self.gates)


def validate(request: Request, proposal: Proposal, rules: Sequence[Rule]) -> FileResult:
    """Run the gates on a proposal; where they fail for all fixes together, leave out those that are to blame.

    Each fix is first tried by itself, then those that passed are tried together, and at last one after the other.
    """
    gates = run_gates(request, proposal.contents, rules)
    fixes = proposal.fixes
    after = proposal.contents.get(request.path, request.text)
    result = FileResult(after, fixes, gates, ())
    if result.passed or len(fixes) < 2:
        return result
    withheld: list[Withheld] = []

    def attempt(chosen: Sequence[Fix]) -> FileResult:
        text, _ = matchers.apply_changes(request.text, [fix.edits for fix in chosen])
        return FileResult(text, tuple(chosen), run_gates(request, {request.path: text}, rules), ())

    good: list[Fix] = []
    for fix in fixes:
        alone = attempt([fix])
        if alone.passed:
            good.append(fix)
        else:
            withheld.append(Withheld(fix.line, f"{alone.gates[-1].name}: {alone.gates[-1].evidence}"))
    together = attempt(good) if good else result
    if good and not together.passed:
        together = attempt(good[:1])
        for fix in good[1:]:
            more = attempt([*together.fixes, fix])
            if more.passed:
                together = more
            else:
                reason = f"together with others, {more.gates[-1].name}: {more.gates[-1].evidence}"
                withheld.append(Withheld(fix.line, reason))
    return together._replace(withheld=tuple(sorted(withheld)))


def _anchors(subject: Subject, text: str) -> Counter[tuple[str, bytes]]:
    request = subject.request
    source = matchers.Source(text, request.path)
    matches = matchers.find(source, request.language, subject.rules)
    if request.language == "python":
        matches += [
            match for _, match in ruff_matcher.find_with_ruff([source], subject.rules, request.target)
        ]
    return Counter((subject.rules[match.rule].id, match.anchor) for match in matches if not match.suppressed)


def _lint(request: Request, text: str, rules: str = LINT_RULES) -> Counter[str]:
    command = ruff_matcher.ruff_command(
        "--output-format",
        "json",
        "--select",
        rules,
        "--target-version",
        ruff_matcher.ruff_target(request.target),
        "--stdin-filename",
        ruff_matcher.name_for_ruff(request.path),
        "-",
    )
    read, _ = ruff_matcher.as_ruff_reads(request.path, text)
    problems: list[dict[str, Any]] = json.loads(ruff_matcher.run_ruff(command, "/", read.encode()))
    return Counter(str(problem["code"]) for problem in problems)
