"""What a function calls is named with a definition if that is certain, with `may be` if not, and alone if it cannot be.

Of what is only declared again, in stubs and builds, nothing is said.
"""

import pytest

from tests.knowledge.test_uses import Ask, ask, ingested, make_repository, repository

__all__ = ["ask", "ingested", "make_repository", "repository"]

_PYTHON = {
    "loaf.py": "class Loaf:\n    def slices(self):\n        return 1\n",
    "oven.py": "def heat():\n    pass\n\n\ndef bake(box):\n    heat()\n    box.slices()\n    box.crumbs()\n",
    "tests/test_oven.py": "class Plate:\n    def crumbs(self):\n        return 2\n",
}
# The files, where `bake` calls `heat` for certain and `slices` of what has no declared type; how both are said.
POSSIBLE: dict[str, tuple[dict[str, str], str, str]] = {
    "Python": (_PYTHON, "heat (oven.py:1)", "slices (may be loaf.py:2)"),
    "Ruby": (
        {
            "loaf.rb": "class Loaf\n  def slices\n    1\n  end\nend\n",
            "oven.rb": "class Oven\n  def heat\n  end\n\n  def bake(box)\n    heat()\n    box.slices()\n    box.crumbs()\n  end\nend\n",
            "spec/oven_spec.rb": "class Plate\n  def crumbs\n    2\n  end\nend\n",
        },
        "heat (oven.rb:2)",
        "slices (may be loaf.rb:2)",
    ),
    "Go": (
        {
            "go.mod": "module example.org/oven\n",
            "loaf.go": "package oven\n\ntype Loaf struct{}\n\nfunc (l *Loaf) slices() int { return 1 }\n",
            "oven.go": "package oven\n\nfunc heat() {}\n\nfunc bake() {\n\theat()\n\tbox := pool[0]\n\tbox.slices()\n\tbox.crumbs()\n}\n",
            "oven_test.go": "package oven\n\ntype plate struct{}\n\nfunc (p plate) crumbs() {}\n",
        },
        "heat (oven.go:3)",
        "slices (may be loaf.go:5)",
    ),
    "JavaScript": (
        {
            "loaf.js": "export class Loaf {\n  slices() { return 1 }\n}\n",
            "oven.js": "function heat() {}\nexport function bake(box) {\n  heat()\n  box.slices()\n  box.crumbs()\n}\n",
            "test/oven.test.js": "class Plate {\n  crumbs() {}\n}\n",
        },
        "heat (oven.js:1)",
        "slices (may be loaf.js:2)",
    ),
    "PHP": (
        {
            "src/Loaf.php": "<?php\nclass Loaf {\n  function slices() {}\n  private function crumbs() {}\n}\n",
            "src/Oven.php": "<?php\nclass Oven {\n  function heat() {}\n  function bake($box) {\n    $this->heat();\n"
            "    $box->slices();\n    $box->crumbs();\n  }\n}\n",
        },
        "heat (src/Oven.php:3)",
        "slices (may be src/Loaf.php:3)",
    ),
    "Kotlin": (
        {
            "Loaf.kt": "class Loaf {\n  fun slices() = 1\n}\nprivate fun Int.crumbs() = 2\n",
            "Oven.kt": "fun heat() {}\nfun bake() {\n  heat()\n  val box = pool[0]\n  box.slices()\n  box.crumbs()\n}\n",
        },
        "heat (Oven.kt:1)",
        "slices (may be Loaf.kt:2)",
    ),
    "Swift": (
        {
            "Loaf.swift": "struct Loaf {\n  func slices() {}\n}\nprivate extension Int {\n  func crumbs() {}\n}\n",
            "Oven.swift": "func heat() {}\nfunc bake() {\n  heat()\n  let box = pool[0]\n  box.slices()\n  box.crumbs()\n}\n",
        },
        "heat (Oven.swift:1)",
        "slices (may be Loaf.swift:2)",
    ),
    "Java": (
        {
            "Loaf.java": "class Loaf {\n  void slices() {}\n  private void crumbs() {}\n}\n",
            "Oven.java": "class Oven {\n  void heat() {}\n  void bake() {\n    heat();\n    var box = pool[0];\n"
            "    box.slices();\n    box.crumbs();\n  }\n}\n",
        },
        "heat (Oven.java:2)",
        "slices (may be Loaf.java:2)",
    ),
}


@pytest.mark.parametrize("language", POSSIBLE)
def test_what_a_call_may_be_is_no_fact_and_what_it_cannot_be_is_not_named(language: str, ask: Ask) -> None:
    files, certain, possible = POSSIBLE[language]
    answer = ask(files, "what does bake call?")
    assert answer.understood.kind == "calls"
    assert certain in answer.words
    assert possible in answer.words
    # Tests alone have it, or it is private to another file.
    assert ", crumbs" in answer.words
    assert "crumbs (" not in answer.words
    assert len(answer.limits) == 1
    assert answer.limits[0].endswith("of others: slices")


def test_tests_call_what_they_define(ask: Ask) -> None:
    test = _PYTHON["tests/test_oven.py"] + "\n\ndef test_bake(box):\n    box.crumbs()\n"
    answer = ask({**_PYTHON, "tests/test_oven.py": test}, "what does test_bake call?")
    assert "crumbs (may be tests/test_oven.py:2)" in answer.words


# Files where only one definition of `bake` says what it calls, which is `heat`.
DECLARED_AGAIN: dict[str, dict[str, str]] = {
    "Python": {
        "oven.py": "def heat():\n    pass\n\n\ndef bake():\n    heat()\n",
        "kitchen.pyi": "def bake() -> None: ...\n",
    },
    "TypeScript": {
        "oven.ts": "function heat() {}\nexport function bake() {\n  heat()\n}\n",
        "index.d.ts": "export function bake(): void;\n",
    },
    "Kotlin": {
        "Bakes.kt": "interface Bakes {\n  fun bake()\n}\n",
        "Oven.kt": "fun heat() {}\nclass Oven : Bakes {\n  override fun bake() = heat()\n}\n",
    },
    "Java": {
        "Bakes.java": "interface Bakes {\n  void bake();\n}\n",
        "Oven.java": "class Oven implements Bakes {\n  void heat() {}\n  public void bake() {\n    heat();\n  }\n}\n",
    },
}


@pytest.mark.parametrize("language", DECLARED_AGAIN)
def test_of_declarations_without_a_body_nothing_is_said(language: str, ask: Ask) -> None:
    answer = ask(DECLARED_AGAIN[language], "what does bake call?")
    assert "heat" in answer.words
    assert "nothing by name" not in answer.words


def test_of_a_stub_alone_the_definition_of_its_name_is_looked_at(ask: Ask) -> None:
    answer = ask(DECLARED_AGAIN["Python"], "what does kitchen.bake call?")
    assert "bake (oven.py:5) calls heat (oven.py:1)" in answer.words
    assert "only declared in kitchen.pyi:1" in answer.limits[0]


def test_copies_of_a_build_are_not_said_to_call_nothing(ask: Ask) -> None:
    code = "function heat() {}\nexport function bake() {\n  heat()\n}\n"
    answer = ask({"lib/oven.js": code, "dist/oven.js": code}, "what does bake call?")
    assert answer.words.startswith("bake (lib/oven.js:2) calls heat (lib/oven.js:1)")
    assert list(answer.limits) == ["vendored and generated code was not looked at: dist/oven.js:2"]
