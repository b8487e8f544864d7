"""Diffs as pages show them: whole, by file, highlighted, with changed words marked; hostile code costs no time."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qflow_dagster.web.diffs import changed_words, diff_files
from qflow_dagster.web.syntax import highlight, render

PATCH = (
    "diff --git a/src/a.py b/src/a.py\n--- a/src/a.py\n+++ b/src/a.py\n@@ -1,4 +1,5 @@\n def f(x):\n-    return x + 1\n"
    "-    # old\n+    return x + 2\n+    # new é\n+    # more\n y = 'é'\n"
    "diff --git a/b.txt b/b.txt\n--- a/b.txt\n+++ b/b.txt\n@@ -1 +1 @@\n-a\n+b\n"
)


def test_a_diff_is_shown_by_file_with_the_lines_side_by_side() -> None:
    first, second = diff_files(PATCH)
    assert [(file.path, file.added, file.deleted) for file in (first, second)] == [
        ("src/a.py", 3, 2),
        ("b.txt", 1, 1),
    ]
    pairs = [(p.left and p.left.old, p.right and p.right.new) for p in first.pairs()[4:]]
    assert pairs == [(1, 1), (2, 2), (3, 3), (None, 4), (4, 5)]


def test_code_is_highlighted_and_changed_words_are_marked() -> None:
    lines = {line.text: str(line.html) for line in diff_files(PATCH)[0].lines}
    assert lines["-    return x + 1"] == (
        '    <span class="keyword">return</span> x + <span class="literal changed">1</span>'
    )
    assert (
        lines["+    # new é"]
        == '    <span class="comment"># </span><span class="comment changed">new é</span>'
    )
    assert lines[" y = 'é'"] == 'y = <span class="string">&#39;é&#39;</span>'


@pytest.mark.parametrize(
    ("before", "after", "left", "right"),
    [
        ("f(a, b)", "f(a, c)", ["b"], ["c"]),
        ("f(a)", "f(a, b)", [], [", b"]),
        ("one", "entirely different words", [], []),
        ("x " * 200, "x " * 199 + "y", [], []),
    ],
    ids=["a word", "an insertion", "another line", "a long line"],
)
def test_only_lines_that_were_changed_have_marks(
    before: str, after: str, left: list[str], right: list[str]
) -> None:
    old, new = changed_words(before, after)
    assert [before[start:end] for start, end, _ in old] == left
    assert [after[start:end] for start, end, _ in new] == right


@given(st.text(max_size=200), st.sampled_from(["a.py", "a.js", "a.go", "a.rb", "a.sh", "nothing"]))
def test_highlighting_changes_no_text(text: str, path: str) -> None:
    lines = text.split("\n")
    shown = [
        render(line, found).striptags() for line, found in zip(lines, highlight(text, path), strict=True)
    ]
    # `striptags` joins blanks: compare what is left.
    assert ["".join(line.split()) for line in shown] == [
        "".join(render(line).striptags().split()) for line in lines
    ]


def test_hostile_code_is_shown_in_time() -> None:
    bodies = [
        "((((" * 400,
        "`${" * 500,
        "'\\" * 800,
        "a" * 3_000 + "!",
        "/*" * 700,
        "a b " * 100,
        "a c " * 100,
    ]
    changes = "".join(f"-{body}\n+{body}x\n" for body in bodies * 60)
    count = len(bodies) * 60
    started = time.process_time()
    for name in ("x.js", "x.py", "x.rs", "x.cpp"):
        diff_files(f"diff --git a/{name} b/{name}\n@@ -1,{count} +1,{count} @@\n{changes}")
    assert time.process_time() - started < 20
