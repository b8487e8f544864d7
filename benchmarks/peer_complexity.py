"""Our complexity and symbols beside the peers' own tests: `python -m benchmarks.peer_complexity FOLDER`.

FOLDER has (or gets) the repositories of `peer_complexity.yaml` as NAME.git; of each, one commit is read. Expectations
are read from marks at lines, from reports and literals in tests, or from tags. Where a test only says that a number is
above or not above a limit, that is compared. Differences of definition are listed in the same file with their reasons,
and are counted apart. `--only PEER ..` compares with some, `--list` prints what differs.
"""

import argparse
import ast
import re
import textwrap
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import yaml

from benchmarks.peer_rules import read_commit
from qflow_dagster.ingestion import languages
from qflow_dagster.ingestion.extraction import extract
from qflow_dagster.ingestion.extraction.grammars import GRAMMARS
from qflow_dagster.ingestion.facts import BlobFacts, SymbolFact

PEERS = Path(__file__).with_suffix(".yaml")
INFINITE = 10**9


class Expected(NamedTuple):
    """What a test of a peer expects of a source: the bounds of a number, or a name (`metric` "symbol").

    The number is that of the function at `line`, of the one called `name` (or NAME/PARAMETERS, "#INDEX",
    "largest"), or of the whole source.
    """

    place: str
    source: str
    language: str
    metric: str
    low: int = 0
    high: int = INFINITE
    line: int | None = None
    name: str | None = None


def marks(root: Path, settings: dict[str, Any]) -> Iterator[Expected]:
    """Yield numbers in comments on the line of a function, below it under its name, or above."""
    for path in sorted(p for glob in settings["files"] for p in root.glob(glob)):
        text = path.read_text(encoding="utf-8-sig")
        language = languages.detect(path.name, text.encode())
        lines = text.splitlines()
        for number, line in enumerate(lines, 1):
            for metric, pattern in settings["patterns"].items():
                for match in re.finditer(pattern, line):
                    # Under the name that carets mark, or above.
                    offset = -1 if re.match(r"\s*(?://|#)\s*\^", line) else "violation below" in line
                    place = f"{path.name}:{number}"
                    value = int(match[1])
                    yield Expected(place, text, language, metric, value, value, number + offset)


def listing(root: Path, settings: dict[str, Any]) -> Iterator[Expected]:
    """Yield the lines of a report that stands beside the sources: groups path, line, number."""
    for report in sorted(p for glob in settings["files"] for p in root.glob(glob)):
        for match in re.finditer(settings["pattern"], report.read_text(encoding="utf-8"), re.MULTILINE):
            groups = match.groupdict()
            path = (
                report.parent / groups["path"]
                if groups.get("path")
                else report.with_suffix(settings["source"])
            )
            value = int(groups["number"])
            text = path.read_text(encoding="utf-8")
            language = languages.detect(path.name, text.encode())
            line = int(groups["line"]) if groups.get("line") else None
            place = f"{path.name}:{line or ''}"
            yield Expected(place, text, language, settings["metric"], value, value, line)


def snippets(root: Path, settings: dict[str, Any]) -> Iterator[Expected]:
    """Yield sources in tests that a pattern finds, with their number: groups code, and low, number or above."""
    for path in sorted(p for glob in settings["files"] for p in root.glob(glob)):
        text = path.read_text(encoding="utf-8")
        for match in re.finditer(settings["pattern"], text, re.DOTALL | re.VERBOSE):
            groups = match.groupdict()
            code = groups["code"]
            if settings.get("escapes"):
                code = re.sub(r"\\(.)", lambda escape: {"n": "\n", "t": "\t"}.get(escape[1], escape[1]), code)
            code = textwrap.dedent(code)
            code = re.sub(settings.get("without", r"\Z"), "", code, flags=re.MULTILINE)
            language = settings.get("language") or languages.detect(groups["file"], code.encode())
            metric = settings.get("metric") or groups["metric"]
            place = f"{path.name}:{text.count(chr(10), 0, match.start('code')) + 1}"
            low, high = 0, INFINITE
            if groups.get("number"):
                low = high = sum(int(float(part)) for part in re.findall(r"[\d.]+", groups["number"]))
                low = high = low + settings.get("added", 0)
            elif groups.get("above"):
                low = int(groups["above"]) + 1
            else:
                high = int(groups["most"])
            line = 1 if settings.get("first") else None
            yield Expected(place, code, language, metric, low, high, line, settings.get("of"))


