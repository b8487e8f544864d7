"""Receivers of calls: what stands before the name that is called.

Does not belong here: the types of receivers (``declared_types``), what they refer to (``call_targets`` of
``knowledge``), recursion (``recursion``).
"""

import re

# The receiver that is an expression without a name: a literal, the element of a list.
EXPRESSION = b"()"
MAX_RECEIVER = 100
LOOK_BACK = 200
SEPARATORS = (b".", b"::")
# In other languages an arrow stands before the body of a lambda or branch.
ARROWS = (*SEPARATORS, b"->")
_SEPARATORS_OF = {"c": ARROWS, "cpp": ARROWS, "php": (*ARROWS, b"\\")}
# What may stand before a separator: `a?.b`, `a!!.b`, `a&.b`.
_CONDITIONS = b"?!&"
# Languages in which `@` is not a part of a name.
DECORATED = frozenset({"python", "java", "kotlin", "typescript", "tsx"})
LETTERS = bytes(byte for byte in range(256) if chr(byte).isalnum() or byte >= 128) + b"_$@"
# Last bytes of separators.
_ENDS = frozenset(b".>:\\")
_SPACE = frozenset(b" \t\n\r")
# An argument list without parentheses inside.
_ARGUMENTS = re.compile(rb"\([^()]*+\)$")


def receiver(grammar: str, source: bytes, start: int) -> bytes:
    """Return what the call of the name at `start` is made on: a path with dots, `f()` for what a call returns.

    b'' if only the name is written, EXPRESSION if it is anything else.
    """
    before = source[start - 1] if start else 0
    if before not in _ENDS and before not in _SPACE:
        return b""
    text = source[max(start - LOOK_BACK, 0) : start].rstrip()
    if text.endswith(b".."):  # A range, or elements of a list.
        return b""
    separators = _SEPARATORS_OF.get(grammar, SEPARATORS)
    parts: list[bytes] = []
    while text.endswith(separators):
        scope = text.endswith((b"::", b"\\"))
        text = text[: -1 if text.endswith((b".", b"\\")) else -2].rstrip(_CONDITIONS).rstrip()
        called = b""
        if text.endswith(b")") and not parts:
            arguments = _ARGUMENTS.search(text)
            if arguments is None:
                return EXPRESSION
            text, called = text[: arguments.start()], b"()"
        rest = text.rstrip(LETTERS)
        part = text[len(rest) :]
        if not part:
            if scope:
                break
            return EXPRESSION
        # Before a decorator.
        parts.append((part.lstrip(b"@") if grammar in DECORATED else part) + called)
        text = rest
    return b".".join(reversed(parts))[:MAX_RECEIVER]
