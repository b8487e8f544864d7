"""Answers of a language model that must fit a schema: within the day's budget, through a circuit breaker.

Nothing here trusts an answer: the caller's gates decide about it as about any other author's. The text in a question is
data; what may contain secrets is not sent. Does not belong here: prompts (the callers).
"""

from typing import Any, Generic, NamedTuple, TypeVar

from pydantic import BaseModel, ValidationError
from sqlalchemy import Engine

from qflow_dagster.errors import QflowError
from qflow_dagster.infrastructure import language_model
from qflow_dagster.infrastructure.circuit_breaker import through_breaker
from qflow_dagster.safety.redaction import redact_text
from qflow_dagster.safety.storable import read_json
from qflow_dagster.settings import settings

Schema = TypeVar("Schema", bound=BaseModel)


class Answer(NamedTuple, Generic[Schema]):
    """The answer of a model, or the reason that there is none; and tokens and cost, which a bad answer has too."""

    value: Schema | None
    problem: str
    usage: dict[str, Any]


def name() -> str:
    """Return the configured model as an author."""
    return f"model {settings().model.name}"


def ask(
    engine: Engine, operation: str, schema: type[Schema], instructions: str, question: str, *, spent: float
) -> Answer[Schema]:
    """Ask the configured model a question; `spent` is what the operation has cost since yesterday."""
    usage: dict[str, Any] = {}
    try:
        if not language_model.configured():
            raise QflowError("no model is configured")
        if redact_text(question) != question:
            raise QflowError("it may contain secrets, so it is not sent to a model")
        if spent >= settings().model.budget:
            raise QflowError(f"the day's budget of {settings().model.budget} is spent")
        with through_breaker(engine, operation):
            reply, usage = language_model.complete(instructions, question)
        # Models surround the JSON with text.
        start, end = reply.find("{"), reply.rfind("}")
        value = read_json(reply[start : end + 1] if 0 <= start < end else reply)
        return Answer(schema.model_validate(value), "", usage)
    except (ValueError, ValidationError):
        return Answer(None, "the model's answer is not of the form that was asked for", usage)
    except QflowError as error:
        return Answer(None, str(error), usage)