def pmd(root: Path, settings: dict[str, Any]) -> Iterator[Expected]:
    """Yield the messages about methods in PMD's test files."""
    space = "{http://pmd.sourceforge.net/rule-tests}"
    for path in sorted(p for glob in settings["files"] for p in root.glob(glob)):
        tree = ElementTree.parse(path).getroot()
        fragments = {f.get("id"): f.text or "" for f in tree.iter(f"{space}code-fragment")}
        for number, test in enumerate(tree.iter(f"{space}test-code"), 1):
            code, reference = test.find(f"{space}code"), test.find(f"{space}code-ref")
            text = (code.text if code is not None else "") or ""
            if reference is not None:
                text = fragments[reference.get("id")]
            if any(p.get("name") == "cycloOptions" for p in test.iter(f"{space}rule-property")):
                continue
            for message in test.iter(f"{space}message"):
                match = re.search(settings["pattern"], message.text or "")
                if match:
                    count = len([part for part in match["parameters"].split(",") if part])
                    value, name = int(match["number"]), f"{match['name']}/{count}"
                    metric = settings["metrics"][path.stem]
                    yield Expected(
                        f"{path.stem}:{number} {name}", text, "Java", metric, value, value, None, name
                    )


def literals(root: Path, settings: dict[str, Any]) -> Iterator[Expected]:
    """Yield the assertions in Python tests about sources that are literals.

    Understood are tuples (source, number, ..) in lists, `assert f(source) == number`, and in a test function
    `x = f(source)` followed by assertions about `x` or about attributes of `x[i]`.
    """
    for path in sorted(p for glob in settings["files"] for p in root.glob(glob)):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        constants = {
            target.id: node.value.value
            for node in tree.body
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
            for target in node.targets
            if isinstance(target, ast.Name) and isinstance(node.value.value, str)
        }
        language = settings.get("language") or settings["languages"].get(path.stem, "")
        for node in ast.walk(tree):
            if isinstance(node, ast.Tuple) and settings.get("tuples"):
                yield from _tuple(node, path, language, settings)
            elif isinstance(node, ast.FunctionDef):
                yield from _assertions(node, constants, path, language, settings)


def _tuple(node: ast.Tuple, path: Path, language: str, settings: dict[str, Any]) -> Iterator[Expected]:
    values = [_literal(element) for element in node.elts]
    for code, value in pairwise(values):
        if isinstance(code, str) and type(value) is int and "\n" in code:
            value += settings.get("added", 0)
            yield Expected(
                f"{path.stem}:{node.lineno}",
                textwrap.dedent(code),
                language,
                settings["metric"],
                value,
                value,
            )
            return


