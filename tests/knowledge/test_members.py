"""Members of a type are also those of its parts outside of its declaration, in each language that has such."""

import pytest
from sqlalchemy import Engine

from qflow_dagster.ingestion.queries import current_snapshot
from qflow_dagster.knowledge import answers
from qflow_dagster.knowledge.questions import ParsedQuestion
from tests.ingestion.conftest import GitRepository, Ingested

# Files that declare a type A, what an answer about its members says, and what it does not say.
TYPES: dict[str, tuple[dict[str, str], list[str], list[str]]] = {
    "Rust": (
        {
            "a.rs": "struct A<T> { a: T }\nimpl<T> A<T> {\n fn fill(&self) {}\n}\nunsafe impl<T: X> Draw<T> for A<T> {\n"
            " fn draw(&self) {}\n}\nimpl<T> From<A<T>> for B {\n fn from() {}\n}\nimpl Draw for Vec<A<u8>> {\n fn no() {}\n}\n",
            "b.rs": "impl a::A<u8> {\n fn sip(&self) {}\n}\n",
        },
        [
            "has 4 members: a (a.rs:1)",
            "fill (a.rs:3)",
            "draw (a.rs:6, for Draw)",
            "sip (b.rs:2)",
        ],
        [],
    ),
    "Rust, of several modules": (
        {
            "a.rs": "struct A<T> { a: T }\nimpl<T> A<T> {\n fn fill(&self) {}\n}\n",
            "b.rs": "struct A<T> { b: T }\nimpl<T> A<T> {\n fn sip(&self) {}\n}\n",
            "c.rs": "impl<T> A<T> {\n fn spill(&self) {}\n}\n",
        },
        [
            "A (a.rs:1) has 2 members: a (line 1), fill (line 3)",
            "A (b.rs:1) has 2 members",
            "not known to be of this one: c.rs:1",
        ],
        ["spill"],
    ),
    "Swift": (
        {
            "A+X.swift": "extension A where T: X {\n func fill() {}\n}\n",
            "A.swift": "struct A<T> {\n let a: T\n}\nextension A<Int> {\n func sip() {}\n}\nextension B {\n func no() {}\n}\n",
        },
        ["A (A.swift:1) has 3 members", "a (A.swift:2)", "sip (A.swift:5)", "fill (A+X.swift:2)"],
        ["definitions have"],
    ),
    "Kotlin": (
        {
            "a.kt": "class A<T>(val x: T) {\n  fun fill() = 1\n}\nfun String.no() = 1\n",
            "b.kt": "fun <T> A<T>.sip() = 1\nfun A<*>?.spill() = 1\nfun A.Companion.no() = 1\nfun no(a: A<Int>) = 1\n",
        },
        ["has 2 members: x (line 1), fill (line 2)", "by 2 functions: sip (b.kt:1), spill (b.kt:2)"],
        [],
    ),
    "C#": (
        {
            "a.cs": "partial class A<T> { void Fill() {} }\n",
            "b.cs": "partial class A<T> { int Size; }\n",
            "c.cs": "static class Extensions {\n  public static int Sip<T>(this A<T> a) { return 1; }\n"
            "  public static int No(A<int> a) { return 1; }\n}\n",
        },
        ["has 2 members: Fill (a.cs:1), Size (b.cs:1)", "by 1 function: Sip (c.cs:2)"],
        [],
    ),
    "Ruby": (
        {
            "a.rb": "module M\n  class A\n    def fill; end\n  end\nend\n",
            "b.rb": "module M\n  class A\n    def sip; end\n  end\nend\n",
            "c.rb": "module N\n  class A\n    def spill; end\n  end\nend\n",
        },
        [
            "N.A (c.rb:2) has 1 member: spill (line 3)",
            "M.A (a.rb:2) has 2 members: fill (a.rb:3), sip (b.rb:3)",
        ],
        [],
    ),
    "JavaScript": (
        {
            "a.js": "class A {\n  fill() {}\n}\nA.prototype.sip = function () {}\nB.prototype.no = function () {}\n",
        },
        ["has 1 member: fill (line 2)", "by 1 function: sip (a.js:4)"],
        [],
    ),
    "TypeScript": (
        {"a.ts": "interface A<T> {\n  fill(): void\n}\ninterface A<T> {\n  sip(): void\n}\n"},
        ["has 2 members: fill (line 2), sip (line 5)"],
        [],
    ),
    "Go": (
        {
            "a/a.go": "package a\n\ntype A[T any] struct { a T }\n\nfunc (a *A[T]) Fill() {}\n",
            "a/b.go": "package a\n\nfunc (a A[T]) Sip() {}\n",
        },
        ["has 3 members: a (a/a.go:3), Fill (a/a.go:5), Sip (a/b.go:3)"],
        [],
    ),
    "C, by a typedef": (
        {
            "a.h": "typedef struct a_ {\n  int x;\n  struct a_ *next;\n} A, *AP;\ntypedef struct {\n  int no;\n} B;\n"
        },
        ["A (a.h:4) has 2 members: x (line 2), next (line 3)"],
        [],
    ),
    "C, by a typedef of what is declared": (
        {"a.h": "typedef struct a A;\n", "a.c": "struct b { int no; };\nstruct a {\n  int x;\n};\n"},
        ["A (a.h:1) has 1 member: x (line 3)"],
        [],
    ),
    "Go, no struct": (
        {"a.go": "package a\n\ntype A func(int)\n\nfunc (a A) Fill() {}\n\ntype B = A\n\nfunc no(a A) {}\n"},
        ["A (a.go:3) has 1 member: Fill (line 5)"],
        [],
    ),
}


