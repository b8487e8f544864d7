"""Free wordings of questions: `python -m benchmarks.wordings [NAME ...]` counts how many are read rightly.

Of the files of `wordings`, those that were written to be unseen, unless others are named (of those the model has
learned). Needs no repository: the names that a label has are taken for names of one. Right is a question of its kind
about its subject; a question that facts do not answer is right as a search. Doubtful is what is read
wrongly, and said to be uncertain. Prints those that are not right.
"""

import sys
from collections import Counter
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.learn_subjects import WITHOUT_SUBJECT, plain
from benchmarks.learn_wordings import FOLDER, known_names, questions
from qflow_dagster.knowledge.questions import parse

console = Console()


def grade(row: dict[str, Any]) -> str:
    """Return how a labelled question is read: right, as a search, wrong (another kind or name), or doubtfully so."""
    names = known_names(row)
    read = parse(row["ask"], exist=lambda words: dict.fromkeys(names.intersection(words), ()))
    if read.kind not in row["kind"].split():
        return "search" if read.kind == "search" else "doubtful" if read.rival else "wrong"
    wanted, found = ({plain(name) for name in both} for both in ((row["subject"], row["other"]), read[1:3]))
    if read.kind in WITHOUT_SUBJECT or wanted == found or not row["subject"]:
        return "right"
    return "doubtful" if read.rival else "wrong"


def main() -> None:
    """Print the table."""
    table = Table("set", "questions", "right", "search", "doubtful", "wrong", title="Wordings")
    for name in sys.argv[1:] or sorted(path.stem for path in FOLDER.glob("unseen*.yaml")):
        for facts in (True, False):
            grades: Counter[str] = Counter()
            for row in questions([name]):
                if (row["kind"] != "search") == facts:
                    grades[result := grade(row)] += 1
                    if result != "right":
                        console.print(f"{result}: {row['ask']}", highlight=False)
            row = (str(grades[result]) for result in ("right", "search", "doubtful", "wrong"))
            table.add_row(f"{name}, {'of a kind' if facts else 'of none'}", str(grades.total()), *row)
    console.print(table)


if __name__ == "__main__":
    main()
