"""Our rules on the peers' own tests: `python -m benchmarks.peer_rules FOLDER [--show RULE]`.

FOLDER has (or gets) the repositories of `peer_rules.yaml` as NAME.git; of each, one commit is read. By rule of a peer
that one of our rules names: the cases that the peer calls valid and how many of them we match, the bad places and how
many of them we find, and our changes beside those of the peer. Differences of definition are listed in
`peer_differences.yaml`, with a reason each, and are counted apart. `--show RULE` prints the cases that differ, of a
rule of ours or of a peer. Tests of ESLint's rules are run by node.
"""

import argparse
import re
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from rich.console import Console
from rich.table import Table

from benchmarks.peer_cases import java, marks, python, rule_tester
from benchmarks.peer_cases.cases import Case, compare, valid_parts
from qflow_dagster.evolution.examples import ROUNDS, matches_in
from qflow_dagster.evolution.rules import Rule, load_rules
from qflow_dagster.generation.fixed_text import fix_text
from qflow_dagster.safety.display import visible

HERE = Path(__file__).parent
PEERS = HERE / "peer_rules.yaml"
DIFFERENCES = HERE / "peer_differences.yaml"
FORMATS = {
    "pmd": java.pmd,
    "error-prone": java.error_prone,
    "openrewrite": java.openrewrite,
    "pyupgrade": python.pyupgrade,
    "libcst": python.libcst,
    "ruff": python.ruff,
}
COLUMNS = ("valid", "matched", "bad", "found", "fixes", "same", "different", "documented")
# The least share of the peer's bad places that a rule finds if it is about all that the peer's rule is about.
MIN_FOUND = 0.75

console = Console(width=160)


class Suite(NamedTuple):
    """The tests of one rule of a peer, our rules that are measured by them, and how they differ on purpose."""

    id: str
    rules: tuple[Rule, ...]
    cases: tuple[Case, ...]
    differences: dict[str, Any]


class Result(NamedTuple):
    """How our rules compare with a suite: counts by column, what differs, to be read, and uses of each difference."""

    counts: dict[str, int]
    shown: list[str]
    uses: list[int]

    def failures(self, *, part: bool) -> list[str]:
        """Return what is not as it should be; a rule on a part of what the peer's rule is on may find less."""
        bad, found, wrong, different = (
            self.counts[name] for name in ("bad", "found", "matched", "different")
        )
        return [
            *([f"matches valid code ({wrong})"] if wrong else []),
            *([f"changes other than the peer's ({different})"] if different else []),
            *([f"finds {found} of {bad}"] if not part and found < MIN_FOUND * bad else []),
        ]


def suites(folder: Path, only: str | None = None) -> Iterator[Suite]:
    """Yield the suites of all peers, or those of one rule, ours or a peer's."""
    rules, differences = load_rules(), yaml.safe_load(DIFFERENCES.read_text())
    for peer, settings in yaml.safe_load(PEERS.read_text())["peers"].items():
        named = {
            name: tuple(ours)
            for name, ours in named_rules(rules, settings).items()
            if f"{peer}/{name}" not in differences["not_compared"]
            and (only is None or only in (f"{peer}/{name}", *(rule.id for rule in ours)))
        }
        if not named:
            continue
        with tempfile.TemporaryDirectory(prefix="qflow-peer-") as target:
            root = Path(target)
            read_commit(folder, peer, settings, root)
            for name, ours in sorted(named.items()):
                cases = tuple(_cases(root, settings, name, folder))
                id_ = f"{peer}/{name}"
                if cases:
                    yield Suite(id_, ours, cases, differences["suites"].get(id_) or {})


def named_rules(rules: tuple[Rule, ...], settings: dict[str, Any]) -> dict[str, list[Rule]]:
    """Return our rules by the name of the peer's rule."""
    named: dict[str, list[Rule]] = {}
    for rule in rules:
        for tool, pattern in settings.get("names", {}).items():
            names = list(rule.peers.get(tool, ()))
            # What ruff evaluates is compared with other tools that have the same codes, and not with ruff.
            if tool == "ruff" and rule.matcher.ruff:
                names = [rule.matcher.ruff] if settings["format"] != "ruff" else []
            for name in names:
                if match := re.match(pattern, name):
                    named.setdefault(match.group(1), []).append(rule)
        for name, ids in settings.get("rules", {}).items():
            if rule.id in ids:
                named.setdefault(name, []).append(rule)
    return {name: list({rule.id: rule for rule in ours}.values()) for name, ours in named.items()}


def read_commit(folder: Path, peer: str, settings: dict[str, Any], root: Path) -> None:
    """Write the folders of a peer's commit that are needed to a folder."""
    repository, commit = folder / f"{peer}.git", settings["commit"]
    if not repository.exists():
        _git(repository, "init", "--quiet", "--bare")
        _git(repository, "fetch", "--quiet", "--depth=1", settings["repository"], commit)
    archive = _git(repository, "archive", commit, *settings["folders"])
    with tarfile.open(fileobj=BytesIO(archive)) as members:
        members.extractall(root, filter="data")


def _git(repository: Path, *arguments: str) -> bytes:
    repository.mkdir(parents=True, exist_ok=True)
    return subprocess.run(
        ["git", "--git-dir", str(repository), *arguments], check=True, capture_output=True
    ).stdout


