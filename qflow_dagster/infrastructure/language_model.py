"""Asking a language model behind an OpenAI-compatible endpoint: one question, its answer, its cost.

Belongs here: the call, its limits, tokens and cost. Does not belong here: what is asked, and what
the answer is worth (whoever asks); budgets and circuit breakers (whoever asks, around it).
"""

from typing import Any

from qflow_dagster.errors import QflowError
from qflow_dagster.infrastructure.outgoing import LOOPBACK
from qflow_dagster.safety.redaction import redact_text
from qflow_dagster.safety.storable import storable_text
from qflow_dagster.settings import settings

# Headers of a question; all others are left out.
SENT = frozenset(
    {"accept", "accept-encoding", "connection", "content-length", "content-type", "host", "user-agent"}
)


def configured() -> bool:
    """Return whether there is a model to ask."""
    return bool(settings().model.url and settings().model.name)


def complete(instructions: str, question: str) -> tuple[str, dict[str, Any]]:
    """Return the model's answer, and its usage: input_tokens, output_tokens, cost.

    Raises:
        QflowError: the endpoint failed.
    """
    # Half a second; most machines have no model.
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
        answer = client.chat.completions.create(
            model=model.name or "",
            max_tokens=model.tokens,
            temperature=0.0,
            messages=[
                {"role": "system", "content": instructions},
                {"role": "user", "content": question},
            ],
        )
    except openai.OpenAIError as error:
        raise QflowError(f"the model's endpoint failed: {redact_text(str(error))[:300]}") from None
    finally:
        client.close()
    used = answer.usage
    sent, received = (used.prompt_tokens, used.completion_tokens) if used else (0, 0)
    cost = (sent * model.input_price + received * model.output_price) / 1_000_000
    usage = {"input_tokens": sent, "output_tokens": received, "cost": round(cost, 6)}
    content = answer.choices[0].message.content if answer.choices else ""
    return storable_text(content or ""), usage


def _http_client(key: str) -> Any:
    """Return a client that sends the question and the key, to the endpoint alone.

    By itself it would take credentials from ``~/.netrc``, proxies, an organisation and further headers
    from the environment, say what machine this is, and carry the question to wherever it is redirected.
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
