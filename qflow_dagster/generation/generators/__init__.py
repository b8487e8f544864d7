"""Generators: whatever proposes a change for a finding. Further ones come as entry points.

A package that offers one names it under the entry point group `qflow_dagster.generators`; it is
loaded beside those of this folder. Does not belong here: running them (`orchestrator`),
judging what they propose (`validation`).
"""

from functools import cache
from importlib.metadata import entry_points

from qflow_dagster.evolution.rules import evaluated, load_rules
from qflow_dagster.generation.generators import codemod, language_model, ruff_fix, rule_fix
from qflow_dagster.generation.generators.protocol import Generator

GROUP = "qflow_dagster.generators"


def fixable_rules() -> list[str]:
    """Rules that some generator may mend whether or not the finding brings a fix."""
    # Those that carry out a rule's own fix have nothing to propose where a finding has none.
    own = {"rule-fix", "ruff-fix", "codemod"}
    asked = [generator for name, generator in generators().items() if name not in own]
    return [
        rule.id
        for rule in evaluated(load_rules())
        if any(generator.fits(rule, language) for generator in asked for language in rule.language)
    ]


@cache
def generators() -> dict[str, Generator]:
    """Every generator there is, by name."""
    found: dict[str, Generator] = {}
    for one in (rule_fix.RuleFix(), ruff_fix.RuffFix(), codemod.Codemod(), language_model.LanguageModel()):
        found[one.name] = one
    for point in entry_points(group=GROUP):
        generator = point.load()()
        found[generator.name] = generator
    return found
