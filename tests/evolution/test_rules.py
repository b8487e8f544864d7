"""Rules: packs are read with exact errors, and every rule shipped does what its examples say."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qflow_dagster.errors import UsageError
from qflow_dagster.evolution import examples, matchers
from qflow_dagster.evolution.conditions import FILE, FUNCTION, OPERATORS, SHARED, Condition, ConditionError
from qflow_dagster.evolution.python_targets import targets_in
from qflow_dagster.evolution.rules import PACKS, Rule, load_rules, read_pack
from qflow_dagster.generation.codemods import CODEMODS
from qflow_dagster.generation.fixed_text import fix_text
from qflow_dagster.safety import documents
from qflow_dagster.settings import settings

RULES = load_rules()


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_every_rule_does_what_its_examples_say(rule: Rule) -> None:
    assert examples.problems(rule, fix_text) == []


def test_there_are_enough_rules_worth_having() -> None:
    assert len(RULES) >= 60
    assert sum(rule.fix is not None for rule in RULES) >= 40
    languages = {language for rule in RULES for language in rule.language}
    assert languages >= {"python", "javascript", "typescript", "tsx", "go", "rust", "java", "any"}
    assert {rule.category for rule in RULES} >= {
        "correctness",
        "security",
        "maintainability",
        "modernisation",
    }


def test_every_codemod_is_some_rules() -> None:
    known = {rule.id for rule in RULES}
    assert set(CODEMODS) <= known
    assert {rule.id for rule in RULES if rule.fix == "codemod"} <= set(CODEMODS)


PACK = """\
pack: own
owner: team:me
rules:
  - id: own/rule
    title: A rule of our own
    rationale: Because it is ours.
    language: python
    category: correctness
    severity: warning
    matcher: {ast-grep: {rule: {pattern: foo($A)}}}
    fix: bar($A)
    confidence: 0.9
    source: us
    examples:
      - {bad: "foo(1)\\n", good: "bar(1)\\n"}
