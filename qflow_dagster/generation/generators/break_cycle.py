"""Takes a Python file out of a cycle of imports: what only annotations use is imported for type checkers alone."""

from collections.abc import Iterable

from qflow_dagster.evolution.rules import Rule
from qflow_dagster.generation import import_cycles
from qflow_dagster.generation.generators.protocol import Proposal, Request, Withheld
from qflow_dagster.generation.import_deferral import Name, deferred
from qflow_dagster.generation.preconditions.file import File
from qflow_dagster.generation.preconditions.python_imports import imported_elsewhere, passes_names_on
from qflow_dagster.generation.remaining import cycle_bound


class BreakCycle:
    """Moves the imports of a file that lead into its cycle, until as few files as the rule allows are in it."""

    name = "break-cycle"
    isolated = True
    cost = 0.0

    def fits(self, rule: Rule, language: str) -> bool:
        """Return whether the rule bounds the cycle of imports of a file, and the file is Python."""
        return language == "python" and cycle_bound(rule) is not None

    def generate(self, request: Request) -> Iterable[Proposal]:
        """Yield one proposal, or none where the bound cannot be reached, with what cannot be moved."""
        bound, cycle = cycle_bound(request.rule), request.surroundings.cycle
        if bound is None or cycle is None or request.embedded is not None:
            return
        before = import_cycles.members(request.path, request.text, cycle)
        wanted = {Name(*name) for name, targets in cycle.targets.items() if before.intersection(targets)}
        file = File(request)

        def used_elsewhere(name: str) -> str | None:
            if passes_names_on(request.path):
                return "a file of this name is there to pass names on"
            if cycle.evaluator:
                return f"{cycle.evaluator} evaluates annotations"
            return imported_elsewhere(file, {name})

        local = {Name(*name) for name, targets in cycle.targets.items() if targets}
        first = deferred(request.text, wanted, local, used_elsewhere)
        # Where another name of the same file stays, a move is of no use.
        needed = {target for name in wanted.difference(first.moved) for target in cycle.targets[name]}
        useful = {name for name in first.moved if not needed.issuperset(cycle.targets[name])}
        found = deferred(request.text, useful, local, used_elsewhere)._replace(refused=first.refused)
        left = len(import_cycles.members(request.path, found.text, cycle))
        if found.moved and left <= bound:
            yield Proposal(contents={request.path: found.text}, note=self.name)
        else:
            moved = f", {len(found.moved)} other imports can move" if found.moved else ""
            stay = f"{left} of {len(before)} files stay in the cycle{moved}"
            refused = found.refused or ((1, "no import of it leads there"),)
            withheld = tuple(Withheld(line, f"{stay}; {reason}") for line, reason in refused)
            yield Proposal(contents={}, withheld=withheld)
