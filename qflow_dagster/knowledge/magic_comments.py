"""What comments tell to tools instead of people: encodings, linters, type checkers, build tags, licences.

Belongs here: leaving these out of the words of a comment. Does not belong here: which comment documents
what (`entries`).
"""

import re

_NAMES = r"[@\w./-]{1,60}(?:, ?[@\w./-]{1,60}){0,20}"
# Rules of linters have a slash or a hyphen in their names; words that follow have not.
_RULES = r"(?: @?\w{0,30}[-/][\w/-]{1,60}(?:, ?[@\w/-]{1,60}){0,20})?"
_MAGIC = re.compile(
    r"-\*-[^*]{1,100}-\*-|(?<!=)={3,200}-{3,200}={3,200}(?://)?"
    r"|\b(?:frozen[-_]string[-_]literal|warn_indent|warn_past_scope|shareable_constant_value): ?\w{1,30}"
    r"|\beslint-(?:disable|enable)(?:-next-line|-line)?"
    + _RULES
    + r"|@ts-(?:no)?check\b|@ts-(?:ignore|expect-error)\b"
    r"|\b(?:prettier|biome)-ignore\b|\b(?:istanbul|c8|v8) ignore \w{1,20}"
    r"|\bIWYU pragma: \w{1,30}(?:,? (?:include )?[\"<][^\">]{1,200}[\">])?|#?\bpragma:? (?:no (?:cover|branch)|once)\b"
    r"|\btype: ignore(?:\[[^\]]{0,100}\])?|\bnoqa\b(?:: ?[A-Z]{1,5}\d{1,5}(?:, ?[A-Z]{1,5}\d{1,5}){0,20})?"
    r"|\bpylint: ?(?:disable|enable)(?:-next)?=" + _NAMES + r"|\b(?:mypy|pyright): [\w-]{1,60}(?:=\w{1,30})?"
    r"|\b(?:fmt|isort|black|yapf): ?(?:on|off|skip\w{0,10}|disable|enable)\b"
    r"|\brubocop: ?(?:disable|enable|todo) " + _NAMES + r"|\bswiftlint:(?:disable|enable)[\w:]{0,20} \w{1,60}"
    r"|\bswift-tools-version: ?[\d.]{1,20}|@phpstan-ignore[\w-]{0,30}|\bphpcs:\w{1,20}"
    r"|\bNOLINT\w{0,20}\b(?:\([^)]{0,200}\))?|(?<!\S):(?:no|start|stop)?doc:(?: all\b)?"
    r"|\bgo:(?:build|generate) [!(]{0,9}[\w.]{1,60}\){0,9}(?: (?:&&|\|\|) [!(]{0,9}[\w.]{1,60}\){0,9}){0,40}"
    r"|\bnolint\b(?::[\w,-]{1,100})?"
)
# What stands at the beginning alone, after the marks of comments.
_FIRST = re.compile(
    r"[\s=;*/-]{0,200}(?:/(?:usr/)?(?:local/)?bin/(?:env )?\S{1,60}(?: -\S{1,40})?"
    r"|(?:en)?coding ?[:=] ?[\w.-]{1,30}|(?:vim?|ex): ?\S{1,200}"
    r"|SPDX-[\w-]{1,60}: ?\S{1,60}|@(?:no)?flow(?: strict)?\b|jshint \S{1,200})"
)
# The beginning of a notice that is in no paragraph of its own.
_LICENCE = re.compile(
    r"[\s=;*/-]{0,200}(?:This source file is part of|Copyright\b|\(c\) |Licensed (?:to|under) )",
    re.IGNORECASE,
)
_ENDS = re.compile(
    r"limitations under the License\.?|DEALINGS IN THE SOFTWARE\.?|SPDX-License-Identifier: ?\S{1,60}"
    r"|can be found in the LICENSE file\.?|view the LICENSE file[^.]{0,120}\.|all rights reserved\.?",
    re.IGNORECASE,
)


def without(words: str) -> str:
    """Return the words of comments without those for tools, and without a licence at their beginning."""
    left = _MAGIC.sub(" ", words)
    while begins := _FIRST.match(left) or _LICENCE.match(left):
        ends = [end.end() for end in _ENDS.finditer(left[:4_000])]
        licence = begins.re is _LICENCE
        # A licence without its usual end may be all there is.
        left = left[(ends[-1] if ends else len(left)) if licence else begins.end() :]
    if left == words:
        return words.strip()
    left = " ".join(left.split()).lstrip("#*/; ")
    # Marks alone are nothing that was left.
    return left if re.search(r"\w{2}", left) else ""
