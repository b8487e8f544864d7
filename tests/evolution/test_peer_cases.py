"""Reading the cases of other linters' tests, and comparing our matches and changes with them."""

from pathlib import Path

import pytest

from benchmarks.peer_cases import java, marks, python
from benchmarks.peer_cases.cases import ANYWHERE, Case, compare, valid_parts

RUST = """\
fn f() -> u8 {
    return 1;
    //~^ needless_return
}
fn g() -> bool {
    g() == true //~ bool_comparison
}
fn h() {}
"""
GO = """\
package p

func f() {
\tx == true //@ diag(`simplify`)
\ty()
}
"""
CRITIC = """\
package p

func f() {
\t/*! first */
\t/*! second */
\tx()
}
"""
BUGBEAR = """\
def f(a=[], b={}):  # B006: 8 # B006: 14
    s.strip("ab")  # B005: 4
"""
PMD = """\
<test-data xmlns="http://pmd.sourceforge.net/rule-tests">
<test-code><expected-problems>1</expected-problems><expected-linenumbers>2</expected-linenumbers>
<code><![CDATA[
class C {
    Object o;
}
]]></code></test-code>
<test-code><rule-property name="x">y</rule-property><expected-problems>0</expected-problems>
<code>class D { }</code></test-code>
</test-data>
"""
ERROR_PRONE = '''\
class T {
  @Test public void marked() {
    helper.addSourceLines("A.java", """
        class A {
          // BUG: Diagnostic contains: "x"
          int a = b;
        }
        """).doTest();
  }
  @Test public void changed() {
    helper.addInputLines("A.java", "class A {", "  int a;", "}")
        .addOutputLines("A.java", "class A {", "  int b;", "}").doTest();
  }
  @Test public void option() {
    helper.setArgs("-X").addSourceLines("A.java", "class A { }").doTest();
  }
}
'''
PYUPGRADE = """\
@pytest.mark.parametrize('s', ('f(x)', pytest.param('g(x)', id='g')))
def test_noop(s): ...

@pytest.mark.parametrize(('s', 'expected'), (('a\\n'
                                              'b', 'a\\nc'),))
def test_fix(s, expected): ...

@pytest.mark.parametrize(('s', 'version'), (('h(x)', (3, 7)),))
def test_other(s, version): ...
"""


def read(tmp_path: Path, name: str, text: str) -> list[Path]:
    path = tmp_path / name
    path.write_text(text)
    return [path]


@pytest.mark.parametrize(
    ("format_", "name", "text", "message", "bad"),
    [
        ("clippy", "a.rs", RUST, "^needless_return$", (2,)),
        ("clippy", "a.rs", RUST, "^bool_comparison$", (6,)),
        ("staticcheck", "a.go", GO, "", (4,)),
        ("go-critic", "a.go", CRITIC, "", (6, 6)),
        ("bugbear", "a.py", BUGBEAR, "^B006$", (1, 1)),
        ("bugbear", "a.py", BUGBEAR, "^B005$", (2,)),
    ],
)
def test_marks(
    tmp_path: Path, format_: str, name: str, text: str, message: str, bad: tuple[int, ...]
) -> None:
    (case,) = marks.cases_of(format_, tmp_path, read(tmp_path, name, text), message)
    assert case.bad == bad
    assert len(case.code.split("\n")) == len(text.split("\n"))
    assert not any(mark in case.code for mark in ("//~", "//@", "/*!", "# B0"))


def test_functions_without_a_mark_are_valid(tmp_path: Path) -> None:
    (case,) = marks.cases_of("clippy", tmp_path, read(tmp_path, "a.rs", RUST), "^needless_return$")
    assert valid_parts(case) == 2


def test_java(tmp_path: Path) -> None:
    (case,) = java.pmd(tmp_path, read(tmp_path, "a.xml", PMD))
    assert (case.bad, case.code) == ((2,), "class C {\n    Object o;\n}\n")
    marked, changed = java.error_prone(tmp_path, read(tmp_path, "ATest.java", ERROR_PRONE))
    assert (marked.bad, marked.code) == ((3,), "class A {\n\n  int a = b;\n}\n")
    assert (changed.bad, changed.fixed) == ((2,), ("class A {\n  int b;\n}",))
    text = 'class T { void t() { java("""\n    class A { }\n    """, """\n    class B { }\n    """); } }'
    (pair,) = java.openrewrite(tmp_path, read(tmp_path, "BTest.java", text))
    assert (pair.code, pair.fixed) == ("class A { }\n", ("class B { }\n",))


def test_python(tmp_path: Path) -> None:
    cases = list(python.pyupgrade(tmp_path, read(tmp_path, "a_test.py", PYUPGRADE)))
    assert [(case.code, case.bad, case.fixed) for case in cases] == [
        ("f(x)", (), ()),
        ("g(x)", (), ()),
        ("a\nb", (2,), ("a\nc",)),
    ]


@pytest.mark.parametrize(
    ("bad", "matches", "missed", "wrong"),
    [
        ((2,), [(1, 3), (2, 2)], [], [1]),
        ((ANYWHERE, 4), [(4, 4)], [ANYWHERE], []),
        ((), [(1, 1)], [], [1]),
    ],
)
def test_places(
    bad: tuple[int, ...], matches: list[tuple[int, int]], missed: list[int], wrong: list[int]
) -> None:
    compared = compare(Case("c", "go", "a\nb\nc\nd\n", bad), matches, [])
    assert (compared.missed, compared.wrong) == (missed, wrong)


@pytest.mark.parametrize(
    ("ours", "same", "different"),
    [
        ("A\nb\nc\n", 1, 0),
        ("a\nB\nc\n", 0, 0),
        ("a\nb\nX\n", 0, 1),
        ("A\nb\nX\n", 1, 1),
        ("A \nb\nC\n", 2, 0),
        ("A\nb\nC+++d\n", 1, 1),
    ],
)
def test_changes(ours: str, same: int, different: int) -> None:
    compared = compare(Case("c", "go", "a\nb\nc\n", (1, 3), ("A\nb\nC\n",)), [], [ours])
    assert (compared.same, len(compared.different)) == (same, different)
