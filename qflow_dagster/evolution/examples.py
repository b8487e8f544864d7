"""Holding rules to their own examples, and those from outside in a worker process."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from qflow_dagster.errors import QflowError
from qflow_dagster.evolution import matchers
from qflow_dagster.evolution.rules import Example, Rule
from qflow_dagster.processes import Lost, in_processes

# What a fix may take: each round may lay bare another match.
ROUNDS = 5
# What an example is called that does not say, and the Python it is for.
PATH, TARGET = "example.py", "py311"
# Seconds in which a batch of so many rules must have been tried out.
BATCH_SECONDS, BATCH_RULES = 30.0, 20


def problems(rule: Rule, codemod: Callable[[str, str], str] | None = None) -> list[str]:
    """Everything in which the rule does not do what its examples say; none means that it holds.

    `codemod(rule id, text)` makes the change of rules whose fix is one; without it that is not tried.
    """
    found: list[str] = []
    try:
        matchers.check_matcher(rule)
        for number, example in enumerate(rule.examples):
            where = f"{rule.id}, example {number + 1}"
            if rule.matcher.metric is not None:
                found += _measured(rule, example, where)
                continue
            for language in rule.language:
                found += [
                    f"{where} ({language}): {words}" for words in _on_text(rule, example, language, codemod)
                ]
    except QflowError as error:
        found.append(str(error))
    return found


class _Task(NamedTuple):
    position: int
    rule: Rule


def tried_out(rules: Sequence[Rule]) -> list[str]:
    """The first problem of each rule, in their order; '' where there is none.

    For rules that come from code or people of elsewhere: matchers and examples are tried out in a
    worker process, which they may hang or bring down.
    """
    found = [""] * len(rules)
    tasks = [_Task(position, rule) for position, rule in enumerate(rules)]
    batches = [tasks[start : start + BATCH_RULES] for start in range(0, len(tasks), BATCH_RULES)]
    for batch in in_processes(try_out, None, batches, 1, lost=_lost, stall=BATCH_SECONDS):
        for position, words in batch:
            found[position] = words
    return found


def try_out(context: None, batch: list[_Task]) -> list[tuple[int, str]]:
    """In a worker process: the first thing in which each rule is not what it says."""
    results = []
    for position, rule in batch:
        try:
            words = next(iter(problems(rule)), "")
        # Native code of others, on input of others: whatever it raises, the rule does not hold.
        except Exception as error:
            words = f"{rule.id}: trying it out failed: {error}"
        results.append((position, " ".join(words.split())[:300]))
    return results


def _lost(task: _Task, code: int | None) -> Lost:
    return Lost(result=[(task.position, f"{task.rule.id}: trying it out took too long or ended its process")])


def _measured(rule: Rule, example: Example, where: str) -> list[str]:
    metric = rule.matcher.metric
    if metric is None or not isinstance(example.bad, dict) or not isinstance(example.good, dict):
        return [f"{where}: bad and good are rows of measures, {{cognitive: 20}}"]
    found = []
    if not all(condition.holds(example.bad) for condition in metric.conditions()):
        found.append(f"{where}: bad is not found")
    if all(condition.holds(example.good) for condition in metric.conditions()):
        found.append(f"{where}: good is found")
    return found


def _on_text(
    rule: Rule, example: Example, language: str, codemod: Callable[[str, str], str] | None
) -> list[str]:
    if isinstance(example.bad, dict) or isinstance(example.good, dict):
        return ["bad and good are code"]
    path = example.path or PATH
    found = []
    if not matches_in(rule, example.bad, path, language):
        found.append("bad is not found")
    if matches_in(rule, example.good, path, language):
        found.append("good is found")
    if rule.fix is None or (rule.fix == "codemod" and codemod is None):
        return found
    fixed = example.bad
    if rule.fix == "codemod" and codemod is not None:
        fixed = codemod(rule.id, fixed)
    else:
        for _ in range(ROUNDS):
            edits = [e for match in matches_in(rule, fixed, path, language) for e in match.edits or []]
            if not edits:
                break
            fixed = matchers.apply_edits(fixed, edits)
    if fixed != example.good:
        found.append(f"the fix makes of bad {fixed!r}")
    return found


def matches_in(rule: Rule, text: str, path: str, language: str) -> list[matchers.Match]:
    """What one rule finds in one text."""
    source = matchers.Source(text, path)
    if rule.matcher.ruff:
        return [match for _, match in matchers.find_with_ruff([source], [rule], TARGET)]
    return matchers.find(source, "" if language == "any" else language, [rule])
