"""The words by which a request says what it wants of an item: to reopen, split, merge, close or update it; or asks.

Belongs here: patterns, and whether a match is negated. Does not belong here: which item is meant, and whether the match
is about it (`classifier`).
"""

import re

_OF_IT = r"(?:it|this|that|the (?:ticket|item|issue|story|feature|epic))"
_ENDED = r"(?:shipped|released|deployed|finished|completed|landed|delivered|implemented|rolled out)"
_NOT_YET = r"(?!\b(?:until|once|after|when|if|should|must|not)\b|n't)"
_COUNT = r"(?:two|three|four|five|several|separate|smaller|2|3|4|5)"
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
            # One that is to be several, or is.
            rf"\b(?:are|is|hides?|has|have|holds?|contains?|mix(?:es)?|covers?) (?:really |actually |in fact )?{_COUNT}"
            r" (?:\w+ )?(?:jobs|things|topics|items|features|stories|tickets|problems|parts|pieces|epics)\b",
            r"\b(?:plan|track|do|ship|release|estimate|handle)\b[^.\n]{0,40}?"
            r"\b(?:separately|independently|one by one)\b",
            rf"\b(?:becomes?|(?:should|must|could|to|better) be|make (?:it|this|that|of (?:it|this|that)))"
            rf" {_COUNT}\b(?! (?:days?|weeks?|hours?|months?|points?|times?)\b)",
        ),
        "merge": (
            _doing("combine", "consolidate", "fold", "join", "unify", "unite"),
            # What is merged already is a branch, not an item.
            rf"\bmerge\b|{_CLAUSE}merging\b|\broll\b[^\n]{{0,80}}?\binto\b",
            r"\bare (?:really |basically |actually |both )?the same\b",
            # Several that are to be one, or are.
            r"\b(?:are|is|seem|look) (?:\w+ )?(?:identical|redundant)\b|\boverlap\w*\b",
            r"\b(?:put|do|take|handle|treat|plan)\b[^\n]{0,120}?\btogether\b",
            r"\b(?:make|made|into|as|become|is|are) (?:a single|one) (?:\w+ )?"
            r"(?:ticket|item|story|issue|feature|task|card)\b",
        ),
        "duplicate": (
            # Somebody joins in.
            r"\b(?:we|i)\b[^.\n]{0,20}\b(?:this|that|it|the same)\b[^.\n]{0,12}\b(?:too|as well|also)\b",
            r"(?:^|\s)\+1\b|\bme too\b|\bsame here\b|\b(?:also|too) (?:affected|hit|seeing|seen|see)\b",
            r"\bduplicates?\b|\bdupe?\b|\bsame (?:as|thing|issue|problem|bug)\b",
            r"\b(?:reported|filed|raised) (?:before|already|earlier)\b",
            r"\balready (?:reported|filed|there|have|tracked)\b|\b(?:covered|tracked) (?:by|in)\b",
            r"\b(?:is|isn't) (?:this|that|it) (?:just|not|the)\b",
            r"\bthere(?:'s| is) (?:already )?an? (?:ticket|issue|item)\b",
        ),
        "close": (
            _doing("close", "cancel", "cancell", "abandon", "discard", "scrap", "resolve"),
            r"\b(?:obsolete|superfluous|superseded|pointless|moot|unnecessary|redundant|irrelevant)\b",
            r"\bforget about\b",
            rf"\b(?:forget|drop|kill|bin|ditch|axe|remove|delete|withdraw|shelve|skip|stop) {_OF_IT}\b",
            r"\b(?:no|not (?:much|any)|little) (?:point|use|sense|value|need|reason) (?:in|for|of|to)\b|\bnot worth\b",
            r"\b(?:nothing|no work) (?:is |are )?(?:left|remains|to do|more to do)\b",
            r"\bwo(?:n't| not) (?:do|fix)\b",
            r"\bmark(?:ed)? (?:it |this )?(?:as )?(?:done|complete)",
            r"\bno longer (?:an issue|applies|necessary|needed|needs?|planned|relevant|valid|wants?|wanted)\b",
            # Nobody needs it, or it was decided so.
            r"\b(?:do not|don't|does not|doesn't|nobody|no one)\b[^.\n]{0,40}?\b(?:need|want|use|miss)s?\b"
            r"[^\n]{0,80}?\bany ?(?:more|longer)\b",
            r"\b(?:decided|voted|decide|are|am|is) against\b|\b(?:give|gave|given|giving) up on\b",
            r"\b(?:we|i|they)(?:'ve| have)? (?:just |finally )?"
            rf"{_ENDED}\b",
            # Not what is to be, or what something else waits for.
            rf"^(?:{_NOT_YET}[^\n.]){{0,200}}\b(?:is|are|was|were|been) "
            rf"(?:now |already |finally )?(?:done|live|complete|in production|{_ENDED})\b",
            # After a title or a colon: "shipped", "landed in #12".
            rf"^(?:{_NOT_YET}[^.!?\n]){{0,120}}(?::|\bhas|\bjust|\bfinally)? {_ENDED}"
            r"(?: (?:in|with|on|by|last|yesterday|today)\b|[.! ]*$)",
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


# How somebody asks for the state of things.
STATUS_QUESTION = re.compile(
    r"^\W{0,3}(?:(?:is|are|was|were|did|does|do|has|have|when|why|who|where|what|how|which|"
    r"any (?:news|updates?|eta|progress))\b)(?! (?:this|that|it) (?:just|not|the)\b)|"
    r"^\W{0,3}any (?:reason|idea|plans?|chance)\b|"
    r"^\W{0,3}(?:can|could|shall) we (?:talk|discuss|meet|chat)\b",
    re.I,
)
# What somebody wants to know, whether or not it is a question.
WONDERS = re.compile(
    r"\b(?:some(?:body|one)|any(?:body|one)|you) (?:explain|tell (?:me|us)|clarify|remind (?:me|us)|know)\b|"
    r"\b(?:i|we)(?:'m| am| are|'re| have| do|)? ?(?:not |n't |no )(?:\w+ )?"
    r"(?:sure|know|idea|remember|understand|certain)\b"
    r"[^.\n]{0,20}\b(?:what|whether|if|why|how|when|who|which)\b|\b(?:i|we)(?:'m| am| are|'re)? wonder(?:ing)?\b",
    re.I,
)
# Asked of somebody, it is a request.
REQUEST = re.compile(
    r"\b(?:(?:can|could|will|would) (?:you|somebody|someone)|(?:can|could) (?:we|i) (?:get|have)|please|pls)\b",
    re.I,
)
# What a question wishes for.
WISHED = re.compile(
    r"\b(?:possible|option|way|able|support|please|should|shall|may|would|could|can|isn't|aren't|doesn't|don't)\b",
    re.I,
)
WISH = re.compile(r"\b(?:can|could|should|shall|may|please|would)\b", re.I)
# "Isn't this covered by ...?" says that it is.
_RHETORICAL = re.compile(
    r"(?:^|[.!?\n]\s{0,3})(?:is|are|was|were|do|does|did|has|have)n't\b[^.!?\n]{0,200}$", re.I
)


def negated(text: str, at: int) -> bool:
    """Return whether what is said at a position of a text is not to be done, or is not so."""
    if _RHETORICAL.search(text[:at]) and re.match(r"[^.!\n]*\?", text[at:]):
        return False
    return bool(re.search(rf"{NOT}\s(?:\w+\s){{0,2}}$", text[max(0, at - 30) : at], re.I))
