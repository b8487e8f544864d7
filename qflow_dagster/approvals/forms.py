"""Fields of a request that whoever approves it fills in: their description, and the check of answers.

Does not belong here: showing a form (pages, the command line), storing answers (`arbiter`).
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from qflow_dagster.errors import UsageError, problem_of
from qflow_dagster.safety.display import is_blank, visible_line

MAX_FIELDS = 30
MAX_TEXT = 10_000


class FormField(BaseModel):
    """A field: `choice` takes one of `choices`, with `multiple` any number of them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=50)]
    type: Literal["text", "integer", "number", "boolean", "choice"] = "text"
    label: Annotated[str, Field(max_length=200)] = ""
    description: Annotated[str, Field(max_length=1_000)] = ""
    required: bool = False
    choices: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=200)], ...], Field(max_length=100)
    ] = ()
    multiple: bool = False
    minimum: Annotated[float, Field(allow_inf_nan=False)] | None = None
    maximum: Annotated[float, Field(allow_inf_nan=False)] | None = None
    default: Any = None

    @model_validator(mode="after")
    def _consistent(self) -> "FormField":
        if (self.type == "choice") != bool(self.choices) or len(set(self.choices)) != len(self.choices):
            raise ValueError("`choices`, each once, are of a field of type choice, which needs them")
        if self.multiple and self.type != "choice":
            raise ValueError("only a choice can be `multiple`")
        if (self.minimum is not None or self.maximum is not None) and self.type not in ("integer", "number"):
            raise ValueError("`minimum` and `maximum` are of numbers")
        if self.default is not None:
            _checked(self, self.default)
        return self

    @property
    def title(self) -> str:
        """The label of the field."""
        return self.label or self.name.replace("_", " ")


_FORM = TypeAdapter(Annotated[list[FormField], Field(max_length=MAX_FIELDS)])


def parse(form: Any) -> list[FormField]:
    """Return the fields of a form as it was stored or requested; None is a form without fields.

    Raises:
        UsageError: it is no list of fields, a field is inconsistent, or two have the same name.
    """
    try:
        fields = _FORM.validate_python(form or [])
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UsageError(
            f"the form of a request is not valid at {where or 'its root'}: {problem_of(first)}"
        ) from None
    names = [field.name for field in fields]
    if doubled := {name for name in names if names.count(name) > 1}:
        raise UsageError(f"the form of a request has two fields {sorted(doubled)[0]!r}")
    return fields


def check(fields: Sequence[FormField], answers: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the answers to a form, with defaults where nothing was answered.

    Raises:
        UsageError: a required answer is missing, or one is unexpected or not of its field's type.
    """
    given = dict(answers or {})
    checked: dict[str, Any] = {}
    for field in fields:
        value = given.pop(field.name, None)
        if value is None or value == [] or (isinstance(value, str) and is_blank(value)):
            value = field.default
        if value is None:
            if field.required:
                raise UsageError(
                    f"the request needs an answer to {field.title!r} (--answer {field.name}=...)"
                )
            continue
        try:
            checked[field.name] = _checked(field, value)
        except ValueError as error:
            raise UsageError(f"{field.title!r}: {error}") from None
    if given:
        expected = ", ".join(field.name for field in fields) or "none"
        raise UsageError(f"the request has no field {visible_line(min(given), 50)!r}; there are: {expected}")
    return checked


def _checked(field: FormField, value: Any) -> Any:
    """Return a value as its field's type; texts that forms and commands send are converted."""
    match field.type:
        case "boolean":
            words = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
            value = words.get(value.lower(), value) if isinstance(value, str) else value
            if not isinstance(value, bool):
                raise ValueError("yes or no is expected")
            return value
        case "choice":
            values = list(value) if isinstance(value, list | tuple) else [value]
            expected = "one or more" if field.multiple else "one"
            for chosen in values if field.multiple or len(values) == 1 else [values]:
                if chosen not in field.choices:
                    given = visible_line(str(chosen), 50)
                    raise ValueError(f"{expected} of {', '.join(field.choices)} is expected, not {given!r}")
            return list(dict.fromkeys(values)) if field.multiple else values[0]
        case "integer" | "number":
            return _number(field, value)
        case _:
            if not isinstance(value, str) or len(value) > MAX_TEXT:
                raise ValueError(f"a text of at most {MAX_TEXT:,} characters is expected")
            return value


def _number(field: FormField, value: Any) -> int | float:
    number: int | float | None = None
    if isinstance(value, str) and "_" in value:
        value = None  # Python reads 1_0 as 10; whoever mistypes means neither.
    if not isinstance(value, bool) and isinstance(value, int | float | str) and len(str(value)) <= 30:
        try:
            number = int(value) if field.type == "integer" and isinstance(value, str) else float(value)
        except (ValueError, OverflowError):
            number = None
    if number is None or number != number or abs(number) > 2**53:
        raise ValueError(f"{'a whole number' if field.type == 'integer' else 'a number'} is expected")
    if field.type == "integer":
        if number != int(number):
            raise ValueError("a whole number is expected")
        number = int(number)
    if (field.minimum is not None and number < field.minimum) or (
        field.maximum is not None and number > field.maximum
    ):
        bounds = (
            f"at least {field.minimum:g}" if field.minimum is not None else "",
            f"at most {field.maximum:g}" if field.maximum is not None else "",
        )
        raise ValueError(f"{' and '.join(filter(None, bounds))} is expected, not {number:g}")
    return number
