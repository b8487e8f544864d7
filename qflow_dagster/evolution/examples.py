"""Checking rules against their own examples; rules of other origin are checked in a worker process."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from qflow_dagster.errors import QflowError
from qflow_dagster.evolution import matchers, ruff_matcher
from qflow_dagster.evolution.rules import Example, Rule
from qflow_dagster.processes import LostResult, in_processes

# Maximum number of times a fix is applied to an example: each round may expose another match.
ROUNDS = 5
# Default path of an example, and the Python version it is checked for.
PATH, TARGET = "example.py", "py311"
# Time limit in seconds for checking a batch of at most `BATCH_RULES` rules.
BATCH_SECONDS, BATCH_RULES = 30.0, 20


# Returns a text after the fixes of a rule: (rule, text, path, language).
ApplyFix = Callable[[Rule, str, str, str], str]


def problems(rule: Rule, apply_fix: ApplyFix | None = None) -> list[str]:
    """Return every way in which the rule contradicts its examples; an empty list means that it is sound.

    With `apply_fix` (see `generation.fixed_text`) the fixes are those that would be proposed, with their preconditions;
    without it a template is filled in, and neither codemods nor counter-examples are checked.
    """
    messages: list[str] = []
    try:
        matchers.check_matcher(rule)
        for number, example in enumerate(rule.examples):
            where = f"{rule.id}, example {number + 1}"
            if rule.matcher.metric is not None:
                messages += _measured(rule, example, where)
                continue
            for language in rule.language:
                messages += [
                    f"{where} ({language}): {message}"
                    for message in _on_text(rule, example, language, apply_fix)
                ]
        for number, example in enumerate(rule.counter_examples if apply_fix is not None else ()):
            for language in rule.language:
                after = apply_fix(rule, example.code, example.path or PATH, language) if apply_fix else ""
                if after != example.code:
                    messages.append(
                        f"{rule.id}, counter-example {number + 1} ({language}): the fix makes of it {after!r}"
                    )
    except QflowError as error:
        messages.append(str(error))
    return messages


class _Task(NamedTuple):
    position: int
    rule: Rule


def first_problems_of(rules: Sequence[Rule]) -> list[str]:
    """Return the first problem of each rule, in order; '' where there is none.

    For rules of other origin: they are checked in a worker process, which they may block or crash.
    """
    first_problems = [""] * len(rules)
    tasks = [_Task(position, rule) for position, rule in enumerate(rules)]
    batches = [tasks[start : start + BATCH_RULES] for start in range(0, len(tasks), BATCH_RULES)]
    for batch in in_processes(check_batch, None, batches, 1, lost=_lost, stall=BATCH_SECONDS):
        for position, problem in batch:
            first_problems[position] = problem
    return first_problems


def check_batch(context: None, batch: list[_Task]) -> list[tuple[int, str]]:
    """Return (position, first problem) of each rule; runs in a worker process."""
    results = []
    for position, rule in batch:
        try:
            problem = next(iter(problems(rule)), "")
        # Native code on untrusted input: whatever it raises, the rule is not sound.
        except Exception as error:
            problem = f"{rule.id}: trying it out failed: {error}"
        results.append((position, " ".join(problem.split())[:300]))
    return results


def _lost(task: _Task, code: int | None) -> LostResult:
    return LostResult(
        result=[(task.position, f"{task.rule.id}: trying it out took too long or ended its process")]
    )


def _measured(rule: Rule, example: Example, where: str) -> list[str]:
    metric = rule.matcher.metric
    if metric is None or not isinstance(example.bad, dict) or not isinstance(example.good, dict):
        return [f"{where}: bad and good are rows of measures, {{cognitive: 20}}"]
    messages = []
    if not all(condition.holds(example.bad) for condition in metric.conditions()):
        messages.append(f"{where}: bad is not found")
    if all(condition.holds(example.good) for condition in metric.conditions()):
        messages.append(f"{where}: good is found")
    return messages


def _on_text(rule: Rule, example: Example, language: str, apply_fix: ApplyFix | None) -> list[str]:
    if isinstance(example.bad, dict) or isinstance(example.good, dict):
        return ["bad and good are code"]
    path = example.path or PATH
    messages = []
    if not matches_in(rule, example.bad, path, language):
        messages.append("bad is not found")
    if matches_in(rule, example.good, path, language):
        messages.append("good is found")
    if rule.fix is None or (rule.fix == "codemod" and apply_fix is None):
        return messages
    fixed = example.bad
    for _ in range(ROUNDS):
        if apply_fix is not None:
            after = apply_fix(rule, fixed, path, language)
        else:
            matches = matches_in(rule, fixed, path, language)
            after = matchers.apply_edits(fixed, [edit for match in matches for edit in match.edits or []])
        if after == fixed:
            break
        fixed = after
    if fixed != example.good:
        messages.append(f"the fix makes of bad {fixed!r}")
    return messages


def matches_in(rule: Rule, text: str, path: str, language: str, target: str = TARGET) -> list[matchers.Match]:
    """Return the matches of one rule in one text; `target` is the oldest Python supported, as ruff names it."""
    source = matchers.Source(text, path)
    if rule.matcher.ruff:
        return [match for _, match in ruff_matcher.find_with_ruff([source], [rule], target)]
    return matchers.find(source, "" if language == "any" else language, [rule])
