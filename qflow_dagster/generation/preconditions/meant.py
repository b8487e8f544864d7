"""The meaning of a condition on the position of a text, in languages where -1 is true and 0 is not."""

import re

# A position of these is looked at to see whether the text begins with them.
_PREFIX = re.compile(r"(?i)^(https?|ftp|file|www)|[:/]$")


def reason_for_beginning(sought: str, text: str, branch: str) -> str | None:
    """Return why a condition on the position of `sought` may ask whether `text` begins with it; None: it does not."""
    if re.search(rf"(?<![\w.]){re.escape(text)}\s*\+?=(?!=)", branch):
        return "the branch changes the text, perhaps because it does not begin with what is sought"
    split = re.search(rf"\bsplit\(\s*['\"`]{re.escape(sought)}['\"`]", branch) is not None
    if (len(sought) < 3 or not any(map(str.isalnum, sought))) and not split:
        return "it may ask whether the text does not begin with these characters"
    if _PREFIX.search(sought):
        return "it may ask whether the text does not begin with this"
    return None
