"""Fields, properties and constants that are asked with their type, where something else has the name, too."""

import pytest

from qflow_dagster.knowledge.evidence import NOT_KNOWN
from tests.knowledge.test_uses import Ask, ask, ingested, make_repository, repository

__all__ = ["ask", "ingested", "make_repository", "repository"]

# What declares Oven with the field Heat on line 2, and uses it on line 5; and a type or function Heat.
HEATS = {
    "a.py": (
        "class Oven:\n    Heat = 5\n\n    def bake(self):\n        return self.Heat\n",
        "def Heat():\n    return 1\n",
    ),
    "a.go": (
        "package a\ntype Oven struct { Heat int }\n\nfunc bake(o Oven) int {\n\treturn o.Heat\n}\n",
        "package a\n\ntype Heat struct {\n\tlevel int\n}\n",
    ),
    "a.rs": (
        "pub struct Oven {\n    pub Heat: u8,\n}\nfn bake(oven: Oven) -> u8 {\n    oven.Heat\n}\n",
        "pub struct Heat {\n    level: u8,\n}\n",
    ),
    "a.ts": (
        "export class Oven {\n  Heat = 5;\n}\nexport function bake(oven: Oven) {\n  return oven.Heat;\n}\n",
        "export class Heat {\n  level = 1;\n}\n",
    ),
    "A.java": (
        "class Oven {\n  int Heat = 5;\n\n  int bake(Oven oven) {\n    return oven.Heat;\n  }\n}\n",
        "class Heat {\n  int level;\n}\n",
    ),
    "a.cs": (
        "class Oven {\n  public int Heat { get; set; }\n\n  int Bake(Oven oven) {\n    return oven.Heat;\n  }\n}\n",
        "class Heat {\n  int level;\n}\n",
    ),
    "a.cpp": (
        "struct Oven {\n  int Heat;\n};\nint bake(Oven oven) {\n  return oven.Heat;\n}\n",
        "struct Heat {\n  int level;\n};\n",
    ),
    "a.php": (
        "<?php class Oven {\n  public $Heat = 5;\n\n  function bake() {\n    return $this->Heat;\n  }\n}\n",
        "<?php\nclass Heat {\n  public $level;\n}\n",
    ),
    "a.kt": (
        "class Oven {\n  val Heat = 5\n}\nfun bake(oven: Oven): Int {\n  return oven.Heat\n}\n",
        "class Heat {\n  val level = 1\n}\n",
    ),
    "a.swift": (
        "struct Oven {\n  var Heat = 5\n}\nfunc bake(oven: Oven) -> Int {\n  return oven.Heat\n}\n",
        "struct Heat {\n  var level = 1\n}\n",
    ),
}
# What declares Oven with a constant, and has it with the name of the type on line 5, and without it on line 6.
LIMITS = {
    "a.py": "class Oven:\n    LIMIT = 5\n    @classmethod\n    def bake(cls):\n        x = Oven.LIMIT\n        return cls.LIMIT\n",
    "a.rb": "module Oven\n  LIMIT = 5\n\n  def self.bake\n    x = Oven::LIMIT\n    LIMIT + x\n  end\nend\n",
    "a.php": (
        "<?php class Oven {\n  const LIMIT = 5;\n\n  function bake() {\n    $x = Oven::LIMIT;\n    return self::LIMIT;\n  }\n}\n"
    ),
    "A.java": "class Oven {\n  static int LIMIT = 5;\n\n  int bake() {\n    int x = Oven.LIMIT;\n    return LIMIT;\n  }\n}\n",
    "a.cs": "class Oven {\n  const int LIMIT = 5;\n\n  int Bake() {\n    var x = Oven.LIMIT;\n    return LIMIT;\n  }\n}\n",
    "a.rs": (
        "struct Oven; impl Oven {\n    const LIMIT: u8 = 5;\n\n    fn bake() -> u8 {\n        let x = Oven::LIMIT;\n"
        "        Self::LIMIT\n    }\n}\n"
    ),
}


@pytest.mark.parametrize("path", HEATS)
def test_a_field_is_not_denied_because_something_else_has_its_name(path: str, ask: Ask) -> None:
    oven, heat = HEATS[path]
    files = {path: oven, f"other/{path}": heat}
    name = "Oven.$Heat" if path == "a.php" else "Oven.Heat"
    assert f"{name} is defined in {path}, line 2" in ask(files, "Where is Oven.Heat defined?").words
    answer = ask(files, "Who uses Oven.Heat?")
    assert answer.understood.kind == "used"
    assert {(path, 2), (path, 5)} == {(item.path, item.line) for item in answer.evidence}
    assert any("of another type may be among these" in limit for limit in answer.limits)


