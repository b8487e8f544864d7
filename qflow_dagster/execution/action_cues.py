"""The words by which a request says what it wants of an existing item: to reopen, split, merge, close or update it.

Belongs here: patterns, and whether a match is negated. Does not belong here: which item is meant, and whether the match
is about it (`classifier`).
"""

import re

NOT = r"(?:\b(?:not|never|nothing|no|without)|n't)"
# Where a clause begins, a participle says what is done: "Closing this", "we're closing".
_CLAUSE = r"(?:^|[.!?:,;(] ?|\b(?:i'm|we're|am|are|so|and|by) )\W{0,3}"


def _doing(*verbs: str) -> str:
    """Return a pattern of verbs in any form; of participles in -ing only those at the beginning of a clause."""
    stems = "|".join(verb.removesuffix("e") for verb in verbs)
    return rf"\b(?:{'|'.join(verbs)})\b|\b(?:{stems})(?:e?s|e?d)\b|{_CLAUSE}(?:{stems})ing\b"


# The first match decides.
ACTIONS = tuple(
    (action, re.compile("|".join(patterns), re.I | re.M))
    for action, patterns in {
        "reopen": (
            r"\bre-?open",
            r"\breactivat",
            r"\bopen (?:it|this|that) again",
            r"\b(?:is|are|came|come) back\b|\breturned\b",
            r"\bnot (?:really )?fixed\b",
            # Of what has ended.
            r"\b(?:again|anew|still|once more)\b",
        ),
        "split": (
            _doing("split", "splitt", "divide", "decompose", "carve"),
            r"\bbreak(?:ing)?\b[^\n]{0,80}?\b(?:down|up|apart)\b|\bbroken (?:down|up|apart)\b",
            r"\b(?:cut|slice|chop|separate|turn)d?\b[^\n]{0,80}?"
            r"\binto (?:\w+ )?(?:pieces|parts|stories|features|steps|items)",
        ),
        "merge": (
            _doing("combine", "consolidate", "fold", "join", "unify", "unite"),
            # What is merged already is a branch, not an item.
            rf"\bmerge\b|{_CLAUSE}merging\b|\broll\b[^\n]{{0,80}}?\binto\b",
            r"\bare (?:really |basically |actually |both )?the same\b",
        ),
        "duplicate": (
            r"\bduplicates?\b|\bdupe?\b|\bsame (?:as|thing|issue|problem|bug)\b",
            r"\b(?:reported|filed|raised) (?:before|already|earlier)\b",
            r"\balready (?:reported|filed|there|have|tracked)\b|\b(?:covered|tracked) (?:by|in)\b",
            r"\b(?:is|isn't) (?:this|that|it) (?:just|not|the)\b",
            r"\bthere(?:'s| is) (?:already )?an? (?:ticket|issue|item)\b",
        ),
        "close": (
            _doing("close", "cancel", "cancell", "abandon", "discard", "scrap", "resolve"),
            r"\bobsolete\b|\bforget (?:about|it)\b|\bdrop (?:it|this|that)\b",
            r"\bwo(?:n't| not) (?:do|fix)\b",
            r"\bmark(?:ed)? (?:it |this )?(?:as )?(?:done|complete)",
            r"\bno longer (?:an issue|applies|necessary|needed|needs?|planned|relevant|valid|wants?|wanted)\b",
            r"\b(?:do not|don't) (?:need|want)\b[^\n]{0,80}?\bany ?(?:more|longer)\b",
            r"\b(?:we|i|they)(?:'ve| have)? (?:just |finally )?(?:shipped|released|deployed|finished|completed)\b",
            # Not what is to be, or what something else waits for.
            r"^(?:(?!\b(?:until|once|after|when|if|should|must|not)\b|n't)[^\n.]){0,200}\b(?:is|are|was|were|been) "
            r"(?:now |already |finally )?(?:done|shipped|released|deployed|live|finished|completed?)\b",
        ),
        "update": (
            _doing(
                "update",
                "change",
                "extend",
                "revise",
                "amend",
                "reword",
                "rename",
                "retitle",
                "lower",
                "raise",
            ),
            _doing("assign", "reassign", "postpone", "defer", "deferr", "move", "bump"),
            r"\bset\b|\bpush(?:ing)?\b(?=[^\n]{0,100}\bto (?:the )?(?:next|a later|q[1-4]))",
        ),
    }.items()
)


# What takes back what was said.
TAKEN_BACK = re.compile(
    r"\b(?:makes? no sense|bad idea|leave (?:it|them|both)|rather not|not a good)\b", re.I
)


def negated(text: str, at: int) -> bool:
    """Return whether what is said at a position of a text is not to be done, or is not so."""
    return bool(re.search(rf"{NOT}\s(?:\w+\s){{0,2}}$", text[max(0, at - 30) : at], re.I))
