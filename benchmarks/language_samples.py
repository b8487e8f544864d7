"""Comparison of language detection and flags with Linguist's own samples and assertions.

    python -m benchmarks.language_samples CHECKOUT

`CHECKOUT` is a checkout of https://github.com/github-linguist/linguist. Its folder `samples` holds files by language;
its tests assert which files are generated, vendored and documentation. With `--list`, each difference is printed.
"""

import argparse
import re
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import yaml

from qflow_dagster.ingestion import classify, languages
from qflow_dagster.ingestion.extraction import generated, text

TESTS = ("test_blob.rb", "test_file_blob.rb", "test_generated.rb")
PLAIN = re.compile(
    r"(?P<word>assert|refute)(?:_predicate)?\s*\(?(?P<not>!?)\s*(?P<folder>sample|fixture)_blob(?:_memory)?"
    r"\(?\s*[\"'](?P<path>[^\"']+)[\"']\)?(?:\.|, :)(?P<flag>generated|vendored|documentation)\?"
)
HELPER = re.compile(
    r"generated_(?P<folder>sample|fixture)_(?:without_)?loading_data\([\"'](?P<path>[^\"']+)[\"'](?P<not>, true)?\)"
)


class Assertion(NamedTuple):
    """A statement of Linguist's tests on a file, whose content may be part of the checkout."""

    flag: str
    path: str
    content: bytes
    expected: bool


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("checkout", type=Path)
    parser.add_argument("--list", action="store_true", help="print each difference")
    arguments = parser.parse_args()
    differences: list[str] = []
    print(
        "| samples | right | no language | wrong | microseconds each |\n| ---: | ---: | ---: | ---: | ---: |"
    )
    results, seconds = compare_samples(arguments.checkout, differences)
    shares = " | ".join(_share(results[result], results.total()) for result in ("right", "none", "wrong"))
    print(f"| {results.total():,} | {shares} | {seconds / results.total() * 1e6:.0f} |\n")
    print("| flag | assertions | agree |\n| --- | ---: | ---: |")
    totals, agreed = compare_assertions(arguments.checkout, differences)
    for flag, total in (*totals.items(), ("all", totals.total())):
        agreeing = agreed.total() if flag == "all" else agreed[flag]
        print(f"| {flag} | {total:,} | {_share(agreeing, total)} |")
    if arguments.list:
        print("", *sorted(differences), sep="\n")


def compare_samples(checkout: Path, differences: list[str]) -> tuple[Counter[str], float]:
    """Return how many samples are right, wrong, or without a language, and the seconds of detection."""
    entries = yaml.safe_load((checkout / "lib/linguist/languages.yml").read_text(encoding="utf-8"))
    names = {entry.get("fs_name", name): name for name, entry in entries.items()}
    results: Counter[str] = Counter()
    seconds = 0.0
    for path in sorted((checkout / "samples").rglob("*")):
        if not path.is_file():
            continue
        expected = names[path.relative_to(checkout / "samples").parts[0]]
        head = path.read_bytes()[: languages.HEAD_BYTES]
        started = time.perf_counter()
        detected = languages.detect(path.name, head if languages.needs_head(path.name) else b"")
        seconds += time.perf_counter() - started
        result = "right" if detected == expected else "wrong" if detected else "none"
        results[result] += 1
        if result != "right":
            differences.append(
                f"{result}: {path.relative_to(checkout)}: {expected}, detected: {detected or '-'}"
            )
    return results, seconds


def compare_assertions(checkout: Path, differences: list[str]) -> tuple[Counter[str], Counter[str]]:
    """Return the number of assertions, and of those we agree with, by flag."""
    totals: Counter[str] = Counter()
    agreed: Counter[str] = Counter()
    for assertion in dict.fromkeys(assertions(checkout)):
        flags = classify.classify(assertion.path)
        value = getattr(flags, assertion.flag)
        if assertion.flag == "generated" and not value:
            language = languages.detect(assertion.path, assertion.content[: languages.HEAD_BYTES])
            encoding = text.encoding(assertion.content)
            value = bool(encoding) and generated.is_generated(
                text.as_utf8(assertion.content, encoding), language
            )
        totals[assertion.flag] += 1
        agreed[assertion.flag] += value == assertion.expected
        if value != assertion.expected:
            differences.append(f"{assertion.flag} is {value}: {assertion.path}")
    return totals, agreed


def assertions(checkout: Path) -> Iterator[Assertion]:
    """Yield the assertions on flags in Linguist's tests."""
    folders = {"sample": checkout / "samples", "fixture": checkout / "test" / "fixtures"}
    for name in TESTS:
        source = (checkout / "test" / name).read_text(encoding="utf-8")
        for pattern in (PLAIN, HELPER):
            for match in pattern.finditer(source):
                groups = match.groupdict()
                path = folders[groups["folder"]] / groups["path"]
                content = path.read_bytes() if path.is_file() else b""
                negative = (groups.get("word") == "refute") != bool(groups["not"])
                yield Assertion(groups.get("flag") or "generated", groups["path"], content, not negative)


def _share(part: int, total: int) -> str:
    return f"{part:,} ({part / total:.1%})"


if __name__ == "__main__":
    main()
