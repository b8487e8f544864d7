"""Names of queues.

Belongs here: what a queue may be called, and the queues of the core itself. Does not
belong here: sending and reading (`messaging`).
"""

import re

from qflow_dagster.errors import UsageError

# A queue is also the channel of its NOTIFY, and PostgreSQL's identifiers hold 63 bytes.
QUEUE_NAME_LIMIT = 63
_QUEUE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")


def check_queue(name: str) -> None:
    """Refuse what cannot be the name of a queue.

    Raises:
        UsageError: the name is empty, too long or has other characters.
    """
    if not isinstance(name, str):
        raise UsageError(f"the name of a queue is a text, not {type(name).__name__}")
    if not _QUEUE_NAME.fullmatch(name) or len(name) > QUEUE_NAME_LIMIT:
        raise UsageError(
            f"{name[:80]!r} cannot name a queue: 1 to {QUEUE_NAME_LIMIT} of the characters "
            "A-Z a-z 0-9 _ . -, the first a letter or _"
        )
