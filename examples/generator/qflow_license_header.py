"""Add the license header that the rule `team/license-header` asks for."""

import re
from collections.abc import Iterable

from qflow_dagster.evolution.rules import Rule
from qflow_dagster.generation.generators.protocol import Proposal, Request

HEADER = "# SPDX-License-Identifier: Apache-2.0\n"
# Python reads these two kinds of comment in the first two lines only (PEP 263).
_FIRST = re.compile(r"#!|#.*coding[:=]")


class LicenseHeader:
    """Propose the file with a header, below `#!` and encoding lines."""

    # Unique among all generators; it appears in commits and statistics.
    name = "license-header"
    # Called in a worker process, without secrets.
    isolated = True
    # A call costs nothing. A language model would state the price of a call.
    cost = 0.0

    def fits(self, rule: Rule, language: str) -> bool:
        """Return whether this generator can fix findings of the rule in that language."""
        return rule.id == "team/license-header" and language == "python"

    def generate(self, request: Request) -> Iterable[Proposal]:
        """Yield proposals for one file: the new content by path."""
        lines = request.text.splitlines(keepends=True)
        start = 0
        while start < min(2, len(lines)) and _FIRST.match(lines[start]):
            start += 1
        text = "".join([*lines[:start], HEADER, *lines[start:]])
        yield Proposal(contents={request.path: text}, note="adds the SPDX header")
