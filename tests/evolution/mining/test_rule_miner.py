"""Rules are mined from real histories, and from nothing that says nothing."""

from pathlib import Path

import pytest

from qflow_dagster.errors import UsageError
from qflow_dagster.evolution import examples, matchers
from qflow_dagster.evolution.mining import mined_commits, mined_rules, verdicts
from qflow_dagster.evolution.mining.anti_unification import anti_unify
from qflow_dagster.evolution.mining.concrete_edits import concrete_edits
from qflow_dagster.evolution.mining.mined_commits import FilePair, TextPair
from qflow_dagster.evolution.mining.rule_miner import MinedRule, Minima, mine
from qflow_dagster.evolution.rules import Rule
from tests.evolution.mining.histories import history, module, new, old
from tests.ingestion.conftest import ANN, BOB, GitRepository

pytestmark = pytest.mark.usefixtures("no_workers")
# Enough history for a check is another test's matter.
UNCHECKED = Minima(precision=0, confirmed=0, fixed=0)
# And so many changes.
FEW = Minima(precision=0.5)


def mined(repository: GitRepository, **options) -> list[MinedRule]:
    return mine(
        repository.path, tip="HEAD", processes=1, **{"languages": ["python"], "minima": FEW, **options}
    ).rules


def fixed(rule, text: str) -> str:
    found = examples.matches_in(rule, text, "x.py", rule.language[0])
    return matchers.apply_edits(text, [edit for match in found for edit in match.edits or []])


def test_what_several_people_did_becomes_a_rule(repository: GitRepository) -> None:
    history(repository, [(i, new(i), (ANN, BOB)[i % 2]) for i in range(5)])
    [one] = mined(repository)
    assert one.rule.id == "mined/python-has-key-to-in"
    assert one.rule.title == "`$B in $A` instead of `$A.has_key($B)`"
    assert (one.support.edits, one.support.commits, one.support.authors, one.support.files) == (5, 5, 2, 5)
    # Three commits came after the second, and did the same.
    assert (one.check.right, one.check.wrong, one.check.undone, one.check.open) == (3, 0, 0, 2)
    assert one.rule.confidence == 0.8
    assert (one.rule.status, one.rule.owner, one.rule.pack) == ("draft", "rule miner", "mined")
    assert one.support.oids[0] in one.rule.source
    assert "5 commits of 2 authors" in one.rule.rationale
    assert examples.problems(one.rule) == []
    assert fixed(one.rule, "if not other.has_key(key):\n    pass\n") == "if not key in other:\n    pass\n"


def test_seven_times_are_not_enough_to_believe(repository: GitRepository) -> None:
    history(repository, [(i, new(i), ANN) for i in range(8)], files=8)
    assert [one.support.edits for one in mined(repository, minima=Minima())] == [8]
    repository.git("reset", "--quiet", "--hard", "HEAD~")
    assert mined(repository, minima=Minima()) == []


def test_what_one_commit_does_in_many_places_counts_twice(repository: GitRepository) -> None:
    def commit(call: str, *files: int) -> None:
        repository.commit({f"n{i}.py": module(call.format(i), f"f{i}") for i in files})

    commit("d{}.has_key(k)", *range(17))
    commit("k in d{}", *range(8))
    for i in (8, 9, 10):
        commit("k in d{}", i)
    # Two, and one, and one, and one.
    assert mined(repository, minima=Minima()) == []
    for i in (11, 13, 15):
        commit("k in d{}", i, i + 1)
    assert [one.support.edits for one in mined(repository, minima=Minima())] == [17]


def test_what_nobody_does_any_more_is_no_rule(repository: GitRepository) -> None:
    history(repository, [(i, new(i), ANN) for i in range(5)])
    repository.hours += 13 * 24
    repository.commit({"m6.py": "x = 1\n"})
    assert len(mined(repository)) == 1
    repository.hours += 24
    repository.commit({"m6.py": "x = 2\n"})
    assert mined(repository) == []


def test_what_the_last_who_came_by_did_not_do_is_no_rule(repository: GitRepository) -> None:
    history(repository, [(i, new(i), ANN) for i in range(5)] + [(5, "other(5)", BOB)])
    assert mined(repository) == []
    # Until somebody does it again.
    repository.commit({"m6.py": module(new(6), "f6")})
    assert [(one.check.right, one.check.wrong) for one in mined(repository)] == [(4, 1)]


def test_what_was_done_once_is_no_rule(repository: GitRepository) -> None:
    history(repository, [])
    repository.commit({f"m{i}.py": module(new(i), f"f{i}") for i in range(7)})
    assert mine(repository.path, tip="HEAD", processes=1, minima=UNCHECKED).templates == 0


