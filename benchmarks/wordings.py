"""Free wordings of questions: `python -m benchmarks.wordings` counts how many of `wordings.yaml` are understood.

Needs no repository: a question is understood by its words alone. Right is a question of its kind about its subject;
questions that facts do not answer are right as a search.
"""

from collections import Counter
from pathlib import Path

import yaml
from rich.console import Console
from rich.table import Table

from qflow_dagster.knowledge.questions import parse

console = Console()
# Of these the subject is the question itself.
WITHOUT_SUBJECT = ("search", "testing", "next", "running", "overview")


def grade(question: str, kinds: str, subject: str) -> str:
    """Return how a question ends: right, as a search, or wrong (of another kind, or about something else)."""
    understood = parse(question)
    if understood.kind in kinds.split() and (
        understood.kind in WITHOUT_SUBJECT or understood.subject.lower() == subject.lower()
    ):
        return "right"
    if understood.kind != "search":
        console.print(f"wrong: {question}: {understood.kind} {understood.subject!r}", highlight=False)
        return "wrong"
    console.print(f"search: {question}", highlight=False)
    return "search"


def main() -> None:
    """Print the table."""
    sets = yaml.safe_load((Path(__file__).parent / "wordings.yaml").read_text())
    table = Table("set", "questions", "right", "search", "wrong", title="Wordings")
    for name, by_kind in sets.items():
        for facts in (True, False):
            grades = Counter(
                grade(question, kinds, subject)
                for kinds, questions in by_kind.items()
                if (kinds != "search") == facts
                for question, subject in questions.items()
            )
            row = (str(grades[result]) for result in ("right", "search", "wrong"))
            table.add_row(f"{name}, {'of a kind' if facts else 'of none'}", str(grades.total()), *row)
    console.print(table)


if __name__ == "__main__":
    main()
