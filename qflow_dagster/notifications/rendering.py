"""Events as texts: a template per kind, of which people may replace any.

A template is Jinja in a sandbox; its first line is the title, the rest the body. Does not belong here: the facts
(`events`), forms of chat services (`chat`).
"""

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import ChoiceLoader, FileSystemLoader, TemplateError, TemplateNotFound
from jinja2.sandbox import ImmutableSandboxedEnvironment

from qflow_dagster.notifications.events import Event
from qflow_dagster.safety import logs
from qflow_dagster.safety.display import visible, visible_line
from qflow_dagster.safety.redaction import cut, redact_text
from qflow_dagster.settings import settings

logger = logs.logger(__name__)

OWN = Path(__file__).with_name("templates")
MAX_TITLE, MAX_BODY = 300, 4_000


class Text(NamedTuple):
    """What people read, without secrets and without characters that hide others."""

    title: str
    body: str


def render(event: Event) -> Text:
    """Return the text of an event, by the template of its kind."""
    return render_template(event.kind, {**event.fields, "link": event.link, "severity": event.severity})


def render_template(name: str, fields: Mapping[str, Any]) -> Text:
    """Return the text of a template; of our own one, where a replaced one cannot be rendered."""
    replaced = settings().notifications.templates
    try:
        text = _environment(replaced).get_template(f"{name}.txt").render(fields)
    except TemplateError as error:
        if replaced is None or isinstance(error, TemplateNotFound):
            raise
        logger.error("the template %s in %s cannot be rendered: %s", name, replaced, error)
        text = _environment(None).get_template(f"{name}.txt").render(fields)
    title, _, body = text.strip().partition("\n")
    return Text(
        visible_line(redact_text(cut(title, MAX_TITLE))), visible(redact_text(cut(body.strip(), MAX_BODY)))
    )


@lru_cache(maxsize=4)
def _environment(replaced: Path | None) -> ImmutableSandboxedEnvironment:
    folders = [OWN] if replaced is None else [replaced, OWN]
    # Plain text: an endpoint that shows markup escapes it itself.
    return ImmutableSandboxedEnvironment(
        loader=ChoiceLoader([FileSystemLoader(folder) for folder in folders]), autoescape=False
    )
