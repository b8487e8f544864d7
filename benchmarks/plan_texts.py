"""How requests as people write them are understood: agreement with labels that were written first.

    python -m benchmarks.plan_texts [--set NAME] [--errors]

Prints the share of texts whose action, level, items, dependencies, acceptance criteria and fields are those of the
labels (`plan_texts.yaml`), by kind.
"""

import argparse
from collections import Counter
from datetime import date
from pathlib import Path
from typing import Any

import yaml

from qflow_dagster.execution.classifier import Analysis, classify
from qflow_dagster.execution.mentions import Item

TEXTS = Path(__file__).with_name("plan_texts.yaml")
SETS = ("tuning", "held_out", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth")
FIELDS = ("owner", "due", "points", "priority", "labels")


def load() -> dict[str, Any]:
    """Return the backlog and the labelled texts."""
    return yaml.safe_load(TEXTS.read_text(encoding="utf-8"))


def understood(document: dict[str, Any], text: str) -> Analysis:
    """Return the classification of a text, with the backlog of the document."""
    items = [
        Item(key, item["level"], item["title"], item.get("state") == "done")
        for key, item in document["backlog"].items()
    ]
    return classify(text, items, today=document["today"])


def differences(label: dict[str, Any], analysis: Analysis) -> dict[str, tuple[Any, Any]]:
    """Return what differs from the label: kind -> (label, classification)."""
    question = label["action"] == "question"
    level = label.get("level")
    found = {
        "action": (label["action"], analysis.action),
        "level": (level, None if question and analysis.action == "question" else analysis.level),
        "about": (sorted(label.get("about", [])), sorted(analysis.about) if not question else []),
        "depends": (sorted(label.get("depends", [])), sorted(_depends(analysis))),
        "acceptance": (label.get("acceptance", 0), len(analysis.acceptance)),
    }
    stated = {
        **analysis.stated,
        **({"due": date.fromisoformat(analysis.stated["due"])} if "due" in analysis.stated else {}),
    }
    for name in FIELDS:
        found[name] = (label.get(name), stated.get(name))
    if question:
        found = {name: found[name] for name in ("action", "level")}
    return {name: pair for name, pair in found.items() if pair[0] != pair[1]}


def _depends(analysis: Analysis) -> list[str]:
    # Items that exist by key, the others by name.
    return [*analysis.needs, *analysis.depends_on[len(analysis.needs) :]]


def main() -> None:
    """Print the agreement of a set."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--set", choices=SETS, default="ninth")
    parser.add_argument("--errors", action="store_true", help="print every text that differs")
    arguments = parser.parse_args()
    document = load()
    rows = document[arguments.set]
    wrong: Counter[str] = Counter()
    by_action: dict[str, Counter[bool]] = {}
    both = 0
    stating = {name: sum(name in row["is"] for row in rows) for name in ("depends", "acceptance", *FIELDS)}
    missed: Counter[str] = Counter()
    for row in rows:
        found = differences(row["is"], understood(document, row["text"]))
        wrong.update(found.keys())
        missed.update(name for name in found if name in row["is"])
        right = not {"action", "level"} & found.keys()
        both += right
        by_action.setdefault(row["is"]["action"], Counter())[right] += 1
        if arguments.errors and found:
            print(f"{row['text']!r}\n    {found}")
    total = len(rows)
    print(f"{arguments.set}: {total} texts; action and level {both} ({both / total:.0%})")
    for name in ("action", "level", "about", "depends", "acceptance", *FIELDS):
        right = total - wrong[name]
        where = (
            f"; of {stating[name]} that state it {stating[name] - missed[name]}" if name in stating else ""
        )
        print(f"  {name:<11} {right:>3} of {total} ({right / total:.0%}){where}")
    for action, counted in by_action.items():
        print(f"  wanted {action:<10} {counted[True]} of {counted.total()}")


if __name__ == "__main__":
    main()
