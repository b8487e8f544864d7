"""Codemods of Python about what an attacker may send: commands, SQL, digests, documents, guessable values."""

from qflow_dagster.evolution.analysis.nodes import named_children, span_of
from qflow_dagster.evolution.matchers import Edit, Match
from qflow_dagster.generation.fixes import EditsOf
from qflow_dagster.generation.preconditions.file import File
from qflow_dagster.generation.preconditions.python_syntax import node_of
from qflow_dagster.generation.preconditions.python_values import digest_form, shell_command, sql_statement


def compare_digest(file: File, match: Match) -> list[Edit] | str | None:
    """Write ``hmac.compare_digest(a, b)`` for ``a == b``."""
    comparison = node_of(file, match, "comparison_operator")
    form = digest_form(file, match)
    if comparison is None or form not in ("plain", "encoded"):
        return form
    operands = named_children(comparison)
    left, right = (operand.text() for operand in operands)
    if form == "encoded":
        if any(
            operand.kind() not in ("identifier", "attribute", "call", "subscript", "string")
            for operand in operands
        ):
            return "an operand is a larger expression"
        left, right = f"{left}.encode()", f"{right}.encode()"
    negation = "not " if any(child.text() == "!=" for child in comparison.children()) else ""
    return [Edit(*span_of(comparison), f"{negation}hmac.compare_digest({left}, {right})")]


def safe_load(file: File, match: Match) -> list[Edit] | str | None:
    """Write ``yaml.safe_load(text)`` for ``yaml.load(text)``."""
    call = node_of(file, match, "call")
    method = named_children(named_children(call)[0])[-1] if call is not None else None
    return "the call was not understood" if method is None else [Edit(*span_of(method), "safe_load")]


def command_as_list(file: File, match: Match) -> list[Edit] | str | None:
    """Write ``run(["ls", path])`` for ``run(f"ls '{path}'", shell=True)``."""
    command = shell_command(file, match)
    if isinstance(command, str):
        return command
    shell = next(
        child
        for child in named_children(named_children(command.call)[-1])
        if child.text().replace(" ", "") == "shell=True"
    )
    before = shell.prev()
    start = span_of(before)[0] if before is not None and before.text() == "," else span_of(shell)[0]
    return [Edit(*span_of(command.text), f"[{', '.join(command.words)}]"), Edit(start, span_of(shell)[1], "")]


def sql_parameters(file: File, match: Match) -> list[Edit] | str | None:
    """Write ``execute("... = ?", (name,))`` for ``execute(f"... = '{name}'")``."""
    statement = sql_statement(file, match)
    if isinstance(statement, str):
        return statement
    start, end = span_of(statement.text)
    values = ", ".join(value.text() for value, _ in statement.values)
    values += "," if len(statement.values) == 1 else ""
    return [
        Edit(start, start + 1, ""),
        *(Edit(*span, "?") for _, span in statement.values),
        Edit(end, end, f", ({values})"),
    ]


def system_random(file: File, match: Match) -> list[Edit] | str | None:
    """Write ``random.SystemRandom().choice(letters)`` for ``random.choice(letters)``."""
    start = match.captures["F"][0] + len("random.")
    return [Edit(start, start, "SystemRandom().")]


CODEMODS: dict[str, EditsOf] = {
    "python/digest-compared": compare_digest,
    "python/guessable-secret": system_random,
    "python/shell-true": command_as_list,
    "python/sql-from-values": sql_parameters,
    "python/unsafe-yaml": safe_load,
}
