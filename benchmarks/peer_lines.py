"""Comparison of code, comment and blank lines with the test files of tokei, cloc and scc.

    python -m benchmarks.peer_lines --tokei CHECKOUT --cloc CHECKOUT --scc CHECKOUT

The checkouts are those of https://github.com/XAMPPRocky/tokei, https://github.com/AlDanial/cloc and
https://github.com/boyter/scc. A file is comparable if it has a language here, and that has a syntax tree or a syntax of
comments, and no difference of definition applies (`DIFFERENT`). tokei and scc count a blank line within a comment as a
comment, so there the lines of code are compared; with cloc all three. With `--list`, each difference is printed.
"""

import argparse
import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from qflow_dagster.ingestion import languages
from qflow_dagster.ingestion.extraction import comments, extract
from qflow_dagster.ingestion.extraction.grammars import GRAMMARS

# Files whose counts follow from another definition than ours, by peer and reason.
DIFFERENT = {
    "tokei": {
        "docstrings are code": "Snakefile cython.pyx graphql.gql mojo.mojo pony.pony python.py",
        "blank lines within strings are code": "roc.roc rust.rs typescript.ts",
        "another language of that extension": "headache.ha k.k menhir.mly",
        "some comments of templates are code": "haml.haml ruby_html.erb",
        "documentation of Raku is code": "raku.raku",
        "comments of Jsonnet are nested": "jsonnet.jsonnet",
    },
    "cloc": {
        "a shebang is code": "Tk messages.rb mfile.mk with_pod.pl",
        "prose is a comment": "Trapezoid_Rule.ipynb test.Rmd",
        "headers that the editor of Visual Basic writes are comments": "JetCar.cls test.Dsr vba_test.vba",
        "directives of a preprocessor are comments": "Assembly-sysv.S",
        "continued lines of documentation are comments": "robotframework.robot",
        "comments in templates that are strings are comments": "Xtend.xtend",
        "some comments of templates are code": "just_stuff.haml sample.ejs",
        "not all forms of comments": "Octave.m md5.rkt sharpsign.cl tictactoe3d.ring",
        "another language of that extension": "ChangeProperties.il Hello.lidr hello.sp"
        " ch10-REPL-oriented-repl-interactions.cj",
    },
    "scc": {},
}
_HEADER = re.compile(rb"(\d+) lines?\D{1,4}(\d+) code\D{1,4}(\d+) comments?\D{1,4}(\d+) blanks?")
_CLOC_TEST = re.compile(
    r"'ref'\s*=>\s*'\.\./tests/outputs/([^']+)',\s*'args'\s*=>\s*'\.\./tests/inputs/([^ ']+)',?\s*\}"
)
_CLOC_COUNTS = re.compile(r"^SUM: *\n  blank: (\d+)\n  comment: (\d+)\n  code: (\d+)", re.MULTILINE)
_GO_TEST = re.compile(r"^func (Test\w+)\(t \*testing\.T\) \{\n(.*?)^\}", re.MULTILINE | re.DOTALL)
_GO_CONTENT = re.compile(r"SetContent\(((?:`[^`]*`|\"(?:[^\"\\]|\\.)*\"|\s*\+\s*)+)\)")
_GO_STRING = re.compile(r"`([^`]*)`|\"((?:[^\"\\]|\\.)*)\"")


class Expected(NamedTuple):
    """A test file of a peer with its counts; `name` tells the language."""

    name: str
    content: bytes
    code: int
    comment: int | None
    blank: int | None


def tokei(checkout: Path) -> Iterator[Expected]:
    """Yield the files whose first line states their counts."""
    for path in sorted((checkout / "tests" / "data").iterdir()):
        content = path.read_bytes()
        if match := _HEADER.search(content[:300]):
            yield Expected(path.name, content, int(match[2]), None, None)


def cloc(checkout: Path) -> Iterator[Expected]:
    """Yield the inputs of cloc's tests that are a single file."""
    source = (checkout / "Unix" / "t" / "00_C.t").read_text(encoding="utf-8")
    for output, name in sorted(_CLOC_TEST.findall(source)):
        path = checkout / "tests" / "inputs" / name
        reported = checkout / "tests" / "outputs" / output
        counts = _CLOC_COUNTS.search(reported.read_text(encoding="utf-8")) if reported.is_file() else None
        if path.is_file() and counts:
            blank, comment, code = map(int, counts.groups())
            yield Expected(name, path.read_bytes(), code, comment, blank)


def scc(checkout: Path) -> Iterator[Expected]:
    """Yield the texts in scc's tests of its counter that assert lines of code."""
    for path in sorted((checkout / "processor").glob("workers*_test.go")):
        for name, body in _GO_TEST.findall(path.read_text(encoding="utf-8")):
            contents = _GO_CONTENT.findall(body)
            language = re.search(r'Language:\s*"([^"]+)"|\[\]string\{"([^"]+)"', body)
            code = re.search(r"\.Code != (\d+)", body)
            if len(contents) != 1 or language is None or code is None:
                continue
            text = "".join(raw or _unquoted(quoted) for raw, quoted in _GO_STRING.findall(contents[0]))
            yield Expected(f"{language[1] or language[2]}:{name}", text.encode(), int(code[1]), None, None)


def _unquoted(quoted: str) -> str:
    return quoted.encode().decode("unicode_escape")


PEERS: dict[str, Callable[[Path], Iterator[Expected]]] = {"tokei": tokei, "cloc": cloc, "scc": scc}


def language_of(expected: Expected) -> str:
    """Return the language of a test file, which scc's tests name."""
    named, colon, _ = expected.name.partition(":")
    if colon:
        return next(iter(languages.by_word(named)), "")
    return languages.detect(expected.name, expected.content[: languages.HEAD_BYTES])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    for peer in PEERS:
        parser.add_argument(f"--{peer}", type=Path)
    parser.add_argument("--list", action="store_true", help="print each difference")
    arguments = parser.parse_args()
    listed = []
    print("| peer | files | no language | no syntax of comments | other definition | comparable | agree |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for peer, files in PEERS.items():
        if not (checkout := getattr(arguments, peer)):
            continue
        results: Counter[str] = Counter()
        for expected in files(checkout):
            language = language_of(expected)
            facts = extract(expected.content, language)
            counts = (facts.code_lines, facts.comment_lines, facts.blank_lines)
            wanted = (expected.code, expected.comment, expected.blank)
            if not language:
                result = "no language"
            elif language not in GRAMMARS and language not in comments.languages():
                result = "no syntax"
            elif any(expected.name in names.split() for names in DIFFERENT[peer].values()):
                result = "other definition"
            else:
                agree = all(theirs in (None, ours) for ours, theirs in zip(counts, wanted, strict=True))
                result = "agree" if agree else "differ"
            results[result] += 1
            if result != "agree":
                listed.append(f"{result}: {peer} {expected.name} ({language}): {counts}, {peer}: {wanted}")
        comparable = results["agree"] + results["differ"]
        cells = (
            results.total(),
            results["no language"],
            results["no syntax"],
            results["other definition"],
            comparable,
        )
        print(
            f"| {peer} | {' | '.join(map(str, cells))} | {results['agree']} ({results['agree'] / comparable:.1%}) |"
        )
    if arguments.list:
        print("", *sorted(listed), sep="\n")


if __name__ == "__main__":
    main()
