"""Forms that pages send: their fields, and the check that a page of ours made them.

Does not belong here: what a form does.
"""

from urllib.parse import parse_qsl

from starlette.datastructures import ImmutableMultiDict
from starlette.requests import Request

from qflow_dagster.web.access import is_own_form

MAX_FORM_BYTES = 100_000
MAX_FIELDS = 1_000
NOT_OURS = "this form was not one of ours, or is too old: look again and decide then"


async def read_form(request: Request, about: str) -> ImmutableMultiDict[str, str] | None:
    """Return the fields of a urlencoded form; None if it is too large, or not of a page about `about` for the actor."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_FORM_BYTES:
            return None
    try:
        fields = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=MAX_FIELDS)
    except (UnicodeDecodeError, ValueError):
        return None
    form = ImmutableMultiDict(fields)
    return form if is_own_form(request.state.actor, about, form.get("csrf", "")) else None
