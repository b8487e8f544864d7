"""A checker of rules that one rule ends; by itself, because a worker process imports it."""

import os
from typing import Any


def check_batch(context: None, batch: list[Any]) -> list[tuple[int, str]]:
    """Instead of `examples.check_batch`."""
    if any(task.rule.id == "own/deadly" for task in batch):
        os._exit(3)
    return [(task.position, "") for task in batch]
