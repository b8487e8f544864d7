"""Requests to a language model with an OpenAI-compatible endpoint: question, answer, cost.

Belongs here: the call, its limits, tokens and cost. Does not belong here: prompts, evaluation
of answers, budgets and circuit breakers (all by the caller).
"""

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import BaseModel, Field, ValidationError

from qflow_dagster.errors import QflowError
from qflow_dagster.infrastructure.outgoing import LOOPBACK
from qflow_dagster.safety.redaction import redact_text
from qflow_dagster.safety.storable import read_json, storable_text
from qflow_dagster.settings import settings

# Headers of a request; all others are removed.
SENT = frozenset(
    {"accept", "accept-encoding", "connection", "content-length", "content-type", "host", "user-agent"}
)

_Tokens = Annotated[int, Field(ge=0, le=1_000_000_000)]


class _Message(BaseModel):
    content: str | None = None


class _Choice(BaseModel):
    message: _Message


class _Usage(BaseModel):
    prompt_tokens: _Tokens = 0
    completion_tokens: _Tokens = 0


class _Completion(BaseModel):
    """What is read of an answer."""

    choices: Sequence[_Choice] | None = None
    usage: _Usage | None = None


def configured() -> bool:
    """Return whether a model is configured."""
    return bool(settings().model.url and settings().model.name)


def complete(instructions: str, question: str) -> tuple[str, dict[str, Any]]:
    """Return the model's answer, and its usage: input_tokens, output_tokens, cost.

    Raises:
        QflowError: The endpoint failed, or answered with something else than a chat completion.
    """
    # Imported late: it takes half a second, and most machines have no model.
    import httpx2
    import openai

    model = settings().model
    key = model.key.get_secret_value() if model.key else "none"
    client = openai.OpenAI(
        base_url=model.url,
        api_key=key,
        timeout=model.timeout,
        max_retries=1,
        http_client=_http_client(key),
    )
    try:
        # Not by its method for chats, which does not check what it parses: a page of HTML would be a string.
        response = client.post(
            "/chat/completions",
            cast_to=httpx2.Response,
            body={
                "model": model.name or "",
                "max_tokens": model.tokens,
                "temperature": 0.0,
                "messages": [
                    {"role": "system", "content": instructions},
                    {"role": "user", "content": question},
                ],
            },
        )
    except openai.OpenAIError as error:
        raise QflowError(f"the model's endpoint failed: {redact_text(str(error))[:300]}") from None
    finally:
        client.close()
    answer = _read(response.content)
    used = answer.usage or _Usage()
    sent, received = used.prompt_tokens, used.completion_tokens
    cost = (sent * model.input_price + received * model.output_price) / 1_000_000
    usage = {"input_tokens": sent, "output_tokens": received, "cost": round(cost, 6)}
    content = answer.choices[0].message.content if answer.choices else ""
    return storable_text(content or ""), usage


def _read(body: bytes) -> _Completion:
    try:
        return _Completion.model_validate(read_json(body))
    except (ValueError, ValidationError):
        start = redact_text(" ".join(body[:80].decode("utf-8", "replace").split()))
        raise QflowError(
            f"the model's endpoint did not answer with a chat completion (JSON with `choices`): {start!r}; "
            "check QFLOW_MODEL_URL"
        ) from None


def _http_client(key: str) -> Any:
    """Return a client that sends only the question and the key, and only to the endpoint.

    By default it would use credentials of ``~/.netrc``, proxies, an organisation and further headers of
    the environment, send details of this machine, and follow redirects with the question.
    """
    import httpx2

    def only_ours(request: httpx2.Request) -> None:
        for name in set(request.headers) - SENT:
            del request.headers[name]
        request.headers["authorization"] = f"Bearer {key}"

    proxy = settings().outgoing.proxy
    host = httpx2.URL(settings().model.url or "").host
    return httpx2.Client(
        trust_env=False,
        follow_redirects=False,
        timeout=settings().model.timeout,
        verify=httpx2.create_ssl_context(),
        proxy=proxy.get_secret_value() if proxy and host not in LOOPBACK else None,
        event_hooks={"request": [only_ours]},
    )