def _assertions(
    function: ast.FunctionDef, constants: dict[str, str], path: Path, language: str, settings: dict[str, Any]
) -> Iterator[Expected]:
    sources: dict[str, str] = {}
    added = settings.get("added", 0)
    nodes = [n for n in ast.walk(function) if isinstance(n, ast.Assign | ast.Assert | ast.Call)]
    for node in sorted(nodes, key=lambda node: node.lineno):
        match node:
            case ast.Assign(targets=[ast.Name(id=variable)], value=value):
                if (source := _source(value, constants)) is not None:
                    sources[variable] = source
                continue
            case ast.Assert(test=ast.Compare(left=left, ops=[ast.Eq()], comparators=[right])):
                pairs = [(left, right)]
            case ast.Call(
                func=ast.Attribute(attr="assertEqual" | "assert_complexity"), args=[left, right, *_]
            ):
                pairs = [(left, right)]
            case _:
                continue
        for one, other in (*pairs, *((b, a) for a, b in pairs)):
            value = _literal(one)
            place = f"{path.stem}:{node.lineno}"
            if type(value) is int:
                match other:
                    case ast.Attribute(
                        attr="cyclomatic_complexity" | "parameter_count" as attribute,
                        value=ast.Subscript(
                            value=ast.Name(id=variable), slice=ast.Constant(value=int(index))
                        ),
                    ) if variable in sources:
                        metric = "cyclomatic" if attribute == "cyclomatic_complexity" else "parameters"
                        yield Expected(
                            place, sources[variable], language, metric, value, value, name=f"#{index}"
                        )
                        continue
                    case ast.Name(id=variable) if variable in sources and settings.get("metric"):
                        source: str | None = sources[variable]
                    case _:
                        source = _source(other, constants)
                if source is not None and settings.get("metric"):
                    value += added
                    yield Expected(place, textwrap.dedent(source), language, settings["metric"], value, value)
            elif isinstance(value, str):
                match other:
                    case ast.Attribute(
                        attr="name", value=ast.Subscript(value=ast.Name(id=variable), slice=ast.Constant())
                    ) if variable in sources:
                        yield Expected(place, sources[variable], language, "symbol", 1, name=_name(value))


def _literal(node: ast.AST) -> Any:
    try:
        return ast.literal_eval(node) if isinstance(node, ast.expr) else None
    except (ValueError, SyntaxError):
        return None


def _source(node: ast.AST, constants: dict[str, str]) -> str | None:
    """Return the source that a call gets as its first argument, or that a name stands for."""
    match node:
        case ast.Name(id=name):
            return constants.get(name)
        case ast.Call(args=[first, *_]):
            value = _literal(first)
            return value if isinstance(value, str) and " " in value else _source(first, constants)
    return None


def tags(root: Path, settings: dict[str, Any]) -> Iterator[Expected]:
    """Yield the tags of ctags' units whose kind is a function or type in that language."""
    for file in sorted(p for glob in settings["files"] for p in root.glob(glob)):
        for tag in file.read_text(encoding="utf-8", errors="replace").splitlines():
            parts = tag.split("\t")
            match = re.search(r"\t/\^(.*?)\$?/;\"\t(\w)(?:\t|$)", tag)
            if match is None or len(parts) < 4 or not (file.parent / parts[1]).is_file():
                continue
            data = (file.parent / parts[1]).read_bytes()
            language = languages.detect(parts[1], data)
            if match[2] in settings["kinds"].get(language, ""):
                place = f"{file.parent.name}/{parts[1]} {parts[0]}"
                text = data.decode("utf-8", "replace")
                yield Expected(place, text, language, "symbol", 1, name=_name(parts[0]))


FORMATS: dict[str, Callable[[Path, dict[str, Any]], Iterator[Expected]]] = {
    "marks": marks,
    "listing": listing,
    "snippets": snippets,
    "pmd": pmd,
    "literals": literals,
    "tags": tags,
}


@cache
def facts(source: str, language: str) -> BlobFacts:
    """Return our facts of a source."""
    return extract(source.encode(), language)


def found(expected: Expected) -> int | None:
    """Return our number for an expectation; 1 or 0 for a symbol; None where there is no such function."""
    symbols = facts(expected.source, expected.language).symbols
    functions = [s for s in symbols if s.seq and s.kind in ("function", "method")]
    if expected.metric == "symbol":
        return int(any(expected.name in re.split(r"::|\.", _plain(s.qualified_name)) for s in symbols))
    if expected.line is not None:
        # The innermost function that begins up to there; a decorator or annotation is its beginning.
        around = [s for s in functions if s.start_line <= expected.line <= s.end_line]
        return _value(max(around, key=lambda s: s.start_byte), expected.metric) if around else None
    if expected.name == "largest":
        return max((_value(s, expected.metric) for s in (*functions, *symbols[:1])), default=0)
    if expected.name is not None and expected.name.startswith("#"):
        index = int(expected.name[1:])
        return _value(functions[index], expected.metric) if index < len(functions) else None
    if expected.name is not None:
        name, _, parameters = expected.name.partition("/")
        named = [s for s in functions if _name(s.name) == name and parameters in ("", str(s.parameters))]
        return _value(named[0], expected.metric) if len(named) == 1 else None
    units = functions or list(symbols[:1])
    if expected.metric == "cyclomatic":
        return 1 + sum(symbol.decisions or 0 for symbol in (*functions, *symbols[:1]))
    return sum(_value(symbol, expected.metric) for symbol in (*units, *(symbols[:1] if functions else ())))


