"""A text after the fixes of a rule, as if it were a file of a repository: for examples, and for trying a rule out."""

from qflow_dagster.evolution.examples import TARGET
from qflow_dagster.evolution.rules import Rule
from qflow_dagster.generation import preconditions
from qflow_dagster.generation.generators import location_generators
from qflow_dagster.generation.generators.protocol import Request


def fix_text(rule: Rule, text: str, path: str, language: str) -> str:
    """Return a text after the fixes that would be proposed for it if it were a file of its own."""
    request = Request(
        repository="",
        base="",
        path=path,
        language=language,
        text=text,
        rule=rule,
        target=TARGET,
        findings=(),
    )
    for generator in location_generators():
        if generator.fits(rule, language):
            for proposal in generator.generate(preconditions.alone(request)):
                return proposal.contents.get(path, text)
    return text
