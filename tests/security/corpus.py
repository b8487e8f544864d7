"""The hostile corpus: attempts of many kinds, each of which must be refused or contained.

Belongs here: what an attempt is, and carrying it out. ``python -m tests.security`` runs them all. The
attempts of each boundary are in the modules beside this one (`MODULES`).

An attempt is a function that attacks. It ends with a `QflowError` where we refuse (one line for the
person), returns where the attack was carried out and did no harm, and raises an AssertionError, or
anything else, where it did: that is a hole.
"""

import importlib
import shutil
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from qflow_dagster.errors import QflowError

MODULES = ("repositories", "sandboxed", "input_data", "shown_text", "decisions", "outgoing")
Verdict = str  # refused, contained, or what went wrong


class Attempt(NamedTuple):
    """One attack: the kind it belongs to, its name, what carries it out in an empty folder, and its module."""

    kind: str
    name: str
    attack: Callable[[Path], object]
    module: str


_attempts: list[Attempt] = []


def attempt(kind: str, *names: str) -> Callable[[Callable[..., object]], Callable[..., object]]:
    """Register a function as an attempt; with `names`, one attempt for each, which it gets as second argument."""

    def register(attack: Callable[..., object]) -> Callable[..., object]:
        module = attack.__module__
        for name in names:
            _attempts.append(Attempt(kind, name, lambda folder, name=name: attack(folder, name), module))
        if not names:
            _attempts.append(Attempt(kind, attack.__name__.replace("_", " "), attack, module))
        return attack

    return register


def load(modules: tuple[str, ...] = MODULES) -> list[Attempt]:
    """All attempts of these modules."""
    for name in modules:
        importlib.import_module(f"tests.security.{name}")
    return list(_attempts)


def carry_out(each: Attempt) -> Verdict:
    """Attack in a folder of its own."""
    folder = Path(tempfile.mkdtemp(prefix="qflow-attempt-"))
    folder.chmod(0o755)
    try:
        each.attack(folder)
        return "contained"
    except QflowError as error:
        # A refusal is for a person: one line, and nothing in it that hides.
        return "refused" if len(str(error).splitlines()) == 1 else f"refused in more than a line: {error}"
    except BaseException:
        return traceback.format_exc(limit=-3)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
