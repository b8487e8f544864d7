"""Generators: whatever proposes a change for a finding. Further ones are registered as entry points.

A package offers one under the entry point group `qflow_dagster.generators`; it is
loaded beside those of this folder. Does not belong here: calling them (`proposing`),
checking their proposals (`validation`).
"""

from collections.abc import Iterable
from functools import cache
from importlib.metadata import entry_points

from qflow_dagster.evolution.rules import evaluated, load_rules
from qflow_dagster.generation.generators.protocol import Generator

GROUP = "qflow_dagster.generators"
# These only carry out a rule's own fix: they have nothing to propose for a finding without one.
FIX_ONLY = ("rule-fix", "ruff-fix", "codemod")
# Called for a goal only: a change of this size is proposed on request.
ON_REQUEST = (
    "simplify-conditions",
    "guard-clauses",
    "extract-variable",
    "extract-condition",
    "share-function",
    "extract-function",
    "flatten-extract",
    "remove-duplication",
    "break-cycle",
    "raise-coverage",
)


def fixable_rules() -> list[str]:
    """Return the rules that some generator may fix whether or not the finding brings a fix."""
    independent = [g for name, g in generators().items() if name not in (*FIX_ONLY, *ON_REQUEST)]
    return [
        rule.id
        for rule in evaluated(load_rules())
        if any(generator.fits(rule, language) for generator in independent for language in rule.language)
    ]


def location_generators() -> list[Generator]:
    """Return the generators that carry out a rule's own fix."""
    return [generators()[name] for name in FIX_ONLY]


# External agents that can be given work now; the layer of agents sets them.
_external: dict[str, Generator] = {}


def set_external(found: Iterable[Generator]) -> None:
    """Set the generators that are agents outside of this process; those set before are forgotten."""
    _external.clear()
    _external.update((generator.name, generator) for generator in found)


def generators() -> dict[str, Generator]:
    """Return every generator by name: those installed, and external agents."""
    return {**_external, **installed()}


@cache
def installed() -> dict[str, Generator]:
    """Return the generators of this project and of installed packages, by name."""
    # Imported late: worker processes import this package, and need no database.
    from qflow_dagster.generation.conditions import named
    from qflow_dagster.generation.generators import (
        break_cycle,
        codemod,
        extract_function,
        language_model,
        raise_coverage,
        remove_duplication,
        ruff_fix,
        rule_fix,
    )
    from qflow_dagster.generation.guard_clauses import flattened
    from qflow_dagster.generation.simplification import simplified

    by_name: dict[str, Generator] = {}
    for builtin in (
        rule_fix.RuleFix(),
        ruff_fix.RuffFix(),
        codemod.Codemod(),
        extract_function.SmallerFunctions("simplify-conditions", [simplified], extract="none"),
        extract_function.SmallerFunctions("guard-clauses", [flattened], extract="none"),
        extract_function.SmallerFunctions("extract-variable", [named], extract="none"),
        extract_function.SmallerFunctions("extract-condition", extract="conditions"),
        extract_function.SmallerFunctions("share-function", extract="repeated"),
        extract_function.SmallerFunctions("extract-function", extract="any"),
        extract_function.SmallerFunctions("flatten-extract", [simplified, flattened, named], extract="any"),
        remove_duplication.RemoveDuplication(),
        break_cycle.BreakCycle(),
        raise_coverage.RaiseCoverage(),
        language_model.LanguageModel(),
    ):
        by_name[builtin.name] = builtin
    for point in entry_points(group=GROUP):
        generator = point.load()()
        by_name[generator.name] = generator
    return by_name
