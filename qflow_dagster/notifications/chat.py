"""Addresses of chat services: which service an address belongs to, and the form its messages have.

Slack's incoming webhooks get blocks, with buttons for a decision where Slack reports back; Teams, Discord and
Mattermost are left to Apprise, which knows their forms. Does not belong here: sending (`delivery`), receiving decisions
(`web.slack`).
"""

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from qflow_dagster.errors import UsageError

# Host -> (name, pattern of the path, the expected form).
SERVICES = (
    (
        r"hooks\.slack\.com",
        "Slack",
        r"/services/T\w+/B\w+/\w+",
        "https://hooks.slack.com/services/T.../B.../...",
    ),
    (
        r"(?:ptb\.|canary\.)?discord(?:app)?\.com",
        "Discord",
        r"/api/webhooks/\d+/[\w-]+",
        "https://discord.com/api/webhooks/NUMBER/TOKEN",
    ),
    (
        # Microsoft retired the connectors of webhook.office.com; workflows of Power Automate replace them.
        r"[\w.-]+\.(?:logic\.azure\.com|api\.powerplatform\.com|webhook\.office\.com)",
        "Teams",
        r"(?:/powerautomate/automations/direct(?:/cu/\d+)?)?/workflows/[\w-]+/triggers/manual/paths/invoke",
        "https://HOST/.../workflows/ID/triggers/manual/paths/invoke?..., of a workflow that posts to a channel",
    ),
)
MATTERMOST = re.compile(r"/hooks/[a-z0-9]{26}$")
# Characters of a text in Slack's blocks.
SLACK_TITLE, SLACK_BODY = 150, 2_900


def chat_service(address: str) -> str | None:
    """Return the chat service that an https address belongs to; None for any other address.

    Raises:
        UsageError: It is an address of the service that it would not accept; the message has the expected form.
    """
    parts = urlsplit(address)
    host = (parts.hostname or "").lower()
    for hosts, name, path, form in SERVICES:
        if re.fullmatch(hosts, host):
            if parts.scheme != "https" or not re.fullmatch(path, parts.path.rstrip("/")):
                raise UsageError(f"this is no address of a webhook of {name}; expected {form}")
            return name
    if parts.scheme in ("http", "https") and MATTERMOST.search(parts.path):
        return "Mattermost"
    return None


def apprise_address(address: str, service: str) -> str:
    """Return the address in Apprise's form; it reads those of Discord and Teams as they are."""
    if service != "Mattermost":
        return address
    parts = urlsplit(address)
    scheme = "mmosts" if parts.scheme == "https" else "mmost"
    folder, _, token = parts.path.rpartition("/hooks/")
    return f"{scheme}://{parts.netloc}{folder}/{token}"


def slack_message(title: str, body: str, link: str | None, decision: Mapping[str, Any] | None) -> bytes:
    """Return a message for an incoming webhook of Slack.

    `decision`: the approval's id and digest, if it can be decided there; the buttons carry both, so that what is
    decided is what was shown.
    """
    blocks: list[dict[str, Any]] = [
        {"type": "header", "text": {"type": "plain_text", "text": title[:SLACK_TITLE], "emoji": False}}
    ]
    if body:
        # Plain text: nothing in it is read as markup, a mention or a link.
        blocks.append(
            {"type": "section", "text": {"type": "plain_text", "text": body[:SLACK_BODY], "emoji": False}}
        )
    buttons: list[dict[str, Any]] = []
    if decision is not None:
        value = f"{decision['id']} {decision['digest']}"
        for action, style in (("approve", "primary"), ("deny", "danger")):
            text = {"type": "plain_text", "text": action.capitalize()}
            buttons.append(
                {"type": "button", "action_id": action, "style": style, "text": text, "value": value}
            )
    if link:
        buttons.append(
            {
                "type": "button",
                "action_id": "open",
                "text": {"type": "plain_text", "text": "Open"},
                "url": link,
            }
        )
    if buttons:
        blocks.append({"type": "actions", "elements": buttons})
    return json.dumps({"text": title[:SLACK_BODY], "blocks": blocks}).encode()
