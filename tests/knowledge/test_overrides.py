"""A change of a member concerns what overrides or implements it in subtypes, and what it overrides itself."""

import pytest

from tests.knowledge.test_uses import Ask, ask, ingested, make_repository, repository

__all__ = ["ask", "ingested", "make_repository", "repository"]

# A file in whose type Base the method `bake` is on line 2, and overridden in a subtype on line 5.
FILES = {
    "a.py": "class Base:\n    def bake(self): ...\n\nclass Oven(Base):\n    def bake(self): return 1\n",
    "a.go": "package a; type Base interface {\n\tbake() int\n}\ntype Oven struct{}\nfunc (o Oven) bake() int { return 1 }\n",
    "a.rs": "trait Base {\n    fn bake(&self);\n}\nstruct Oven; impl Base for Oven {\n    fn bake(&self) {}\n}\n",
    "a.ts": "interface Base {\n  bake(): number\n}\nclass Oven implements Base {\n  bake() { return 1 }\n}\n",
    "a.js": "class Base {\n  bake() {}\n}\nclass Oven extends Base {\n  bake() { return 1 }\n}\n",
    "A.java": "interface Base {\n  int bake();\n}\nclass Oven implements Base {\n  public int bake() { return 1; }\n}\n",
    "a.cs": "interface Base {\n  int bake();\n}\nclass Oven : Base {\n  public int bake() { return 1; }\n}\n",
    "a.cpp": "class Base {\n  virtual int bake() { return 0; }\n};\nclass Oven : public Base {\n  int bake() { return 1; }\n};\n",
    "a.rb": "class Base\n  def bake() = 0\nend\nclass Oven < Base\n  def bake() = 1\nend\n",
    "a.php": "<?php interface Base {\n  function bake();\n}\nclass Oven implements Base {\n  function bake() { return 1; }\n}\n",
    "a.kt": "interface Base {\n  fun bake(): Int\n}\nclass Oven : Base {\n  override fun bake() = 1\n}\n",
    "a.swift": "protocol Base {\n  func bake() -> Int\n}\nclass Oven: Base {\n  func bake() -> Int { return 1 }\n}\n",
}


@pytest.mark.parametrize("path", FILES)
def test_what_overrides_a_member_has_to_be_changed_with_it(path: str, ask: Ask) -> None:
    answer = ask({path: FILES[path]}, "what breaks if I change Base.bake?")
    how = "may be overridden by" if path == "a.go" else "is overridden or implemented by"
    assert f"it {how} Oven.bake ({path}:5)" in answer.words
    assert (path, 5) in {(item.path, item.line) for item in answer.evidence}


@pytest.mark.parametrize("path", sorted(FILES.keys() - {"a.go"}))
def test_a_member_that_overrides_another_one_names_it(path: str, ask: Ask) -> None:
    answer = ask({path: FILES[path]}, "what breaks if I change Oven.bake?")
    assert f"it overrides or implements Base.bake ({path}:2)" in answer.words


def test_members_of_a_name_that_override_nothing_are_not_named(ask: Ask) -> None:
    files = {
        "A.java": "class Base {\n  int bake(int heat) { return heat; }\n  private void cool() {}\n}\n"
        "class Oven extends Base {\n  int bake() { return 1; }\n  void cool() {}\n}\n"
        "class Other {\n  int bake(int heat) { return 1; }\n}\n",
    }
    assert "overrid" not in ask(files, "what breaks if I change Base.bake?").words
    assert "overrid" not in ask(files, "what breaks if I change Base.cool?").words


def test_subtypes_of_subtypes_override(ask: Ask) -> None:
    files = {
        "base.py": "class Base:\n    def bake(self): ...\n",
        "oven.py": "from base import Base\n\nclass Oven(Base): ...\n\nclass Grill(Oven):\n    def bake(self): return 2\n",
    }
    words = ask(files, "what breaks if I change Base.bake?").words
    assert "it is overridden or implemented by Grill.bake (oven.py:6)" in words