@pytest.mark.parametrize(
    ("path", "content"),
    [
        (
            "a.cs",
            "class Base {\n  public int Heat { get; set; }\n}\nclass Oven : Base {\n}\nclass Heat {\n}\n",
        ),
        ("a.ts", "class Base {\n  Heat = 5;\n}\nclass Oven extends Base {\n}\nclass Heat {\n}\n"),
        ("a.kt", "open class Base {\n  val Heat = 5\n}\nclass Oven : Base() {\n}\nclass Heat {\n}\n"),
        ("a.go", "package a\ntype Base struct { Heat int }\ntype Oven struct {\n\tBase\n}\ntype Heat int\n"),
        (
            "a.py",
            "class Base:\n    Heat = 5\n\nclass Oven(Base):\n    pass\n\nclass Heat:\n    pass\n",
        ),
    ],
)
def test_an_inherited_field_is_that_of_its_type(path: str, content: str, ask: Ask) -> None:
    answer = ask({path: content}, "Where is Oven.Heat defined?")
    assert f"Base.Heat is defined in {path}, line 2" in answer.words
    assert "Oven has no Heat of its own; this is of Base.Heat, which it inherits" in answer.limits


def test_an_attribute_that_a_method_sets_is_no_denial(ask: Ask) -> None:
    files = {
        "a.py": "class Oven:\n    def __init__(self, heat):\n        self.heat = heat\n",
        "b.py": "def heat():\n    return 1\n",
    }
    assert "Oven.heat is defined in a.py, line 3" in ask(files, "Where is Oven.heat defined?").words


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("a.rs", "struct Oven {\n    heat: Heat,\n}\nstruct Heat {\n    level: u8,\n}\n"),
        ("a.swift", "struct Oven {\n  static let heat = 5\n}\nstruct Heat {\n  var level = 1\n}\n"),
        ("a.cs", "class Oven {\n  int heat;\n}\nclass Heat {\n  int level;\n}\n"),
        ("a.go", "package a\ntype Oven struct { heat Heat }\n\ntype Heat struct {\n\tlevel int\n}\n"),
    ],
)
def test_a_field_comes_before_a_type_whose_name_has_another_case(path: str, content: str, ask: Ask) -> None:
    answer = ask({path: content}, "Where is Oven.heat defined?")
    assert f"Oven.heat is defined in {path}, line 2" in answer.words
    assert not answer.limits


def test_a_member_that_a_type_does_not_have_is_denied(ask: Ask) -> None:
    files = {"a.go": "package a\ntype Oven struct { Heat int }\n\ntype Grill struct {\n\tlevel int\n}\n"}
    files["b.go"] = "package a\n\nfunc Level() {\n}\n"
    answer = ask(files, "Who uses Oven.Level?")
    assert answer.understood.kind == NOT_KNOWN
    assert "defines no Level" in answer.words


def test_a_member_of_a_variable_is_what_has_its_name(ask: Ask) -> None:
    files = {
        "lib/context.js": "module.exports = {\n  toss (...args) {\n    return args\n  }\n}\n",
        "app.js": "const fs = require('fs')\nfunction run (ctx) {\n  ctx.toss(1)\n  fs.toss(2)\n}\n",
    }
    answer = ask(files, "What does ctx.toss do?")
    assert "lib/context.js:2" in answer.words
    assert "what ctx is, is not known; this is of what has the name toss" in answer.limits
    assert "lib/context.js" not in ask(files, "What does fs.toss do?").words


@pytest.mark.parametrize("path", LIMITS)
def test_uses_of_a_constant_are_not_only_those_with_the_name_of_its_type(path: str, ask: Ask) -> None:
    separator = "::" if path in ("a.rb", "a.rs", "a.php") else "."
    answer = ask({path: LIMITS[path]}, f"Who uses Oven{separator}LIMIT?")
    assert {(path, 2), (path, 5), (path, 6)} == {(item.path, item.line) for item in answer.evidence}


def test_lines_with_a_name_and_what_is_no_type_stay_literal(ask: Ask) -> None:
    files = {"a.js": "export const port = process.env.LIMIT\nconst other = { LIMIT: 1 }\n"}
    answer = ask(files, "Who uses process.env.LIMIT?")
    assert [(item.path, item.line) for item in answer.evidence] == [("a.js", 1)]
