"""Why a push was refused: the reason git reports, and what the remote itself said.

Belongs here: reading the output of `git push --porcelain`, and what to do next. Does not belong here: pushing
(``remotes``).

The remote chooses its text, so it is shown verbatim but for characters that hide or move text, and secrets.
"""

import re

from qflow_dagster.ingestion.git import GitError
from qflow_dagster.safety.display import visible_line
from qflow_dagster.safety.redaction import redact_text

# Lines of the remote that are shown, and characters of each.
MAX_LINES, MAX_LENGTH = 30, 500
_STATUS = re.compile(r"^!\t[^\t]*\t\[(?P<side>remote )?rejected\] \((?P<reason>.*)\)$", re.M)
_REMOTE = re.compile(r"^remote: ?(?P<text>.*)$", re.M)
# Git pads each line, and on a terminal erases its rest.
_ERASE = "\x1b[K"
# Words of git and of forges; the first pattern that matches decides the kind.
_KINDS = (
    (
        re.compile(r"protected", re.I),
        "it is protected there",
        "Push a branch with another name (QFLOW_IMPROVEMENT_BRANCH_PREFIX), or have its protection changed.",
    ),
    (
        re.compile(r"hook declined|hook rejected", re.I),
        "a hook of the remote rejected it",
        "Change what the hook objects to (the branch's name: QFLOW_IMPROVEMENT_BRANCH_PREFIX; author, sign-off and "
        "signature: QFLOW_IMPROVEMENT_AUTHOR, _SIGN_OFF, _SIGNATURE), then push again.",
    ),
    (
        re.compile(
            r"fast-forward|fetch first|stale info|needs force|already exists|incorrect old value", re.I
        ),
        "the branch has moved there: it has commits that are not ours",
        "Look at the remote's branch; to keep it, close the edit (qflow edits close); else delete it there and push "
        "again.",
    ),
    (
        re.compile(r"checked out", re.I),
        "a work tree there has it checked out",
        "Check out another branch there, then push again.",
    ),
)
_OTHER = ("the remote rejected it", "Resolve what the remote reports, then push again.")


class PushRefusedError(GitError):
    """A remote refused a branch; the message holds the kind, what the remote said, and what to do."""


def refusal(url: str, branch: str, report: str, stderr: str) -> PushRefusedError | None:
    """Return the error for a refused branch, or None if the push failed for another reason (no connection).

    Args:
        url: what was pushed to.
        branch: the branch that was pushed.
        report: the output of `git push --porcelain`.
        stderr: its messages, those of the remote among them.
    """
    status = _STATUS.search(report)
    if status is None:
        return None
    said = [line["text"].replace(_ERASE, "").rstrip(" ") for line in _REMOTE.finditer(stderr)]
    # The reason that git reports decides; where that is general, the remote's text does.
    texts = (status["reason"], " ".join(said))
    what, remedy = next(
        ((what, remedy) for pattern, what, remedy in _KINDS if any(map(pattern.search, texts))), _OTHER
    )
    lines = [f"{url} refused {branch}: {what} ({status['reason']})"]
    lines += [f"remote: {text}" for text in said[:MAX_LINES]]
    if len(said) > MAX_LINES:
        lines.append(f"({len(said) - MAX_LINES} more lines of the remote are not shown)")
    shown = [visible_line(redact_text(line), MAX_LENGTH) for line in lines]
    return PushRefusedError("\n".join([*shown, remedy]))
