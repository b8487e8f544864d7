"""Requests to a language model with an OpenAI-compatible endpoint: question, answer, cost.

Belongs here: the call, its limits, tokens and cost. Does not belong here: prompts, evaluation
of answers, budgets and circuit breakers (all by the caller).
"""

from typing import Any

from qflow_dagster.errors import QflowError
from qflow_dagster.infrastructure.outgoing import LOOPBACK
from qflow_dagster.safety.redaction import redact_text
from qflow_dagster.safety.storable import storable_text
from qflow_dagster.settings import settings

# Headers of a request; all others are removed.
SENT = frozenset(
    {"accept", "accept-encoding", "connection", "content-length", "content-type", "host", "user-agent"}
)


def configured() -> bool:
    """Return whether a model is configured."""
    return bool(settings().model.url and settings().model.name)


def complete(instructions: str, question: str) -> tuple[str, dict[str, Any]]:
    """Return the model's answer, and its usage: input_tokens, output_tokens, cost.

    Raises:
        QflowError: The endpoint failed.
    """
    # Imported late: it takes half a second, and most machines have no model.
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
