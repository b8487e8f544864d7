"""Gates: what a candidate must pass before a person sees it. Cheapest first, the first failure ends it.

Belongs here: the gates that look at the changed files alone. They run in worker processes: the
code is hostile. Does not belong here: the repository's own tests (`repository_tests`), choosing among
candidates (`orchestrator`).
"""

import json
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from qflow_dagster.evolution import matchers, ruff_matcher
from qflow_dagster.evolution.rules import Rule
from qflow_dagster.generation.generators.protocol import Request
from qflow_dagster.generation.remaining import places
from qflow_dagster.ingestion.facts import BlobFacts

# Raised with every change of what a gate asks: results of another version are not used again.
VERSION = 2
Verdict = Literal["passed", "failed", "skipped"]
LINTED = "E4,E7,E9,F"


class Gate(NamedTuple):
    """What a gate said of a candidate: verdict, evidence in words, seconds."""

    name: str
    verdict: Verdict
    evidence: str
    seconds: float


class Subject:
    """A candidate as the gates see it: the request, and the texts before and after."""

    def __init__(self, request: Request, after: Mapping[str, str], rules: Sequence[Rule]) -> None:
        self.request, self.after, self.rules = request, after, rules
        self.new = after.get(request.path, request.text)
        self._facts: dict[bool, BlobFacts] = {}

    def facts(self, new: bool) -> BlobFacts:
        """What extraction says of the file before or after."""
        # Imported late: commands that only show things need no parsers.
        from qflow_dagster.ingestion.extraction import extract

        if new not in self._facts:
            data = (self.new if new else self.request.text).encode()
            language = matchers.LANGUAGES.get(self.request.language, "")
            self._facts[new] = extract(data, language)
        return self._facts[new]


Answer = tuple[Verdict, str]


def intended_files(subject: Subject) -> Answer:
    """Only the file that the finding is in changes."""
    others = sorted(set(subject.after) - {subject.request.path})
    if others:
        return "failed", f"it also changes {', '.join(others)}"
    return "passed", f"only {subject.request.path}"


def parses(subject: Subject) -> Answer:
    """No place the parser could make no sense of is new."""
    before, after = subject.facts(False).parse_error_count, subject.facts(True).parse_error_count
    if subject.request.language == "python":
        try:
            compile(subject.new, subject.request.path, "exec", dont_inherit=True)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            return "failed", f"no Python: {error}"
    if after > before:
        return "failed", f"{after} syntax errors, {before} before"
    return "passed", f"{after} syntax errors"


def finding_gone(subject: Subject) -> Answer:
    """The rule finds less than before; how much less is the evidence."""
    request = subject.request
    before, after = (
        places(request.rule, text, request.path, request.language, subject.facts(new))
        for text, new in ((request.text, False), (subject.new, True))
    )
    words = f"{before - after} of {before} gone"
    return ("passed" if after < before else "failed"), words


def no_new_finding(subject: Subject) -> Answer:
    """No rule finds what it did not find before."""
    before, after = (_anchors(subject, text) for text in (subject.request.text, subject.new))
    # A line that changed has another anchor: what counts is how often a rule finds something.
    counts = Counter(rule for rule, _ in after.elements()), Counter(rule for rule, _ in before.elements())
    new = sorted(rule for rule in counts[0] if counts[0][rule] > counts[1][rule])
    if new:
        return "failed", f"new: {', '.join(new)}"
    return "passed", f"{len(subject.rules)} rules"


def linter(subject: Subject) -> Answer:
    """Ruff's default rules find no more than before (Python only)."""
    if subject.request.language != "python":
        return "skipped", f"no linter for {subject.request.language} is built in"
    before, after = (_lint(subject.request, text) for text in (subject.request.text, subject.new))
    worse = after - before
    if worse:
        return "failed", f"new: {', '.join(sorted(worse))}"
    return "passed", f"{sum(after.values())} complaints, {sum(before.values())} before"


def metrics(subject: Subject) -> Answer:
    """The file's cognitive complexity does not grow."""
    if not subject.facts(False).parsed or not subject.facts(True).parsed:
        return "skipped", "no syntax tree"
    before, after = (
        sum(symbol.cognitive or 0 for symbol in subject.facts(new).symbols) for new in (False, True)
    )
    allowed = most_complex(before, len(subject.request.findings))
    words = f"cognitive complexity {after}, {before} before"
    return ("failed" if after > allowed else "passed"), words


def most_complex(before: int, findings: int) -> int:
    """How complex a file may be after so many findings were mended.

    Making a default inside costs one branch; more than that is another design.
    """
    return before + max(2, findings)


GATES: dict[str, Callable[[Subject], Answer]] = {
    "intended_files": intended_files,
    "parses": parses,
    "finding_gone": finding_gone,
    "no_new_finding": no_new_finding,
    "linter": linter,
    "metrics": metrics,
}


def judge(request: Request, after: Mapping[str, str], rules: Sequence[Rule]) -> list[Gate]:
    """Put a change to the gates, until one fails."""
    subject = Subject(request, after, rules)
    gates: list[Gate] = []
    for name, gate in GATES.items():
        started = time.monotonic()
        verdict, evidence = gate(subject)
        gates.append(Gate(name, verdict, evidence, time.monotonic() - started))
        if verdict == "failed":
            break
    return gates


def _anchors(subject: Subject, text: str) -> Counter[tuple[str, bytes]]:
    request = subject.request
    source = matchers.Source(text, request.path)
    found = matchers.find(source, request.language, subject.rules)
    if request.language == "python":
        found += [match for _, match in ruff_matcher.find_with_ruff([source], subject.rules, request.target)]
    return Counter((subject.rules[match.rule].id, match.anchor) for match in found if not match.suppressed)


def _lint(request: Request, text: str) -> Counter[str]:
    command = ruff_matcher.ruff_command(
        "--output-format",
        "json",
        "--select",
        LINTED,
        "--target-version",
        request.target,
        "--stdin-filename",
        "file.py",
        "-",
    )
    found: list[dict[str, Any]] = json.loads(ruff_matcher.run_ruff(command, "/", text.encode()))
    return Counter(str(one["code"]) for one in found)
