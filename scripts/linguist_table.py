"""Program that makes `qflow_dagster/ingestion/linguist.tsv` from a checkout of Linguist (`make languages`).

Belongs here: the translation of Linguist's YAML files into the table, and of Ruby's regular expressions into RE2's.
Does not belong here: reading the table (`ingestion/languages.py`, `ingestion/classify.py`), rules that Linguist
does not have (`ingestion/languages.tsv`).
"""

import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import re2
import yaml

TABLE = Path(__file__).parents[1] / "qflow_dagster" / "ingestion" / "linguist.tsv"
HEADER = """\
# Made by `make languages` from https://github.com/github-linguist/linguist, commit {commit}: do not edit.
# Copyright (c) 2017 GitHub, Inc.; MIT License: permission is granted, free of charge, to deal in this data without
# restriction, including to use, copy, modify, merge, publish, distribute, sublicense and sell copies, provided that
# this notice is included; it comes without warranty of any kind.
#
# language    name, type
# alias, interpreter, name, extension    word, languages
# generic     extension that says nothing without its content
# rule        extensions, languages, patterns that match (+) or do not match (-) the content
# vendored, documentation    pattern of paths
"""
# Patterns that use what RE2 does not have (look-around, recursion), by extension and language, rewritten.
REWRITTEN = {
    (".tpl", "Smarty"): r"(?:^|[^{])\{(\*\s|\$|\/)?\w*\b",
    (
        ".txt",
        "Vim Help File",
    ): r"(?:(?:^|[ \t])(?:vi|vim|Vim)|[ \t]ex)(?:m[<=>]?[0-9]+)?:.*[ \t:](?:filetype|ft|syntax)"
    r"[ \t]*=help(?:$|\s|:)",
    (
        ".txt",
        "Hosts File",
    ): r"^(?:(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)\.){3}(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)\b"
    r"(?:/(?:3[0-2]|[12]?\d)\b)?(?:[ \t]+\w[-\w]*(?:\.\w[-\w]*)*\b)*(?:$|\s)",
    (
        ".txt",
        "Adblock Filter List",
    ): r"\A\[(?:(?:[Aa]d[Bb]lock(?:[ \t][Pp]lus)?|u[Bb]lock(?:[ \t][Oo]rigin)?|[Aa]d[Gg]uard)"
    r"(?:[ \t]\d+(?:\.\d+)*)?(?:[ \t]?;[ \t]?)?)+\]",
}
# In Ruby, `m` lets the dot match a newline, which is `s` elsewhere; `^` and `$` always match at each line.
_DOT_ALL = re.compile(r"(\(\?[a-z]*-?[a-z]*)m([a-z]*[:)])")


def main() -> None:
    """Write the table from the checkout that the first argument names."""
    checkout = Path(sys.argv[1])
    commit = subprocess.run(
        ["git", "-C", checkout, "rev-parse", "HEAD"], capture_output=True, text=True, check=True
    ).stdout.strip()
    rows = [*language_rows(_yaml(checkout, "languages"))]
    rows += [("generic", extension) for extension in _yaml(checkout, "generic")["extensions"]]
    rows += rule_rows(_yaml(checkout, "heuristics"))
    rows += [("vendored", _re2(pattern)) for pattern in _yaml(checkout, "vendor")]
    rows += [("documentation", _re2(pattern)) for pattern in _yaml(checkout, "documentation")]
    for row in rows:
        if any(not cell or "\t" in cell or "\n" in cell for cell in row):
            sys.exit(f"not a row of one line: {row}")
    lines = "".join("\t".join(row) + "\n" for row in rows)
    TABLE.write_text(HEADER.format(commit=commit) + lines, encoding="utf-8")
    print(f"{TABLE.name}: {len(rows):,} rows")


def language_rows(languages: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    """Yield the names of languages, and what names them: aliases, interpreters, file names, extensions."""
    words: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for language, entry in languages.items():
        yield "language", language, entry["type"]
        for alias in dict.fromkeys(
            [language.lower().replace(" ", "-"), language.lower(), *entry.get("aliases", ())]
        ):
            words["alias"][alias].append(language)
        for kind, key in (
            ("interpreter", "interpreters"),
            ("name", "filenames"),
            ("extension", "extensions"),
        ):
            for word in entry.get(key, ()):
                words[kind][word.lower() if kind == "extension" else word].append(language)
    for kind, by_word in words.items():
        for word, named in by_word.items():
            yield kind, word, *named


def rule_rows(heuristics: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    """Yield the rules on content, in their order within an extension."""
    for group in heuristics["disambiguations"]:
        extensions = group["extensions"]
        for rule in group["rules"]:
            languages = [rule["language"]] if isinstance(rule["language"], str) else rule["language"]
            if any((extensions[0], language) in REWRITTEN for language in languages):
                patterns = ["+" + _re2(REWRITTEN[extensions[0], languages[0]])]
            else:
                patterns = list(_patterns(rule, heuristics["named_patterns"]))
            yield "rule", " ".join(extensions), "|".join(languages), *patterns


def _patterns(rule: dict[str, Any], named: dict[str, Any]) -> Iterator[str]:
    for part in rule.get("and", ()):
        yield from _patterns(part, named)
    # Linguist takes the first of these keys; none means that the rule always matches.
    if "pattern" in rule:
        yield "+" + _union(rule["pattern"])
    elif "negative_pattern" in rule:
        yield "-" + _union(rule["negative_pattern"])
    elif "named_pattern" in rule:
        yield "+" + _union(named[rule["named_pattern"]])


def _union(patterns: str | list[str]) -> str:
    return _re2(patterns) if isinstance(patterns, str) else _re2("|".join(f"(?:{p})" for p in patterns))


def _re2(pattern: str) -> str:
    translated = _DOT_ALL.sub(r"\1s\2", pattern).replace("\t", r"\t")
    try:
        re2.compile(translated)
    except re2.error as error:
        sys.exit(f"RE2 has no {error}: write it anew in {Path(__file__).name}: {pattern}")
    return translated


def _yaml(checkout: Path, name: str) -> Any:
    return yaml.safe_load((checkout / "lib" / "linguist" / f"{name}.yml").read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