def test_what_is_done_and_undone_is_no_rule(repository: GitRepository) -> None:
    changes = [(i, new(i), ANN) for i in range(5)] + [(i, old(i), BOB) for i in range(2)]
    history(repository, changes)
    assert mined(repository, minima=UNCHECKED) == []
    assert len(mine(repository.path, tip="HEAD", processes=1, minima=UNCHECKED).history.edits) >= 7


def test_another_number_is_no_idiom(repository: GitRepository) -> None:
    for call in ("wait(m{}, 1)", "wait(m{}, 2)"):
        for i in range(3):
            repository.commit({f"m{i}.py": f"{call.format(i)}\n"})
    assert mine(repository.path, tip="HEAD", processes=1, minima=UNCHECKED).templates == 0


def test_what_people_see_and_leave_is_no_rule(repository: GitRepository) -> None:
    rest = "".join(module(f"d.has_key(k{n})", f"g{n}") for n in range(6))
    repository.commit({f"m{i}.py": module(old(i), f"f{i}", rest=rest) for i in range(4)})
    for i in range(4):
        repository.commit({f"m{i}.py": module(new(i), f"f{i}", rest=rest)})
    assert mined(repository) == []
    assert [one.remaining for one in mined(repository, minima=UNCHECKED)] == [24]


def test_what_is_mostly_changed_to_something_else_is_no_rule(repository: GitRepository) -> None:
    others = [(3, "other(3)", ANN), (4, "f(4)", BOB)]
    history(repository, [(i, new(i), (ANN, BOB)[i % 2]) for i in range(2)] + others + [(5, new(5), ANN)])
    assert mined(repository) == []
    assert len(mined(repository, minima=Minima(precision=0.3))) == 1


def test_reverts_merges_and_large_commits_are_not_mined(repository: GitRepository) -> None:
    history(repository, [])
    for i in range(3):
        repository.commit({f"m{i}.py": module(new(i), f"f{i}")}, f"Revert m{i}")
    repository.git("checkout", "--quiet", "-b", "side", "HEAD~2")
    repository.commit({"other.py": "x = 1\n"})
    repository.git("checkout", "--quiet", "main")
    repository.git("merge", "--quiet", "--no-ff", "-m", "merge", "side")
    large = {f"m{i}.py": module(new(i), f"f{i}", rest="# line\n" * 300) for i in range(3, 7)}
    repository.commit(large)
    found = mine(repository.path, tip="HEAD", processes=1)
    assert (any(commit.small for commit in found.history.commits), found.history.edits) == (False, [])


def test_a_renamed_file_is_followed(repository: GitRepository) -> None:
    history(repository, [(0, new(0), ANN), (1, new(1), ANN)])
    for i in (2, 3):
        repository.git("mv", f"m{i}.py", f"moved{i}.py")
        repository.commit({f"moved{i}.py": module(new(i), f"f{i}")})
    [one] = mined(repository)
    assert (one.support.commits, one.support.files, one.check.right) == (4, 4, 2)


def test_formatting_gives_nothing(repository: GitRepository) -> None:
    repository.commit({f"m{i}.py": f"x = f(a,b)\ny{i} = {{'a':1}}\n" for i in range(4)})
    for i in range(4):
        repository.commit({f"m{i}.py": f"x = f(\n    a, b\n)\n\ny{i} = {{'a': 1}}\n"})
    assert mine(repository.path, tip="HEAD", processes=1).history.edits == []


@pytest.mark.parametrize(
    ("language", "name", "before", "after"),
    [
        (
            "go",
            "f{}.go",
            "package p\n\nfunc F{0}() {{\n\tdata, err := ioutil.ReadFile(p{0}, {1})\n}}\n",
            "package p\n\nfunc F{0}() {{\n\tdata, err := os.ReadFile(p{0}, {1})\n}}\n",
        ),
        (
            "javascript",
            "f{}.js",
            "var x = fs.existsSync(p{0}) && {1};\n",
            "var x = fs.statSync(p{0}) && {1};\n",
        ),
        ("typescript", "f{}.ts", "const x: A = foo<B>(p{0}, {1});\n", "const x: A = bar<B>(p{0}, {1});\n"),
        (
            "tsx",
            "f{}.tsx",
            "const x = <A b={{foo(p{0}, {1})}} />;\n",
            "const x = <A b={{bar(p{0}, {1})}} />;\n",
        ),
        (
            "rust",
            "f{}.rs",
            "fn f() {{\n    let x = mem::replace(p{0}.at({1}), None);\n}}\n",
            "fn f() {{\n    let x = p{0}.at({1}).take();\n}}\n",
        ),
        (
            "java",
            "f{}.java",
            "class A {{\n  void f() {{\n    assertThat(p{0}).isEqual({1});\n  }}\n}}\n",
            "class A {{\n  void f() {{\n    assertThat(p{0}).isSame({1});\n  }}\n}}\n",
        ),
    ],
)
def test_every_language_is_mined(
    repository: GitRepository, language: str, name: str, before: str, after: str
) -> None:
    repository.commit({name.format(i): before.format(i, 7 * i) for i in range(4)})
    for i in range(4):
        repository.commit({name.format(i): after.format(i, 7 * i)})
    found = mine(repository.path, tip="HEAD", processes=1, minima=FEW).rules
    assert [one.rule.language for one in found] == [(language,)]
    assert examples.problems(found[0].rule) == []
    assert found[0].check.right == 2


