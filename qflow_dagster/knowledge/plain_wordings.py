"""Plainer wordings of a question, for which there are patterns: without words that add nothing, in another order.

Does not belong here: the patterns (`question_patterns`), trying them (`questions`).
"""

import re

# Words that add nothing to a question, and beginnings that ask for an answer.
FILLERS = re.compile(
    r"\b(?:exactly|actually|currently|still|usually|typically|normally|often|really|please|just|anywhere|somewhere|"
    r"precisely|again|by name)\b ?|,? and (?:by whom|who did it|when|why)$",
    re.IGNORECASE,
)
LEADS = re.compile(
    r"^(?:(?:please|hey|hi),? |(?:can|could|would|will) you (?:please )?|(?:please )?(?:tell|show|give|explain to) me |"
    r"(?:i|we) (?:want|need|would like) to (?:know|see|find out) |do you know |find out |"
    r"(?:show|list|print|give|display|get|find|name)(?: me)? ){1,3}(?:all )?(?:of )?(?:the )?",
    re.IGNORECASE,
)
# What asks for the noun phrase that follows.
ASKS_FOR = re.compile(
    r"^(?:what|which|who|where) (?:is|are|was|were) (?:all )?(?:the )?(?=[\w ]{3,40} (?:of|for|in|to|"
    r"on|from|between) )",
    re.IGNORECASE,
)
# "where X is defined", as it stands after "tell me".
INDIRECT = re.compile(r"^(where|when|how|why|by whom) (\S+) (is|are|was|were) (.+)$", re.IGNORECASE)
# "where's", "whats", "who'd".
CONTRACTED = re.compile(r"^(what|where|who|when|why|how)['\u2019]?(s|re|d) ", re.IGNORECASE)
CONTRACTIONS = {"s": "is", "re": "are", "d": "would"}
# What is written in another order, or short, and the question that it stands for.
_NOUNS = (
    r"callers|callees|usages?|users|tests?|owners?|authors?|maintainers?|history|subclasses|implementations|methods|"
    r"members|fields|functions|base class(?:es)?|parent class(?:es)?|superclass(?:es)?|exceptions|errors|imports|"
    r"dependencies|dependents|importers|signature|docs|documentation|parameters|arguments|args|findings|issues|problems|"
    r"duplicates|copies|clones|definition|location|default|co-?changes|purpose"
)
_NO_NAMES = (
    "which|what|whose|the|a|an|this|our|my|its|unused|dead|public|private|external|other|good|more|unit|failing|main|top|"
    "open|third-party"
)
REWORDED = tuple(
    (re.compile(pattern, re.IGNORECASE), question)
    for pattern, question in (
        (r"^(?:all|any) (?:of )?(?:the )?", ""),
        (r"^(who|where|how|what) to (?=\w)", r"\1 should I "),
        (rf"^(?!(?:{_NO_NAMES}) )(\S+?)(?:'s)?:? ({_NOUNS})$", r"\2 of \1"),
        (r"^default of ", "what is the default of "),
        (r"^(?:which|what) (functions?|files?) are (?:the )?(most \w+|largest|biggest|longest)$", r"\2 \1"),
        (
            r"^(\S+) (defined|declared|used|called|raised|thrown|read|tested|imported) where$",
            r"where is \1 \2",
        ),
        (r"^(\S+) (removed|deleted|added|introduced|changed) when$", r"when was \1 \2"),
        (r"^(\S+) (call|inherit|import|raise|depend)s?( from| on)? what$", r"what does \1 \2\3"),
        (r"^(\S+) (?:vs\.?|and|versus) (\S+): how related$", r"how are \1 and \2 related"),
        (r"^(\S+): ((?:what|where|who|when|how|why) .*)\bit\b", r"\2\1"),
        (r"^(?:run|execute) (?:the )?tests how$", "how do I run the tests"),
    )
)
