"""A template as a rule: pattern, constraints, fix, examples, and the facts it rests on.

Belongs here: writing a template in ast-grep's language, in a context that makes it parse, and
choosing examples that hold. Does not belong here: which templates are worth it (`rule_miner`), how
often they were right (`precision`). Called in worker processes: the examples are hostile text.
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
# What a snippet needs around it to be a file of its own, the simplest first.
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
# The words of the wrappers themselves.
WRAPPING = frozenset(["package", "p", "func", "f", "var", "x", "class", "C", "void", "m", "fn", "s"])
# In a text these would be read as metavariables.
_WORD = re.compile(r"\w+")
_HOLE = re.compile(r"(?<!\$)(\$++)([A-Z])")
_METAVARIABLE = re.compile(r"\$\$\$|\$[A-Z_]")


def rules_of(language: str, template: Edit, instances: Sequence[Edit], times: int) -> list[Rule]:
    """The template as rules (drafts, their facts still open), with examples of its instances.

    `instances` are distinct; they were done `times` times. The general rule comes first, then one
    that keeps to the words that were seen, where they came again.
    None where there cannot be one: no pattern finds its own instances, its fix makes something
    else of them, or what it makes is found again.
    """
    if any(_METAVARIABLE.search(leaf.text) for side in template for leaf in leaves(side)):
        return []
    pairs = sorted(
        {(written(edit.left), written(edit.right)) for edit in instances}, key=lambda p: (len(p[0]), p)
    )
    seen = _seen(template, instances, times // 2)
    return [
        rule for words in ({}, seen)[: 1 + bool(seen)] if (rule := _written(language, template, words, pairs))
    ]


def _seen(template: Edit, instances: Sequence[Edit], most: int) -> dict[str, list[str]]:
    """The words each hole stood for, of the holes that only ever stood for a word, at `most` so many."""
    words: dict[str, set[str]] = defaultdict(set)
    for edit in instances:
        for name, trees in (match(template.left, edit.left) or {}).items():
            words[name].add(written(trees[0]) if len(trees) == 1 else "")
    open_ = {hole.name for hole in holes(template.left) if not hole.several}
    return {
        name: sorted(found)
        for name, found in words.items()
        if name in open_ and len(found) <= most and all(_WORD.fullmatch(word) for word in found)
    }


def _written(
    language: str, template: Edit, words: dict[str, list[str]], pairs: list[tuple[str, str]]
) -> Rule | None:
    for wrapper in wrappers(language):
        for matcher in _matchers(language, template, words):
            rule = _rule(language, template, matcher, words)
            good = [one for pair in pairs if (one := _example(rule, language, wrapper, pair)) is not None]
            # Where it fails on most of what it was made of, it does not say what they have in common.
            if good and 2 * len(good) > len(pairs):
                chosen = rule.model_copy(update={"examples": tuple(good[:MAX_EXAMPLES])})
                if not examples.problems(chosen):
                    return chosen
    return None


def wrappers(language: str) -> tuple[str, ...]:
    """What makes a file of a snippet."""
    return _WRAPPERS.get(language, _TYPED)


def write_batch(
    context: None, batch: list[tuple[int, str, Edit, list[Edit], int]]
) -> list[tuple[int, list[Rule]]]:
    """In a worker process: templates as rules."""
    return [(i, rules_of(language, edit, instances, times)) for i, language, edit, instances, times in batch]


def words_of(pattern: str) -> set[str]:
    """The words of a pattern, metavariables left out."""
    return set(re.findall(r"\w+", re.sub(r"(?<!\$)\$++[A-Z_][A-Z0-9_]*", " ", pattern)))


def one_line(text: str, most: int = 90) -> str:
    """A text on one line, without control characters, cut at `most`."""
    line = "".join(c for c in " ".join(text.split()) if c.isprintable())
    return line if len(line) <= most else f"{line[: most - 2]}.."


def _matchers(language: str, template: Edit, words: dict[str, list[str]]) -> Iterator[AstGrep]:
    left, right = written(template.left), written(template.right)
    constraints: dict[str, Any] = {}
    for hole in holes(template.left):
        if hole.name in words:
            constraints[hole.name] = {"regex": f"^({'|'.join(words[hole.name])})$"}
        elif hole.kind and not hole.several:
            constraints[hole.name] = {"kind": hole.kind}
    # What the fix puts around the match, or what it adds to it, would be found again.
    if squeezed(left) in squeezed(right):
        unless: Any = {"inside": {"pattern": right, "stopBy": "end"}}
    else:
        # Its holes have names of their own: they stand for other code than those of the match.
        unless = {"pattern": _HOLE.sub(r"\1OF_\2", right)}
    patterns: list[Any] = [left]
    for wrapper in wrappers(language):
        if wrapper != "%s\n":
            patterns.append({"context": _placed(wrapper, left), "selector": template.left.kind})
    for pattern in patterns:
        rule = {"pattern": pattern}
        yield AstGrep(rule=rule, constraints=constraints)
        yield AstGrep(rule={"all": [rule, {"not": unless}]}, constraints=constraints)


def _placed(wrapper: str, text: str) -> str:
    """The text in its wrapper, further lines indented as the first."""
    indent = re.search(r"^([ \t]*+)[^\n%]*+%s", wrapper, re.MULTILINE)
    return wrapper.replace("%s", text.replace("\n", f"\n{indent[1] if indent else ''}"))


def _rule(language: str, template: Edit, matcher: AstGrep, words: dict[str, list[str]]) -> Rule:
    left, right = written(template.left), written(template.right)
    title = f"`{one_line(right)}` instead of `{one_line(left)}`"
    if words:
        where = "; ".join(f"${name}: {', '.join(found)}" for name, found in words.items())
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
        # Taken the place of at once; a rule has at least one.
        examples=(Example(bad="-", good="-"),),
        source="the repository's history",
        confidence=0,
        status="draft",
        owner="rule miner",
        pack=PACK,
    )


def _slug(left: str, right: str) -> str:
    said = [
        re.findall(r"[a-z0-9]+", re.sub(r"(?<!\$)\$++[A-Z0-9]+", "", side).lower()) for side in (left, right)
    ]
    new = [word for word in said[1] if word not in said[0]] or said[1]
    old = [word for word in said[0] if word not in said[1]] or said[0]
    parts = [*(word[:20] for word in old[:3]), "to", *(word[:20] for word in new[:3])]
    return "-".join(parts)[:70].strip("-")


def _example(rule: Rule, language: str, wrapper: str, pair: tuple[str, str]) -> Example | None:
    """A real edit as an example; None where the rule does not do what was done."""
    bad, after = (_placed(wrapper, side) for side in pair)
    if any(_broken(text, language) for text in (bad, after)):
        return None
    try:
        found = examples.matches_in(rule, bad, "", language)
    # The binding raises plain exceptions where it cannot read a pattern.
    except Exception:
        return None
    good = matchers.apply_edits(bad, [edit for match in found for edit in match.edits or []])
    return Example(bad=bad, good=good) if found and squeezed(good) == squeezed(after) else None


def _broken(text: str, language: str) -> bool:
    root = SgRoot(text, language).root()
    stack = [root]
    while stack:
        node = stack.pop()
        if node.kind() == "ERROR":
            return True
        stack.extend(node.children())
    return False
