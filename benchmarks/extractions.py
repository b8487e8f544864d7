"""Lowering the cognitive complexity of real functions without a model: how many reach a bound, and their tests pass.

    python -m benchmarks.extractions FOLDER --bound 15 --functions 10 --tests "python -m pytest -q -x"
    python -m benchmarks.extractions FOLDER --bound 5 --functions 1000 --strategy variable --lower --together

FOLDER is a work tree of a Python repository whose tests can be run there; it is changed and restored. The functions are
the most complex ones of the code that is not a test, in order: none is left out.
"""

import argparse
import shlex
import subprocess
from pathlib import Path

from qflow_dagster.generation.conditions import named
from qflow_dagster.generation.generators.extract_function import Extract, Rewrite, lowered
from qflow_dagster.generation.guard_clauses import flattened
from qflow_dagster.generation.remaining import measures_in
from qflow_dagster.generation.simplification import simplified

STRATEGIES: dict[str, tuple[tuple[Rewrite, ...], Extract]] = {
    "simplify": ((simplified,), "none"),
    "flatten": ((flattened,), "none"),
    "variable": ((named,), "none"),
    "conditions": ((), "conditions"),
    "share": ((), "repeated"),
    "extract": ((), "any"),
    "flatten-then-extract": ((simplified, flattened, named), "any"),
}


def most_complex(folder: Path, bound: float, number: int) -> list[tuple[float, Path, str]]:
    """Return (cognitive complexity, file, function) of the functions above the bound, the highest first."""
    found = []
    for path in sorted(folder.rglob("*.py")):
        relative = path.relative_to(folder)
        if any("test" in part or part.startswith((".", "docs", "example")) for part in relative.parts):
            continue
        for name, _, measures in measures_in(path.read_text(encoding="utf-8"), "Python"):
            if measures["cognitive"] > bound:
                found.append((measures["cognitive"], path, name))
    return sorted(found, key=lambda row: (-row[0], str(row[1]), row[2]))[:number]


def passes(folder: Path, command: str) -> bool:
    """Run the tests."""
    result = subprocess.run(shlex.split(command), cwd=folder, capture_output=True, timeout=900, check=False)
    return result.returncode == 0


def main() -> None:
    """Print what becomes of each function."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--bound", type=float, default=15)
    parser.add_argument("--functions", type=int, default=10)
    parser.add_argument("--tests", default="")
    parser.add_argument("--strategy", choices=STRATEGIES, default="flatten-then-extract")
    parser.add_argument(
        "--lower", action="store_true", help="for each function, its own complexity less 1 is the bound"
    )
    parser.add_argument("--together", action="store_true", help="run the tests once, with all changes")
    arguments = parser.parse_args()
    if arguments.tests and not passes(arguments.folder, arguments.tests):
        raise SystemExit("the tests do not pass without a change")
    reached = passing = 0
    rows = most_complex(arguments.folder, arguments.bound, arguments.functions)
    before: dict[Path, str] = {}
    for value, path, name in rows:
        text = path.read_text(encoding="utf-8")
        before.setdefault(path, text)
        rewrites, extract = STRATEGIES[arguments.strategy]
        bound = value - 1 if arguments.lower else arguments.bound
        after = lowered(text, name, bound, rewrites=rewrites, extract=extract)
        verdict = "not reached"
        if after is not None:
            reached += 1
            path.write_text(after, encoding="utf-8")
            good = (
                passes(arguments.folder, arguments.tests)
                if arguments.tests and not arguments.together
                else None
            )
            if not arguments.together:
                path.write_text(text, encoding="utf-8")
            passing += bool(good)
            verdict = "reached" + {True: ", tests pass", False: ", tests fail", None: ""}[good]
        if after is not None or not arguments.lower:
            print(f"{value:>5g}  {name} ({path.relative_to(arguments.folder)}): {verdict}", flush=True)
    if arguments.together and arguments.tests and reached:
        passing = reached if passes(arguments.folder, arguments.tests) else 0
    for path, text in before.items():
        path.write_text(text, encoding="utf-8")
    aim = "were lowered" if arguments.lower else "reached it"
    print(f"{len(rows)} functions above {arguments.bound:g}: {reached} {aim}, {passing} with tests passing")


if __name__ == "__main__":
    main()