@pytest.mark.parametrize("case", TYPES)
def test_members_are_those_of_all_parts_of_a_type(
    case: str, engine: Engine, repository: GitRepository, ingested: Ingested
) -> None:
    files, said, unsaid = TYPES[case]
    repository.commit(files)
    ingested(repository)
    with engine.connect() as connection:
        answer = answers.of(
            connection, current_snapshot(connection, "project"), ParsedQuestion("members", "A")
        )
    for words in said:
        assert words in f"{answer.words} {answer.limits}", answer.words
    for words in [*unsaid, "no (", "No ("]:
        assert words not in answer.words


# Files that declare a type A that inherits, and what is said of that.
INHERITING: dict[str, tuple[dict[str, str], str]] = {
    "TypeScript": (
        {
            "a.ts": "import { Base } from './base'\nexport class A extends Base implements Named {\n  own() {}\n  both() {}\n}\n",
            "base.ts": "export abstract class Base extends Error {\n  size = 1\n  private no = 2\n  constructor() { super() }\n"
            "  both() {}\n  sip(): void {}\n}\n",
        },
        "has 2 members: own (line 3), both (line 4); it inherits 2 members: sip (base.ts:6, of Base), "
        "size (base.ts:2, of Base); what it inherits from Named, Error is not of the repository",
    ),
    "TypeScript, interfaces": (
        {"a.ts": "interface Base {\n  size: number\n  sip(): void\n}\ninterface A extends Base {}\n"},
        "A (a.ts:5) has 0 members; it inherits 2 members: sip (a.ts:3, of Base), size (a.ts:2, of Base)",
    ),
    "Python": (
        {
            "a.py": "from b import Base\n\nclass A(Base):\n    def own(self): ...\n",
            "b.py": "class Root:\n    x = 1\n    def f(self): ...\n\nclass Base(Root):\n    x = 2\n",
        },
        "has 1 member: own (line 4); it inherits 2 members: x (b.py:6, of Base), f (b.py:3, of Root)",
    ),
    "Java": (
        {
            "p/A.java": "package p;\nclass A extends Base {\n  void own() {}\n}\n",
            "p/Base.java": "package p;\nclass Base {\n  private int no;\n  Base() {}\n  @Deprecated\n  void sip() {}\n}\n",
        },
        "has 1 member: own (line 3); it inherits 1 member: sip (p/Base.java:6, of Base)",
    ),
    "PHP": (
        {
            "a.php": "<?php\ntrait Warm {\n  function heat() {}\n}\nclass A {\n  use Warm;\n  function own() {}\n}\n"
        },
        "it inherits 1 member: heat (a.php:3, of Warm)",
    ),
    "Rust": (
        {
            "a.rs": "trait Draw {\n  fn no(&self);\n  fn line(&self) {}\n}\nstruct A;\nimpl Draw for A {\n  fn no(&self) {}\n}\n"
        },
        "has 1 member: no (line 7, for Draw); it inherits 1 member: line (a.rs:3, of Draw)",
    ),
    "Go": (
        {
            "a.go": "package a\n\ntype Base struct {\n\tSize int\n}\n\nfunc (b *Base) Sip() {}\n\ntype A struct {\n\t*Base\n"
            "\tsync.Mutex\n}\n"
        },
        "it inherits 2 members: Sip (a.go:7, of Base), Size (a.go:4, of Base); what it inherits from sync.Mutex is not of",
    ),
}


@pytest.mark.parametrize("case", INHERITING)
def test_inherited_members_are_named_apart_with_the_type_that_has_them(
    case: str, engine: Engine, repository: GitRepository, ingested: Ingested
) -> None:
    files, said = INHERITING[case]
    repository.commit(files)
    ingested(repository)
    with engine.connect() as connection:
        snapshot = current_snapshot(connection, "project")
        answer = answers.of(connection, snapshot, ParsedQuestion("members", "A"))
    assert said in answer.words


def test_members_of_a_base_that_several_types_may_be_are_not_named(
    engine: Engine, repository: GitRepository, ingested: Ingested
) -> None:
    repository.commit(
        {
            "a.cpp": "class A : public Base {\n  void own() {}\n};\n",
            **{f"{name}.cpp": f"class Base {{\n  void {name}() {{}}\n}};\n" for name in ("b", "c")},
        }
    )
    ingested(repository)
    with engine.connect() as connection:
        snapshot = current_snapshot(connection, "project")
        answer = answers.of(connection, snapshot, ParsedQuestion("members", "A"))
    assert "inherits" not in answer.words.partition("Not certain")[0]
    assert "which Base it inherits from is not known" in str(answer.limits)