def _name(text: str) -> str:
    """Return the last part of a name, without the keyword of an accessor."""
    return re.split(r"::|\.", re.sub(r"^(?:get|set) |(?<!operator )\(\)$", "", text).strip("`"))[-1].replace(
        " ", ""
    )


def _plain(name: str) -> str:
    return name.replace(" ", "").replace("`", "")


def _value(symbol: SymbolFact, metric: str) -> int:
    if metric == "cyclomatic":
        return (symbol.decisions or 0) + 1
    return (symbol.cognitive if metric == "cognitive" else symbol.parameters) or 0


def compare(folder: Path, peer: str, settings: dict[str, Any]) -> tuple[Counter[str], list[str]]:
    """Return how many expectations of a peer agree, differ on purpose, or differ; and those that differ, to be read."""
    counts: Counter[str] = Counter()
    shown = []
    with TemporaryDirectory() as made:
        root = Path(made)
        read_commit(folder, peer, settings, root)
        for suite in settings["suites"]:
            for expected in FORMATS[suite["format"]](root, suite):
                if expected.language not in GRAMMARS:
                    continue
                ours = found(expected)
                reasons = [
                    r for r, rule in settings.get("differences", {}).items() if _applies(rule, expected)
                ]
                if ours is not None and expected.low <= ours <= expected.high:
                    counts["agree"] += 1
                    continue
                result = "documented" if reasons else "differ"
                counts[result] += 1
                wanted = expected.name if expected.metric == "symbol" else f"{expected.low}..{expected.high}"
                seen = f"{expected.place} ({expected.language}) {expected.metric} {wanted}, ours {ours}"
                code = textwrap.indent(_extract(expected), "    ")
                shown.append(f"{result}: {seen} [{reasons[0]}]" if reasons else f"{result}: {seen}\n{code}")
    return counts, shown


def _applies(rule: dict[str, str], expected: Expected) -> bool:
    return all(
        re.search(
            pattern, {"place": expected.place, "code": _extract(expected), "metric": expected.metric}[part]
        )
        for part, pattern in rule.items()
    )


def _extract(expected: Expected) -> str:
    """Return the part of a source that an expectation is about."""
    lines = expected.source.splitlines()
    if expected.line is None:
        return "\n".join(lines[:60])
    symbols = facts(expected.source, expected.language).symbols
    around = [
        s
        for s in symbols
        if s.seq and s.decisions is not None and s.start_line <= expected.line <= s.end_line
    ]
    last = max(around, key=lambda s: s.start_byte).end_line if around else expected.line + 3
    return "\n".join(lines[expected.line - 1 : last])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", nargs="*", help="compare with these peers")
    parser.add_argument("--list", action="store_true", help="print what differs")
    options = parser.parse_args()
    total: Counter[str] = Counter()
    print("| peer | expectations | agree | differ by definition | differ | agree of comparable % |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    listed = []
    for peer, settings in yaml.safe_load(PEERS.read_text(encoding="utf-8")).items():
        if options.only and peer not in options.only:
            continue
        counts, shown = compare(options.folder, peer, settings)
        total += counts
        _print_row(peer, counts)
        listed += shown
    _print_row("all", total)
    if options.list:
        print("", *listed, sep="\n")


def _print_row(peer: str, counts: Counter[str]) -> None:
    comparable = counts["agree"] + counts["differ"]
    share = f"{100 * counts['agree'] / comparable:.1f}" if comparable else "-"
    numbers = (counts.total(), counts["agree"], counts["documented"], counts["differ"])
    print(f"| {peer} | {' | '.join(f'{number:,}' for number in numbers)} | {share} |", flush=True)


if __name__ == "__main__":
    main()