def _cases(root: Path, settings: dict[str, Any], name: str, tools: Path) -> Iterator[Case]:
    pattern = settings.get("elsewhere", {}).get(name, settings["files"])
    files = sorted(root.glob(pattern.format(name=name, lower=name.lower())))
    format_ = settings["format"]
    if not files:
        return
    if format_ == "rule-tester":
        yield from rule_tester.cases_of(root, files, tools)
    elif format_ in marks.FORMATS:
        message = settings.get("messages", {}).get(name, settings.get("message", ""))
        message = message.format(name=re.escape(name))
        yield from marks.cases_of(format_, root, files, message)
    else:
        yield from FORMATS[format_](root, files)


def measure(suite: Suite) -> Result:
    """Run our rules over the cases of a suite."""
    documented, reach = suite.differences.get("differences", []), suite.differences.get("reach", 0)
    counts: dict[str, int] = dict.fromkeys(COLUMNS, 0)
    shown: list[str] = []
    uses = [0] * len(documented)

    def differs(kind: str, case: Case, line: int, detail: str) -> bool:
        """Return whether a difference counts, which is not so where it is documented."""
        # A peer also counts other ends of lines, such as U+2028.
        lines = case.code.split("\n")
        text = lines[line - 1] if 0 < line <= len(lines) else case.code
        for number, entry in enumerate(documented):
            if entry["kind"] == kind and re.search(entry["code"], text):
                counts["documented"] += 1
                uses[number] += 1
                return False
        shown.append(f"[{kind}] {case.name}, line {line}\n{detail}")
        return True

    for case in suite.cases:
        rules = [rule for rule in suite.rules if case.language in rule.language]
        if not rules:
            continue
        matches = {
            (match.start, match.end): (match.line, match.end_line)
            for rule in rules
            for match in matches_in(rule, case.code, case.path, case.language)
            if not match.suppressed
        }
        ours = list(_fixed(rules, case)) if matches and case.fixed else []
        result = compare(case, matches.values(), ours, reach)
        counts["valid"] += valid_parts(case)
        counts["bad"] += len(case.bad)
        counts["found"] += result.found
        counts["matched"] += sum(differs("valid", case, line, case.code) for line in result.wrong)
        counts["same"] += result.same
        counts["different"] += sum(
            differs("fix", case, line, f"{case.code}\n-- ours\n{own}\n-- theirs\n{theirs}")
            for line, own, theirs in result.different
        )
        counts["fixes"] += result.same + len(result.different)
        for line in result.missed:
            differs("missed", case, line, case.code)
    return Result(counts, shown, uses)


def _fixed(rules: list[Rule], case: Case) -> Iterator[str]:
    """Yield the code after each round of the fixes of our rules."""
    text = case.code
    for _ in range(ROUNDS):
        before = text
        for rule in rules:
            text = fix_text(rule, text, case.path, case.language) if rule.fix else text
        if text == before:
            return
        yield text


def show_table(title: str, names: Sequence[str], rows: Iterable[Sequence[Any]], *, markdown: bool) -> None:
    """Print a table; columns of numbers are aligned at the right."""
    lines = [[str(value) for value in row] for row in rows]
    numbers = (*COLUMNS, "covers")
    if markdown:
        for line in (names, ["---:" if name in numbers else "---" for name in names], *lines):
            print("|", " | ".join(line), "|")
        return
    table = Table(title=title)
    for name in names:
        table.add_column(name, justify="right" if name in numbers else "left")
    for line in lines:
        table.add_row(*line)
    console.print(table)


def main() -> None:
    """Print the table, or the cases of a rule that differ."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument(
        "--show", metavar="RULE", help="print the cases that differ, of a rule of ours or of a peer"
    )
    parser.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    arguments = parser.parse_args()
    rows, failures, covered = [], [], []
    total = dict.fromkeys(COLUMNS, 0)
    for suite in suites(arguments.folder, arguments.show):
        result, part = measure(suite), "part" in suite.differences
        total = {column: total[column] + result.counts[column] for column in COLUMNS}
        failures += [f"{suite.id}: {failure}" for failure in result.failures(part=part)]
        ours = ", ".join(rule.id for rule in suite.rules)
        for entry, uses in zip(suite.differences.get("differences", []), result.uses, strict=True):
            covered.append((suite.id, entry["kind"], entry["reason"], uses))
            failures += [] if uses else [f"{suite.id}: nothing differs by: {entry['reason']}"]
        rows.append((suite.id, ours, "part" if part else "all", *result.counts.values()))
        if arguments.show:
            for text in result.shown:
                console.print(visible(text), markup=False, highlight=False)
    names = ("peer's rule", "our rules", "about", *COLUMNS)
    title = "Our rules on the peers' own tests"
    show_table(title, names, [*rows, ("all", "", "", *total.values())], markdown=arguments.markdown)
    covered.sort(key=lambda row: -row[3])
    names = ("peer's rule", "kind", "documented difference", "covers")
    show_table("What each documented difference covers", names, covered, markdown=arguments.markdown)
    for failure in failures:
        console.print(failure, markup=False)
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
