"""Classify a free text by cue words: its level, action, name and acceptance criteria.

Pure and deterministic; the result states its confidence and the reasons. The similarity to existing
items is measured by the caller (`safe_work_planner`), which reads the database.
"""

import re
from dataclasses import dataclass, field
from typing import Any

MAX_NAME_LENGTH = 60
# The first match decides. The cues are the terms of SAFe, then sizes that people mention.
CUES = (
    ("theme", r"\b(strategic theme|theme|strategy|vision)\b"),
    ("epic", r"\b(epic|initiative|enabler|programme|half a year|(?:6|12|six|twelve) months)\b"),
    ("capability", r"\b(capability|cross-team|across teams|quarter|(?:3|three) months)\b"),
    ("feature", r"\b(feature|story|ticket|bug|defect|fix|add|remove|rename|week|sprint)\b"),
)
ENABLER = re.compile(r"\b(infrastructure|platform|technical|enabler|migrat\w+|refactor\w*|upgrade)\b", re.I)
UPDATE = re.compile(r"\b(update|change|extend|revise|instead of|also)\b", re.I)
CHANGES = re.compile(r"^\W*(update|change|extend|revise|amend)\b", re.I)
NEEDS = re.compile(
    r"\b(?:depends on|depend on|blocked by|needs|requires|only after|once)\s++([^\s.;,][^\n.;,]{2,119}?)"
    r"(?=\s{1,20}(?:is|are)\s{1,20}(?:done|there|ready)\b|[\n.;,]|$)",
    re.I,
)
CRITERION = re.compile(r"^[^\S\n]*+(?:[-*\u2022]|\d++[.)])\s++(.+)$", re.M)
SENTENCE = re.compile(r"(?<=[.!?])\s|\n")
WORDS_PER_LEVEL = {"theme": (8, 400), "epic": (6, 400), "capability": (5, 300), "feature": (3, 200)}


@dataclass(frozen=True)
class Analysis:
    """The classification of a text, its confidence (0 to 1), and the reasons."""

    level: str
    action: str
    kind: str | None
    name: str
    description: str
    acceptance: list[str]
    confidence: float
    reasons: list[str] = field(default_factory=list)
    # Other items it says it needs first, by name.
    depends_on: list[str] = field(default_factory=list)
    # Tokens and cost, where a model was called.
    usage: dict[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Return the fields as they are stored."""
        return dict(vars(self))


def classify(text: str, *, updates: bool = False, similarity: float | None = None) -> Analysis:
    """Classify a text; `similarity` (0 to 1) is that to the parent it would get, if there is one."""
    word_count = len(text.split())
    reasons = []
    level, confidence = "feature", 0.4
    cues = [(name, match[0]) for name, pattern in CUES if (match := re.search(pattern, text, re.I))]
    if cues:
        level = cues[0][0]
        confidence = 0.75
        reasons.append(f"level {level}: it contains {cues[0][1]!r}")
        others = {name for name, _ in cues} - {level}
        # "fix" and "add" are in texts of every level; other levels' own words are a contradiction.
        if others - {"feature"}:
            confidence -= 0.15
            reasons.append(f"it also contains words of {', '.join(sorted(others - {'feature'}))}")
    else:
        reasons.append("level feature: no cue of another level")
    min_words, max_words = WORDS_PER_LEVEL[level]
    if not min_words <= word_count <= max_words:
        confidence -= 0.2
        reasons.append(f"{word_count} words; {min_words} to {max_words} are usual")
    acceptance = [item.strip() for item in CRITERION.findall(text)]
    if acceptance:
        confidence += 0.15
        reasons.append(f"{len(acceptance)} acceptance criteria")
    if similarity is not None:
        confidence += 0.1 if similarity >= 0.7 else -0.05
        reasons.append(f"similarity to its parent {similarity:.2f}")
    action = "update" if updates or CHANGES.search(text) else "create"
    if not updates and UPDATE.search(text) and level != "feature":
        confidence -= 0.1
        reasons.append("it may be meant to change an existing item")
    kind = None
    if level == "epic":
        kind = "enabler" if ENABLER.search(text) else "business"
        reasons.append(f"{kind} epic")
    first = SENTENCE.split(text.strip(), maxsplit=1)[0].strip() or text.strip()
    name = first if len(first) <= MAX_NAME_LENGTH else first[: MAX_NAME_LENGTH - 1].rstrip() + "\u2026"
    return Analysis(
        level,
        action,
        kind,
        name,
        text.strip(),
        acceptance,
        round(min(max(confidence, 0.0), 1.0), 2),
        reasons,
        [cues.strip() for cues in NEEDS.findall(text)],
    )
