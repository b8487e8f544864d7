"""The fields of a type are what its declaration declares, in each language: not what functions or other types do."""

import pytest
from sqlalchemy import Engine

from qflow_dagster.ingestion.queries import current_snapshot
from qflow_dagster.knowledge import fields, lookups
from qflow_dagster.knowledge.evidence import QuestionContext
from tests.ingestion.conftest import GitRepository, Ingested, ingested, make_repository, repository

__all__ = ["ingested", "make_repository", "repository"]

# A file that declares a type A, and the fields of that.
FILES = {
    "a.py": (
        "class A:\n    year = attrib(type=int)\n    x: int = 3\n    __slots__ = ('s', 't')\n    a = b = c = 1\n    y: str\n"
        "    p, q = 1, 2\n    if x:\n        z = 1\n\n    def f(self):\n        no = 1\n\n    class B:\n        no = 1\n",
        "year x s t a b c y p q z",
    ),
    "a.rb": (
        "class A < Struct.new(:s)\n  attr_accessor :a, :b\n  attr_reader 'c'\n  X = V = W = 1\n  @@y = 2\n  class << self\n"
        "    attr_writer :w\n  end\n  class B\n    attr_reader :no\n  end\n  def f\n    no = 1\n  end\nend\n",
        "s a b c X V W @@y w",
    ),
    "struct.rb": ("A = Struct.new(:x, :y) do\n  def z; end\nend\n", "x y"),
    "a.js": (
        "class A { x = 1; #y; static z; get w() { return 1 }; constructor(no = 1) { this.no = 1 } }\n",
        "x #y z",
    ),
    "a.ts": ("class A { private x: number = 1; constructor(public q: string, no: number) {} }\n", "x q"),
    "enum.ts": ("enum A { P, Q = 2, R }\n", "P Q R"),
    "interface.ts": ("interface A { a: string; f(): void; readonly b?: number }\n", "a b"),
    "a.cs": (
        "class A { int a, b = 1; const int C = 2; public string D { get; set; } event Action E; class N { int no; }\n"
        "  void F(int no) { int no2 = 1; } }\n",
        "a b C D E",
    ),
    "record.cs": ("record A(int X, int Y);\n", "X Y"),
    "A.java": (
        "class A {\n  static final int M = 1, N = 2;\n  class B { int no; }\n  void f(int no) { int no2; }\n}\n",
        "M N",
    ),
    "e/A.java": ("enum A {\n  P, Q(1);\n  int q;\n}\n", "P Q q"),
    "r/A.java": ("record A(int x, int y) {}\n", "x y"),
    "a.kt": (
        "class A(val x: Int, no: Int) {\n  val z = 1\n  companion object { const val K = 1 }\n"
        "  class N(val no: Int) {}\n}\n",
        "x z K",
    ),
    "a.php": (
        "<?php\nclass A { const X = 1, Y = 2; public int $z; private $w = 1, $v;\n"
        "  public function __construct(private int $q, int $no) { $no = 1; } }\n",
        "X Y $z $w $v $q",
    ),
    "a.swift": (
        "struct A {\n  let a: Int\n  var b = 1, c = 2\n  init() { let no = 1 }\n  func f() { let no = 1 }\n"
        "  var e: Int { let no = 1; return no }\n}\n",
        "a b c e",
    ),
    "p.swift": ("protocol A {\n  associatedtype T\n  var a: T { get }\n  func f()\n}\n", "T a"),
    "a.rs": ("struct A {\n    a: u8,\n    pub b: u8,\n}\n", "a b"),
    "enum.rs": ("enum A {\n    P,\n    Q(u8),\n    R { no: u8 },\n}\n", "P Q R"),
    "a.go": (
        "package a\n\ntype A struct {\n\tBase\n\t*pkg.Other\n\ta, b int\n\tc struct{ no int }\n}\n",
        "Base Other a b c",
    ),
    "a.c": (
        "struct A { int a, *b; union { int c; float d; }; struct { int no; } f; int g[3]; void (*h)(int); };\n",
        "a b c d f g h",
    ),
    "enum.c": ("enum A { P, Q = 2 };\n", "P Q"),
    "a.cpp": (
        "class A { int& r; static constexpr int K = 1; struct N { int no; }; enum class C { NO }; void x() { int no; } };\n",
        "r K",
    ),
}


@pytest.mark.parametrize("path", FILES)
def test_fields_are_those_that_the_type_declares(
    path: str, engine: Engine, repository: GitRepository, ingested: Ingested
) -> None:
    content, expected = FILES[path]
    repository.commit({path: content})
    ingested(repository)
    with engine.connect() as connection:
        snapshot = current_snapshot(connection, "project")
        context = QuestionContext(connection, snapshot, "A", [])
        found = fields.fields_of(context, lookups.symbols(connection, snapshot, "A")[:1])
    assert sorted(lookups.short_name(field.name) for field in found) == sorted(expected.split())