def test_what_there_are_no_rules_for_is_refused(repository: GitRepository) -> None:
    with pytest.raises(UsageError, match="no rules are mined of 'cobol'; there are python"):
        mined(repository, languages=["cobol"])


def test_an_empty_history_gives_nothing(repository: GitRepository) -> None:
    repository.commit({"README": "x"})
    assert mined(repository) == []


RULE_BEFORE = "a = 1\nx = old_call(v)\nb = 2\n"


@pytest.mark.parametrize(
    ("after", "outcome"),
    [
        ("a = 1\nx = new_call(v)\nb = 2\n", ["right"]),
        ("a = 1\nx = new_call(\n    v,\n)\nb = 2\n", ["right"]),
        ("a = 1\nx = new_call(v) + 1\nb = 3\n", ["right"]),
        ("a = 1\nx = new_call(other, w)\nb = 2\n", ["right"]),
        ("a = 1\nx = old_call(new_call)\nb = 2\n", ["wrong"]),
        ("a = 1\nx = other(v)\nb = 2\n", ["wrong"]),
        ("a = 1\nx = old_call(w)\nb = 2\n", ["wrong"]),
        ("a = 1\nb = 2\n", ["gone"]),
        ("a = 1\nx = 1 + old_call(v)\nb = 2\n", []),
        ("a = 2\nx = old_call(v)\nb = 2\n", []),
    ],
)
def test_what_counts_as_right(after: str, outcome: list[str]) -> None:
    edits = [concrete_edits(f"old_call({v})\n", f"new_call({v})\n", "python")[0].edit for v in "ab"]
    template = anti_unify(edits[0], edits[1])
    assert template is not None
    rule = mined_rules.rules_of("python", template, edits, 2)[0]
    finder, file = verdicts.Finder([rule]), FilePair("x.py", "x.py", "python")
    assert [found[3] for found in verdicts.verdicts(finder, TextPair(file, RULE_BEFORE, after))] == outcome
    back = verdicts.verdicts(finder, TextPair(file, after, RULE_BEFORE))
    assert ("undone" in [found[3] for found in back]) == (outcome == ["right"])


def rules_from(pairs: list[tuple[str, str]], times: int) -> list[Rule]:
    edits = [concrete_edits(f"{one}\n", f"{other}\n", "python")[-1].edit for one, other in pairs]
    template = anti_unify(edits[0], edits[1])
    assert template is not None
    return mined_rules.rules_of("python", template, edits, times)


def test_what_is_added_is_added_once() -> None:
    [rule] = rules_from([("f(a)", "f(a, x)"), ("f(b, c)", "f(b, c, x)")], 2)
    assert fixed(rule, "f(d)\nf(e, x)\n") == "f(d, x)\nf(e, x)\n"


def test_words_that_come_again_are_kept_to() -> None:
    pairs = [("old.get_a(f(1))", "new.get_a(f(1))"), ("old.get_b(y)", "new.get_b(y)")]
    assert len(rules_from(pairs, 3)) == 1
    general, narrow = rules_from(pairs, 4)
    assert fixed(general, "old.get_a(z)\nold.report(z)\n") == "new.get_a(z)\nnew.report(z)\n"
    assert fixed(narrow, "old.get_a(z)\nold.report(z)\n") == "new.get_a(z)\nold.report(z)\n"
    assert narrow.title.endswith("($A: get_a, get_b)")


def test_paths_that_look_like_options_are_read(repository: GitRepository) -> None:
    repository.commit({"--help.py": "x = 1\n"})
    repository.commit({"--help.py": "x = 2\n"})
    commits = mined_commits.read_commits(
        repository.path, tip="HEAD", rule_languages=["python"], max_commits=9
    )
    [(_, [pair])] = mined_commits.read_texts(repository.path, commits)
    assert (pair.before, pair.after) == ("x = 1\n", "x = 2\n")
    assert Path(pair.file.path).name == "--help.py"
