"""Asking a language model behind an OpenAI-compatible endpoint: one question, its answer, its cost.

Belongs here: the call, its limits, tokens and cost. Does not belong here: what is asked, and what
the answer is worth (whoever asks); budgets and circuit breakers (whoever asks, around it).
"""

from typing import Any

from qflow_dagster.errors import QflowError
from qflow_dagster.safety.redaction import redact_text
from qflow_dagster.safety.storable import storable_text
from qflow_dagster.settings import settings


def configured() -> bool:
    """Whether there is a model to ask."""
    return bool(settings().model.url and settings().model.name)


def ask(instructions: str, question: str) -> tuple[str, dict[str, Any]]:
    """The model's answer, and its usage: input_tokens, output_tokens, cost.

    Raises:
        QflowError: the endpoint failed.
    """
    # Half a second; most machines have no model.
    import openai

    model = settings().model
    client = openai.OpenAI(
        base_url=model.url,
        api_key=model.key.get_secret_value() if model.key else "none",
        timeout=model.timeout,
        max_retries=1,
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
    words = answer.choices[0].message.content if answer.choices else ""
    return storable_text(words or ""), usage
