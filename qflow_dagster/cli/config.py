"""`qflow config`: every setting, its value and where it comes from; and what differs in Dagster's configuration."""

import os

from pydantic import AliasChoices, BaseModel, SecretStr

from qflow_dagster.cli import dagster_configuration
from qflow_dagster.cli.output import JsonFlag, print_json, print_rows
from qflow_dagster.safety.redaction import redact
from qflow_dagster.settings import Settings, environment_name, settings


def config(json: JsonFlag = False) -> None:
    """Print every setting with its source; secrets are hidden."""
    rows = [*_rows(settings(), ()), *_dagster_rows()]
    print_json(rows) if json else print_rows(rows, empty="")


def _rows(model: BaseModel, path: tuple[str, ...]):
    for name, field in type(model).model_fields.items():
        value = getattr(model, name)
        here = (*path, name)
        if isinstance(value, BaseModel):
            yield from _rows(value, here)
            continue
        variable = environment_name(*here)
        # A renamed setting is still read by its former name.
        alias = field.validation_alias
        names = alias.choices if isinstance(alias, AliasChoices) else [name]
        variables = [environment_name(*path, str(name)) for name in names]
        yield {
            "setting": variable,
            "value": "(hidden)" if isinstance(value, SecretStr) else None if value is None else str(value),
            "source": "environment" if any(name in os.environ for name in variables) else "default",
            "meaning": field.description or "",
        }


def _dagster_rows():
    """List what the operator's `dagster.yaml` changes of the project's defaults."""
    ours = dagster_configuration.defaults()
    result = dagster_configuration.merged(ours, dagster_configuration.overrides())
    for name, default, value in dagster_configuration.differences(ours, result):
        yield {
            "setting": f"dagster.yaml: {name}",
            "value": "(removed)" if value is None else str(redact({name: value})[name]),
            "source": str(dagster_configuration.operator_file()),
            "meaning": "new" if default is None else f"the default is {default}",
        }


__all__ = ["Settings", "config"]
