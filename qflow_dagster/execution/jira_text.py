"""The text of a Jira description: of an Atlassian document (Jira Cloud), or of wiki markup (Jira Data Center).

Belongs here: turning both into text whose lists, checkboxes and code blocks `text_fields` knows.
"""

import re
from typing import Any

_BLOCKS = ("paragraph", "heading", "hardBreak", "tableRow", "blockquote", "panel")
_IS_WIKI = re.compile(r"^h[1-6]\.\s|\{(?:code|noformat)(?::[^{}\n]{0,60})?\}", re.M)
# Numbered lists come first, because a heading of Markdown begins as they do.
_WIKI = (
    (re.compile(r"^#{1,3}\s+", re.M), "1. "),
    (re.compile(r"^\*{1,3}\s+", re.M), "- "),
    (re.compile(r"^h[1-6]\.\s+", re.M), "## "),
    (re.compile(r"\{(?:code|noformat)(?::[^{}\n]{0,60})?\}"), "\n```\n"),
)


def prose(value: Any) -> str:
    """Return the text of a description: wiki markup as it is, a document with its lists and code as in Markdown."""
    if isinstance(value, str):
        return value
    if not isinstance(value, dict):
        return ""
    given = value.get("attrs")
    attributes: dict[str, Any] = given if isinstance(given, dict) else {}
    content = value.get("content")
    inner = "".join(map(prose, content)) if isinstance(content, list) else ""
    kind = value.get("type")
    if kind == "text":
        return str(value.get("text") or "")
    if kind in ("mention", "emoji", "status"):
        return str(attributes.get("text") or attributes.get("shortName") or "")
    if kind in ("inlineCard", "blockCard"):
        return str(attributes.get("url") or "")
    if kind == "codeBlock":
        return f"```\n{inner}\n```\n"
    if kind == "listItem":
        return f"- {inner.strip()}\n"
    if kind in ("taskItem", "blockTaskItem"):
        return f"- [{'x' if attributes.get('state') == 'DONE' else ' '}] {inner.strip()}\n"
    return f"{inner}\n" if kind in _BLOCKS else inner


def without_wiki_markup(text: str) -> str:
    """Return wiki markup with headings, lists and code blocks as in Markdown; Markdown stays as it is."""
    if _IS_WIKI.search(text) is None:
        return text
    for pattern, markdown in _WIKI:
        text = pattern.sub(markdown, text)
    return text
