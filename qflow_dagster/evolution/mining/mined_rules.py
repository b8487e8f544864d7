"""Writing a template as a rule: pattern, constraints, fix and examples.

The pattern is written for ast-grep, in a context in which it parses, with examples that the rule satisfies.
Runs in worker processes: the examples are untrusted text.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from ast_grep_py import SgRoot

from qflow_dagster.evolution import examples, matchers
from qflow_dagster.evolution.mining.anti_unification import Edit, holes, leaves, match, written
from qflow_dagster.evolution.mining.concrete_edits import squeezed
from qflow_dagster.evolution.rules import AstGrep, Example, Matcher, Rule

PACK = "mined"
MAX_EXAMPLES = 3
# Contexts that turn a snippet into a complete file, simplest first.
_WRAPPERS = {
    "python": ("%s\n", "def f(%s):\n    pass\n", "x: %s = 1\n"),
    "javascript": ("%s\n", "x = %s\n", "class C {\n    %s\n}\n", "function f(%s) {\n}\n"),
    "go": (
        "package p\n\nfunc f() {\n\t%s\n}\n",
        "package p\n\nvar x = %s\n",
        "package p\n\n%s\n",
        "package p\n\nfunc f() {\n\tfor %s {\n\t}\n}\n",
        "package p\n\nfunc f(%s) {\n}\n",
        "package p\n\nvar x %s\n",
    ),
    "java": (
        "class C {\n    void m() {\n        %s\n    }\n}\n",
        "class C {\n    void m() {\n        x = %s;\n    }\n}\n",
        "class C {\n    %s\n}\n",
        "%s\n",
        "class C {\n    void m(%s) {\n    }\n}\n",
        "class C {\n    %s x;\n}\n",
    ),
    "rust": (
        "fn f() {\n    %s\n}\n",
        "fn f() {\n    %s;\n}\n",
        "fn f() {\n    x = %s;\n}\n",
        "%s\n",
        "fn f(%s) {\n}\n",
        "fn f() -> %s {\n}\n",
    ),
}
_TYPED = (*_WRAPPERS["javascript"], "let x: %s;\n")
# The words of the wrappers.
WRAPPING = frozenset(["package", "p", "func", "f", "var", "x", "class", "C", "void", "m", "fn", "s"])
# Texts that ast-grep would read as metavariables.
_WORD = re.compile(r"\w+")
_HOLE = re.compile(r"(?<!\$)(\$++)([A-Z])")
_METAVARIABLE = re.compile(r"\$\$\$|\$[A-Z_]")


def rules_of(language: str, template: Edit, instances: Sequence[Edit], times: int) -> list[Rule]:
    """Return the template as draft rules, with examples from its instances.

    `instances` are distinct; there were `times` edits in total. The general rule comes first, then one that
    is restricted to the words that were seen, if they occurred repeatedly. Empty if no pattern
    matches the instances, the fix has another result, or the rule matches its own fix.
    """
    if any(_METAVARIABLE.search(leaf.text) for side in template for leaf in leaves(side)):
        return []
    pairs = sorted(
        {(written(edit.left), written(edit.right)) for edit in instances}, key=lambda p: (len(p[0]), p)
    )
    seen_words = _seen_words(template, instances, times // 2)
    return [
        rule
        for words in ({}, seen_words)[: 1 + bool(seen_words)]
        if (rule := _written(language, template, words, pairs))
    ]


def _seen_words(template: Edit, instances: Sequence[Edit], max_words: int) -> dict[str, list[str]]:
    """Return the words of each hole that only ever stood for a word, if it has at most `max_words`."""
    words: dict[str, set[str]] = defaultdict(set)
    for edit in instances:
        for name, trees in (match(template.left, edit.left) or {}).items():
            words[name].add(written(trees[0]) if len(trees) == 1 else "")
    open_ = {hole.name for hole in holes(template.left) if not hole.several}
    return {
        name: sorted(values)
        for name, values in words.items()
        if name in open_ and len(values) <= max_words and all(_WORD.fullmatch(word) for word in values)
    }


def _written(
    language: str, template: Edit, words: dict[str, list[str]], pairs: list[tuple[str, str]]
) -> Rule | None:
    for wrapper in wrappers(language):
        for matcher in _matchers(language, template, words):
            rule = _rule(language, template, matcher, words)
            good_examples = [
                example for pair in pairs if (example := _example(rule, language, wrapper, pair)) is not None
            ]
            # A rule that fails on most of its instances is not what they have in common.
            if good_examples and 2 * len(good_examples) > len(pairs):
                result = rule.model_copy(update={"examples": tuple(good_examples[:MAX_EXAMPLES])})
                if not examples.problems(result):
                    return result
    return None


def wrappers(language: str) -> tuple[str, ...]:
    """Return the contexts that turn a snippet of a language into a complete file."""
    return _WRAPPERS.get(language, _TYPED)


def write_batch(
    context: None, batch: list[tuple[int, str, Edit, list[Edit], int]]
) -> list[tuple[int, list[Rule]]]:
    """Write templates as rules; runs in a worker process."""
    return [(i, rules_of(language, edit, instances, times)) for i, language, edit, instances, times in batch]


def words_of(pattern: str) -> set[str]:
    """Return the words of a pattern, without metavariables."""
    return set(re.findall(r"\w+", re.sub(r"(?<!\$)\$++[A-Z_][A-Z0-9_]*", " ", pattern)))


def one_line(text: str, max_length: int = 90) -> str:
    """Return a text on one line, without control characters, cut at `max_length`."""
    line = "".join(c for c in " ".join(text.split()) if c.isprintable())
    return line if len(line) <= max_length else f"{line[: max_length - 2]}.."


def _matchers(language: str, template: Edit, words: dict[str, list[str]]) -> Iterator[AstGrep]:
    left, right = written(template.left), written(template.right)
    constraints: dict[str, Any] = {}
    for hole in holes(template.left):
        if hole.name in words:
            constraints[hole.name] = {"regex": f"^({'|'.join(words[hole.name])})$"}
        elif hole.kind and not hole.several:
            constraints[hole.name] = {"kind": hole.kind}
    # A match inside its own fix would be matched again.
    if squeezed(left) in squeezed(right):
        unless: Any = {"inside": {"pattern": right, "stopBy": "end"}}
    else:
        # Its holes are renamed: they stand for other code than those of the match.
        unless = {"pattern": _HOLE.sub(r"\1OF_\2", right)}
    patterns: list[Any] = [left]
    for wrapper in wrappers(language):
        if wrapper != "%s\n":
            patterns.append({"context": _wrapped(wrapper, left), "selector": template.left.kind})
    for pattern in patterns:
        rule = {"pattern": pattern}
        yield AstGrep(rule=rule, constraints=constraints)
        yield AstGrep(rule={"all": [rule, {"not": unless}]}, constraints=constraints)


def _wrapped(wrapper: str, text: str) -> str:
    """Return the text in its wrapper, further lines indented like the first."""
    indent = re.search(r"^([ \t]*+)[^\n%]*+%s", wrapper, re.MULTILINE)
    return wrapper.replace("%s", text.replace("\n", f"\n{indent[1] if indent else ''}"))


def _rule(language: str, template: Edit, matcher: AstGrep, words: dict[str, list[str]]) -> Rule:
    left, right = written(template.left), written(template.right)
    title = f"`{one_line(right)}` instead of `{one_line(left)}`"
    if words:
        where = "; ".join(f"${name}: {', '.join(values)}" for name, values in words.items())
        title = f"`{one_line(right, 60)}` instead of `{one_line(left, 60)}` ({one_line(where, 50)})"
    return Rule(
        id=f"mined/{language}-{_slug(left, right)}",
        title=title,
        rationale="Mined from the history of the repository.",
        language=(language,),
        category="maintainability",
        severity="info",
        matcher=Matcher.model_validate({"ast-grep": matcher}),
        fix=right,
        # Replaced by the caller; a rule needs at least one.
        examples=(Example(bad="-", good="-"),),
        source="the repository's history",
        confidence=0,
        status="draft",
        owner="rule miner",
        pack=PACK,
    )


def _slug(left: str, right: str) -> str:
    words = [
        re.findall(r"[a-z0-9]+", re.sub(r"(?<!\$)\$++[A-Z0-9]+", "", side).lower()) for side in (left, right)
    ]
    new = [word for word in words[1] if word not in words[0]] or words[1]
    old = [word for word in words[0] if word not in words[1]] or words[0]
    parts = [*(word[:20] for word in old[:3]), "to", *(word[:20] for word in new[:3])]
    return "-".join(parts)[:70].strip("-")


def _example(rule: Rule, language: str, wrapper: str, pair: tuple[str, str]) -> Example | None:
    """Return an edit as an example; None if the rule's fix has another result."""
    bad, after = (_wrapped(wrapper, side) for side in pair)
    if any(_broken(text, language) for text in (bad, after)):
        return None
    try:
        matches = examples.matches_in(rule, bad, "", language)
    # The binding raises plain exceptions where it cannot read a pattern.
    except Exception:
        return None
    good = matchers.apply_edits(bad, [edit for match in matches for edit in match.edits or []])
    return Example(bad=bad, good=good) if matches and squeezed(good) == squeezed(after) else None


def _broken(text: str, language: str) -> bool:
    root = SgRoot(text, language).root()
    stack = [root]
    while stack:
        node = stack.pop()
        if node.kind() == "ERROR":
            return True
        stack.extend(node.children())
    return False
