"""`qflow config`: every setting, its value and where it comes from."""

import os

from pydantic import BaseModel, SecretStr

from qflow_dagster.cli.output import JsonFlag, print_json, print_rows
from qflow_dagster.settings import Settings, environment_name, settings


def config(json: JsonFlag = False) -> None:
    """Print every setting with its source; secrets are hidden."""
    rows = list(_rows(settings(), ()))
    print_json(rows) if json else print_rows(rows, empty="")


def _rows(model: BaseModel, path: tuple[str, ...]):
    for name, field in type(model).model_fields.items():
        value = getattr(model, name)
        here = (*path, name)
        if isinstance(value, BaseModel):
            yield from _rows(value, here)
            continue
        variable = environment_name(*here)
        yield {
            "setting": variable,
            "value": "(hidden)" if isinstance(value, SecretStr) else None if value is None else str(value),
            "source": "environment" if variable in os.environ else "default",
            "meaning": field.description or "",
        }


__all__ = ["Settings", "config"]
