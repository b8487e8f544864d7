"""Sentences that say what a check found."""

from collections.abc import Iterable
from itertools import islice

from qflow_dagster.safety.display import visible_line

MAX_EXAMPLES = 3


def verdict(
    number: int, noun: str, problem: str, examples: Iterable[object] = (), *, limit: int | None = None
) -> str:
    """Return a sentence: `No goal is stuck.`, or `2 goals are stuck, for example: a, b.`

    With `limit` problems there may be more, because so many are read at most.
    """
    if not number:
        return f"No {noun} is {problem}."
    amount = f"{'At least ' if number == limit else ''}{number:,} {noun}"
    subject = f"{amount} is" if number == 1 else f"{amount}s are"
    named = ", ".join(visible_line(str(example)) for example in islice(examples, MAX_EXAMPLES))
    return f"{subject} {problem}" + (f", for example: {named}." if named else ".")
