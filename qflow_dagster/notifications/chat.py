"""Addresses of chat services: which service an address belongs to, and the form its messages have.

Slack's incoming webhooks get blocks, with buttons for a decision where Slack reports back; the others are left to
Apprise, which knows their forms. Does not belong here: sending (`delivery`), receiving decisions
(`web.slack`).
"""

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from qflow_dagster.errors import UsageError

# Host, name, pattern of the path (None: no https address can be given), the expected form.
SERVICES: tuple[tuple[str, str, str | None, str], ...] = (
    (
        r"hooks\.slack(?:-gov)?\.com",
        "Slack",
        r"/services/T\w+/B\w+/\w+",
        "https://hooks.slack.com/services/T.../B.../...",
    ),
    (
        r"(?:ptb\.|canary\.)?discord(?:app)?\.com",
        "Discord",
        r"/api/(?:v\d+/)?webhooks/\d+/[\w-]+",
        "https://discord.com/api/webhooks/NUMBER/TOKEN",
    ),
    (
        # Microsoft retired the connectors of webhook.office.com; workflows of Power Automate replace them.
        r"[\w.-]+\.(?:logic\.azure\.com|api\.powerplatform\.com|webhook\.office\.com)|outlook\.office(?:365)?\.com",
        "Teams",
        r"(?:/powerautomate/automations/direct(?:/cu/\d+)?)?/workflows/[\w-]+/triggers/manual/paths/invoke",
        "https://HOST/.../workflows/ID/triggers/manual/paths/invoke?..., of a workflow that posts to a channel",
    ),
    (
        r"chat\.googleapis\.com",
        "Google Chat",
        r"/v1/spaces/[\w-]+/messages",
        "https://chat.googleapis.com/v1/spaces/SPACE/messages?key=...&token=...",
    ),
    (
        r"webexapis\.com|api\.ciscospark\.com",
        "Webex",
        r"/v1/webhooks/incoming/\w+",
        "https://webexapis.com/v1/webhooks/incoming/...",
    ),
    (
        r"open\.(?:larksuite\.com|feishu\.cn)",
        "Lark",
        r"/open-apis/bot/v2/hook/[\w-]+",
        "https://open.larksuite.com/open-apis/bot/v2/hook/...",
    ),
    (
        r"qyapi\.weixin\.qq\.com",
        "WeCom",
        r"/cgi-bin/webhook/send",
        "https://qyapi.weixin.qq.com/cgi-bin/webhook/send?key=...",
    ),
    (r"ntfy\.sh", "ntfy", r"/[\w-]+", "https://ntfy.sh/TOPIC"),
    (r"api\.telegram\.org", "Telegram", None, "tgram://BOT_TOKEN/CHAT_ID"),
    (r"events(?:\.eu)?\.pagerduty\.com", "PagerDuty", None, "pagerduty://INTEGRATION_KEY@API_KEY"),
    (r"api(?:\.eu)?\.opsgenie\.com", "Opsgenie", None, "opsgenie://API_KEY"),
    (r"api\.pushover\.net", "Pushover", None, "pover://USER_KEY@TOKEN"),
    (r"oapi\.dingtalk\.com", "DingTalk", None, "dingtalk://ACCESS_TOKEN"),
)
# What people host themselves is told by its path.
MATTERMOST = re.compile(r"/hooks/[a-z0-9]{26}$")
ROCKET_CHAT = re.compile(r"/hooks/[A-Za-z0-9]{17,24}/[A-Za-z0-9]{40,}$")
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
            if path is None or parts.scheme != "https" or not re.fullmatch(path, parts.path.rstrip("/")):
                raise UsageError(f"this is no address of a webhook of {name}; expected {form}")
            return name
    if parts.scheme in ("http", "https"):
        if MATTERMOST.search(parts.path):
            return "Mattermost"
        if ROCKET_CHAT.search(parts.path):
            return "Rocket.Chat"
    return None


def apprise_address(address: str, service: str) -> str:
    """Return the address in Apprise's form; it reads most as they are."""
    parts = urlsplit(address)
    secure = "s" if parts.scheme == "https" else ""
    folder, _, token = parts.path.rpartition("/hooks/")
    if service == "Mattermost":
        return f"mmost{secure}://{parts.netloc}{folder}/{token}"
    if service == "Rocket.Chat":
        return f"rocket{secure}://{token}@{parts.netloc}{folder}?mode=webhook"
    if service == "Lark" and (parts.hostname or "").endswith(".feishu.cn"):
        return f"feishu://{parts.path.rpartition('/')[2]}"
    # Apprise does not know the version of Discord's interface.
    return re.sub(r"/api/v\d+/", "/api/", address) if service == "Discord" else address


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