"""


@pytest.mark.parametrize(
    ("old", "new", "where", "words"),
    [
        ("severity: warning", "severity: awful", ":9:15", "severity"),
        ("confidence: 0.9", "confidence: 2", ":12:17", "less than or equal to 1"),
        ("id: own/rule", "id: Own Rule", ":4:9", "does not match ^[a-z0-9]"),
        ("{ast-grep: {rule: {pattern: foo($A)}}}", "{}", ":10:14", "exactly one of"),
        ("    source: us\n", "", ":4:5", "source"),
        ("    source: us\n", "    source: us\n    colour: red\n", ":14:13", "colour"),
        (
            "{ast-grep: {rule: {pattern: foo($A)}}}",
            "{metric: {of: file, where: [size > 3]}}",
            "",
            "not a condition",
        ),
        ("rules:", "rules: [", ":4:3", "expected"),
        # A variable that nothing binds would put nothing in its place.
        ("fix: bar($A)", "fix: bar($B)", ":11:10", "has $B, which the matcher does not bind (it binds $A)"),
        ("fix: bar($A)", "fix: bar($$$A)", ":11:10", "line 1, column 5 of the fix has $$$A"),
        ("pattern: foo($A)", "not: {pattern: foo($A)}", ":11:10", "(it binds nothing)"),
        # What is not captured, and what only one of two alternatives captures, would be erased as well.
        (
            "foo($A)}}}\n    fix: bar($A)",
            "foo($_A)}}}\n    fix: bar($_A)",
            ":11:10",
            "$_A, which captures nothing",
        ),
        (
            "foo($A)}}}\n    fix: bar($A)",
            "foo($$$)}}}\n    fix: bar($$$)",
            ":11:10",
            "$$$, which captures nothing",
        ),
        (
            "{pattern: foo($A)}",
            "{any: [{pattern: foo($A)}, {pattern: foo()}]}",
            ":11:10",
            "$A, which not every alternative of the matcher binds",
        ),
    ],
)
def test_a_wrong_pack_is_refused_with_file_line_and_column(
    tmp_path: Path, old: str, new: str, where: str, words: str
) -> None:
    assert old in PACK
    path = tmp_path / "own.yaml"
    path.write_text(PACK.replace(old, new))
    with pytest.raises(UsageError) as error:
        read_pack(path)
    assert f"{path}{where}" in str(error.value)
    assert words in str(error.value)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("    fix: bar($A)\n", "    differs: it calls bar\n"),
        ("fix: bar($A)", "fix: bar($A)\n    safety: safe\n    differs: it calls bar"),
    ],
)
def test_a_safe_fix_and_no_fix_at_all_cannot_differ(tmp_path: Path, old: str, new: str) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(PACK.replace(old, new))
    with pytest.raises(UsageError, match="differs"):
        read_pack(path)


@pytest.mark.parametrize(
    ("pattern", "unused"),
    [
        ("foo($A)", []),
        ("foo($A, $B)", ["$B"]),
        ("foo($A, $B, $B)", []),
        ("foo($A, $_B)", []),
        ("foo($A, $$$C)", ["$$$C"]),
    ],
)
def test_a_variable_that_a_pattern_binds_for_nothing_is_warned_of(
    tmp_path: Path, pattern: str, unused: list[str]
) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(PACK.replace("pattern: foo($A)", f"pattern: '{pattern}'"))
    [rule] = read_pack(path)
    assert rule.unused_variables == unused


def test_a_rule_there_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(PACK + PACK.split("rules:\n")[1])
    with pytest.raises(UsageError, match=r"own\.yaml:16:9: own/rule is there twice"):
        read_pack(path)


def test_folders_of_ones_own_add_rules_and_replace_those_shipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own.yaml").write_text(
        PACK + PACK.split("rules:\n")[1].replace("own/rule", "python/bare-except")
    )
    monkeypatch.setattr(settings().rules, "folders", [str(tmp_path)])
    load_rules.cache_clear()
    try:
        rules = {rule.id: rule for rule in load_rules()}
    finally:
        monkeypatch.undo()
        load_rules.cache_clear()
    assert len(rules) == len(RULES) + 1
    assert rules["own/rule"].owner == "team:me"
    assert rules["python/bare-except"].pack == "own"


def test_a_pattern_that_ast_grep_refuses_is_named(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(PACK.replace("{pattern: foo($A)}", "{kind: no_such_kind}").replace("bar($A)", "bar()"))
    [rule] = read_pack(path)
    with pytest.raises(UsageError, match=r"own/rule \(python\): .*Kind `no_such_kind` is invalid"):
        matchers.check_matcher(rule)


def test_a_rule_that_does_not_hold_is_told_by_its_examples(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(PACK.replace('good: "bar(1)\\n"', 'good: "foo(2)\\n"'))
    [rule] = read_pack(path)
    problems = examples.problems(rule)
    assert any("good is found" in problem for problem in problems)
    assert any("the fix makes of bad 'bar(1)" in problem for problem in problems)


@given(
    st.sampled_from(sorted({**FILE, **SHARED})),
    st.sampled_from(sorted(OPERATORS)),
    st.floats(-1e6, 1e6).map(lambda x: round(x, 3)),
    st.floats(-1e6, 1e6),
)
def test_a_condition_means_what_it_says(measure: str, sign: str, limit: float, value: float) -> None:
    condition = Condition.parse(f" {measure} {sign} {limit:.3f} ", "file")
    assert condition.holds({measure: value}) is OPERATORS[sign](value, limit)
    assert condition.holds({}) is False
    assert condition.sql().startswith(f"{({**FILE, **SHARED})[measure]} ")


@given(st.text(max_size=60))
def test_nothing_but_a_condition_becomes_sql(words: str) -> None:
    try:
        condition = Condition.parse(words, "function")
    except ConditionError:
        return
    expression, sign, number = condition.sql().rsplit(" ", 2)
    assert expression in {**FUNCTION, **SHARED}.values()
    assert sign in {*OPERATORS, "="}
    float(number)


@given(
    st.text(max_size=200),
    st.lists(st.tuples(st.integers(0, 200), st.integers(0, 20), st.text(max_size=5)), max_size=8),
)
def test_edits_change_what_they_name_and_nothing_else(
    text: str, given_edits: list[tuple[int, int, str]]
) -> None:
    edits = [
        matchers.Edit(min(start, len(text)), min(start + length, len(text)), new)
        for start, length, new in given_edits
    ]
    after = matchers.apply_edits(text, edits)
    kept = [
        e for i, e in enumerate(sorted(set(edits))) if all(e.start >= b.end for b in sorted(set(edits))[:i])
    ]
    if len(kept) == len(set(edits)):
        assert len(after) == len(text) + sum(len(e.text) - (e.end - e.start) for e in kept)


@pytest.mark.parametrize(
    ("manifests", "target"),
    [
        ({"pyproject.toml": b'[project]\nrequires-python = ">=3.8"\n'}, "py38"),
        ({"pyproject.toml": b'[tool.poetry.dependencies]\npython = "^3.12"\n'}, "py312"),
        ({"setup.cfg": b"[options]\npython_requires = >=3.9, <4\n"}, "py39"),
        ({"setup.py": b"setup(python_requires='>=3.7')"}, "py37"),
        ({"setup.py": b"setup(python_requires='>=2.7')"}, "py27"),
        ({"pyproject.toml": b"[[[broken"}, "py310"),
        ({}, "py310"),
        ({"setup.py": b"setup(python_requires='>=2.7, !=3.0.*, !=3.1.*')"}, "py27"),
        ({"pyproject.toml": b"[project]\nrequires-python = '>3.7,<4'\n"}, "py37"),
        ({"pyproject.toml": b"[project]\nrequires-python = '==3.9.*'\n"}, "py39"),
        ({"pyproject.toml": b"[tool.ruff]\ntarget-version = 'py312'\n"}, "py312"),
        ({"pyproject.toml": b"[tool.black]\ntarget-version = ['py39', 'py310']\n"}, "py39"),
        ({"setup.cfg": b"[metadata]\nclassifiers =\n  Programming Language :: Python :: 3.11\n"}, "py311"),
        ({"tox.ini": b"[tox]\nenvlist = py38, py312\n"}, "py38"),
        ({"tox.ini": b"[tox]\nenvlist = py{312,27}\n"}, "py27"),
        ({"tox.ini": b"[tox]\nenvlist = py{312,311}\n"}, "py311"),
        ({"setup.py": b"REQUIRES_PYTHON = '>=3.8.0'\nsetup(python_requires=REQUIRES_PYTHON)"}, "py38"),
        ({"setup.cfg": b"[metadata]\nclassifiers =\n  Programming Language :: Python :: 2\n"}, "py27"),
    ],
)
def test_the_python_a_project_supports_is_read_from_its_manifests(
    manifests: dict[str, bytes], target: str
) -> None:
    assert targets_in(manifests).of("src/a.py") == target


def test_a_file_has_the_python_of_the_nearest_folder_that_names_one() -> None:
    legacy = {"old/setup.py": b"setup(python_requires='>=2.7')", "old/new/pyproject.toml": b"[tool.ruff]\n"}
    modern = {"app/pyproject.toml": b"[project]\nrequires-python = '>=3.12'\n"}
    root = {"pyproject.toml": b"[project]\nrequires-python = '>=3.10'\n"}
    targets = targets_in({**legacy, **modern, **root})
    paths = ("a.py", "lib/a.py", "old/a.py", "old/new/a.py", "app/src/a.py", "older/a.py")
    assert list(map(targets.of, paths)) == ["py310", "py310", "py27", "py27", "py312", "py310"]
    # Findings are those of the root, or else of the oldest that a folder names.
    assert targets.repository == "py310"
    assert targets_in(modern).repository == "py312"
    assert targets_in({**modern, **legacy}).of("a.py") == "py27"


def test_comments_suppress_by_line_rule_and_file() -> None:
    rule = next(rule for rule in RULES if rule.id == "go/self-assignment")
    lines = [
        "a.x = a.x // qflow: ignore",
        "a.x = a.x // qflow: ignore[go/self-assignment, go/other]",
        "a.x = a.x // qflow: ignore[go/other]",
        "// qflow: ignore[go/self-assignment]",
        "a.x = a.x",
        "a.x = a.x",
    ]
    code = "package p\nfunc f() {\n" + "\n".join(lines) + "\n}\n"
    found = matchers.find(matchers.Source(code, "a.go"), "go", [rule])
    assert [match.suppressed for match in found] == [True, True, False, True, False]
    code = f"// qflow: ignore-file[go/self-assignment]\n{code}"
    assert all(match.suppressed for match in matchers.find(matchers.Source(code, "a.go"), "go", [rule]))


def test_packs_are_read_alike_by_the_parser_of_packs_of_others() -> None:
    for pack in sorted(PACKS.glob("*.yaml")):
        assert documents.read(pack).data == documents.read(pack, own=True).data
