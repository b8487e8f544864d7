"""Uses of a name beside calls in functions: at top level, as a value, through an interface; each with where it is."""

import re
from collections.abc import Callable

import pytest
from sqlalchemy import Engine

from qflow_dagster.ingestion.queries import current_snapshot
from qflow_dagster.knowledge import answers
from qflow_dagster.knowledge.evidence import NOT_KNOWN, Answer
from qflow_dagster.knowledge.mentions import occurrences
from tests.ingestion.conftest import GitRepository, Ingested, ingested, make_repository, repository

__all__ = ["ingested", "make_repository", "repository"]

Ask = Callable[[dict[str, str], str], Answer]


@pytest.fixture
def ask(engine: Engine, repository: GitRepository, ingested: Ingested) -> Ask:
    """Return a function that asks about a repository of some files."""

    def answer(files: dict[str, str], question: str) -> Answer:
        repository.commit(files)
        ingested(repository)
        with engine.connect() as connection:
            return answers.answer(connection, current_snapshot(connection, "project"), question)

    return answer


# A file whose line 3 calls `heat` outside of each function with a name.
TOP_LEVEL = {
    "a.py": "def heat(): return 1\n\nregister(lambda: heat())\n",
    "a.js": "function heat() { return 1 }\nregister(() => {\n  heat()\n})\n",
    "a.ts": "function heat(): number { return 1 }\nexport default register('x', (data: unknown) =>\n  !heat() && 1)\n",
    "a.go": "package a\nfunc heat() int { return 1 }\nvar hot = func() int { return heat() }\n",
    "a.rs": "fn heat() -> u8 { 1 }\nconst fn other() -> u8 { 1 }\nstatic HOT: u8 = heat();\n",
    "a.rb": "def heat = 1\n\nregister { heat() }\n",
    "a.php": "<?php\nfunction heat() { return 1; }\nregister(function () { return heat(); });\n",
    "a.kt": "fun heat(): Int = 1\n\nval hot = register { heat() }\n",
    "a.swift": "func heat() -> Int { return 1 }\n\nlet hot = register { heat() }\n",
    "a.c": "int heat(void) { return 1; }\n\nint hot = heat();\n",
    "a.cpp": "int heat() { return 1; }\n\nauto hot = [] { return heat(); };\n",
    "A.java": "class A { static int heat() { return 1; }\n\n  Supplier<Integer> hot = () -> heat();\n}\n",
    "a.cs": "class A { static int heat() { return 1; }\n\n  Func<int> hot = () => heat();\n}\n",
}


@pytest.mark.parametrize("path", TOP_LEVEL)
def test_calls_at_top_level_and_in_functions_without_a_name_are_evidence(path: str, ask: Ask) -> None:
    answer = ask({path: TOP_LEVEL[path]}, "who calls heat?")
    assert (path, 3) in {(evidence.path, evidence.line) for evidence in answer.evidence}
    assert "is called in 1 symbol" in answer.words


# A file in whose last line but one `bake` is passed as a value, to `each`.
AS_VALUE = {
    "a.py": "def bake(x): return x\n\ndef all_of(xs):\n    return each(bake, xs)\n\n",
    "a.js": "function bake(x) { return x }\nfunction all(xs) {\n  xs.each(bake)\n}\n",
    "a.ts": "function bake(x: number) { return x }\nfunction all(xs) {\n  xs.each({ on: bake })\n}\n",
    "a.go": "package a\nfunc bake(x int) {}\nfunc all() {\n\teach(bake)\n}\n",
    "a.rs": "fn bake(x: u8) {}\nfn all() {\n    xs.each(bake);\n}\n",
    "a.rb": "def bake(x) = x\ndef all(xs)\n  xs.each(&method(:bake))\nend\n",
    "a.php": "<?php\nfunction bake($x) {}\nfunction all($xs) {\n  each('bake', $xs);\n}\n",
    "a.kt": "fun bake(x: Int) {}\nfun all(xs: List<Int>) {\n  xs.each(::bake)\n}\n",
    "a.swift": "func bake(_ x: Int) {}\nfunc all(xs: [Int]) {\n  xs.each(bake)\n}\n",
    "a.c": "void bake(int x) {}\nvoid all(void) {\n  each(bake);\n}\n",
    "a.cpp": "void bake(int x) {}\nvoid all() {\n  each(&bake);\n}\n",
    "A.java": "class A { void bake(int x) {}\n  void all(Stream s) {\n    s.each(this::bake);\n  }}\n",
    "a.cs": "class A { void bake(int x) {}\n  void all() {\n    each(bake);\n  }}\n",
}


@pytest.mark.parametrize("path", AS_VALUE)
def test_a_function_that_is_passed_as_a_value_is_used_there(path: str, ask: Ask) -> None:
    answer = ask({path: AS_VALUE[path]}, "who calls bake?")
    line = AS_VALUE[path].count("\n") - 1
    how = "in a string" if path in ("a.php",) else "passed as a value"
    assert "is used, but not called by its name" in answer.words
    owner = "A." * path.startswith(("A.java", "a.cs"))
    name = "all_of" if path == "a.py" else "all"
    assert f"{how} in {owner}{name} ({path}:{line})" in answer.words


def test_further_calls_in_a_function_are_of_what_its_first_ones_are_of(ask: Ask) -> None:
    files = {
        "shop/a.py": "def bake():\n    return 1\n\n\ndef twice():\n    bake()\n    bake()\n",
        "shop/b.py": "def bake():\n    return 2\n\n\ndef thrice():\n    bake()\n    bake()\n",
        "c.py": "import other\n\n\ndef foreign():\n    other.bake()\n    other.bake()\n",
    }
    words = ask(files, "who calls shop/a.py:bake?").words
    assert "called again in twice (shop/a.py:7)" in words
    assert "b.py" not in words


def test_further_calls_in_a_function_on_something_else_are_evidence(ask: Ask) -> None:
    files = {
        "a.py": "class A:\n    def run(self): return 1\n\n\nclass B:\n    def run(self): return 2\n",
        "b.py": "from a import A, B\n\n\ndef use(x: A, y: A, z: B, w):\n    x.run()\n    y.run()\n    z.run()\n"
        "    w.run()\n    x.run()\n",
    }
    answer = ask(files, "who calls A.run?")
    assert "called again in use (b.py:6), may be called again in use (b.py:8)" in answer.words
    lines = {evidence.line for evidence in answer.evidence if evidence.path == "b.py"}
    assert lines == {5, 6, 8, 9}


def test_variables_and_constants_are_used_in_functions(ask: Ask) -> None:
    files = {
        "a/a.go": 'package a\n\nvar errCold = errors.New("cold")\n\nfunc heat() error {\n\treturn errCold\n}\n',
        "a/a_test.go": "package a\n\n// errCold is expected.\nfunc TestHeat(t *T) {\n\tEqual(t, errCold)\n}\n",
    }
    answer = ask(files, "where is errCold used?")
    assert "returned in heat (a/a.go:6)" in answer.words
    assert "passed as a value in TestHeat (a/a_test.go:5)" in answer.words
    assert "declared at top level (a/a.go:3)" in answer.words
    assert "in a comment or text at top level (a/a_test.go:3)" in answer.words


def test_how_a_name_is_used_is_said_of_the_innermost_code(ask: Ask) -> None:
    files = {
        "a.py": "LIMIT = 1\n\n\nclass A:\n    @cached(LIMIT)\n    def f(self):\n        say(f'{LIMIT.x} at most')\n"
        "        return LIMIT.x\n",
        "A.cs": "class A {\n  [Limited(LIMIT)]\n  int f() { return LIMIT; }\n}\n",
    }
    words = ask(files, "where is LIMIT used?").words
    for said in ("used in A.f (a.py:7)", "returned in A.f (a.py:8)", "returned in A.f (A.cs:3)"):
        assert said in words
    assert words.index("a.py:8") < words.index("declared at top level (a.py:1)")


def test_calls_through_a_variable_of_an_interface_are_found(ask: Ask) -> None:
    files = {
        "a/a.go": (
            "package a\n\ntype Checker interface {\n\tCheck() error\n\tName() string\n}\n\nvar Default Checker = &own{}\n\n"
            "func check() error {\n\treturn Default.Check()\n}\n"
        ),
        "a/own.go": (
            "package a\n\ntype own struct{}\n\nfunc (o *own) Check() error { return nil }\n\n"
            'func (o *own) Name() string { return "" }\n\ntype half struct{}\n\nfunc (h *half) Check() error { return nil }\n'
        ),
        "a/use.go": "package a\n\nfunc use() {\n\tDefault.Name()\n}\n",
    }
    assert "is called in 1 symbol: check (a/a.go:11)" in ask(files, "who calls Checker.Check?").words
    assert "may also be called" in (words := ask({}, "who calls own.Check?").words)
    assert "check (a/a.go:11)" in words
    # It has not all methods of the interface.
    assert "check (a/a.go:11)" not in ask({}, "who calls half.Check?").words
    # The type of the variable is declared in another file.
    assert "use (a/use.go:4)" in ask({}, "who calls own.Name?").words


# A file in which `use` calls `check` of an interface through a field or variable, and `Own` implements it.
THROUGH_INTERFACE = {
    "a.java": "interface Checker { int check(); }\nclass Own implements Checker { public int check() { return 1; } }\n"
    "class User {\n  private Checker Validator;\n  int use() { return Validator.check(); }\n}\n",
    "a.kt": "interface Checker { fun check(): Int }\nclass Own : Checker { override fun check(): Int = 1 }\n"
    "class User(val checker: Checker) {\n\n  fun use(): Int { return checker.check() }\n}\n",
    "a.cs": "interface Checker { int check(); }\nclass Own : Checker { public int check() { return 1; } }\n"
    "class User {\n  public Checker Validator { get; set; }\n  int use() { return Validator.check(); }\n}\n",
    "a.ts": "interface Checker { check(): number }\nclass Own implements Checker { check() { return 1 } }\n"
    "class User {\n  constructor(private checker: Checker) {}\n  use() { return this.checker.check() }\n}\n",
    "a.swift": "protocol Checker { func check() -> Int }\nclass Own: Checker { func check() -> Int { return 1 } }\n"
    "class User {\n  var checker: Checker\n  func use() -> Int { return checker.check() }\n}\n",
    "a.php": "<?php interface Checker { function check(); }\nclass Own implements Checker { function check() { return 1; } }\n"
    "class User {\n  private Checker $checker;\n  function use() { return $this->checker->check(); }\n}\n",
    "a.py": "class Checker: def_ = 1\nclass Own(Checker):\n  def check(self): return 1\nclass User:\n"
    "  def use(self, checker: Checker): return checker.check()\n",
    "a.cpp": "class Checker { public: virtual int check() = 0; };\nclass Own : public Checker { int check() { return 1; } };\n"
    "class User {\n  Checker* checker;\n  int use() { return checker->check(); }\n};\n",
    "a.rs": "trait Checker { fn check(&self) -> u8; }\nstruct Own;\nimpl Checker for Own { fn check(&self) -> u8 { 1 } }\n\n"
    "fn using(checker: &dyn Checker) -> u8 { checker.check() }\n",
}


@pytest.mark.parametrize("path", THROUGH_INTERFACE)
def test_calls_through_an_interface_may_be_of_what_implements_it(path: str, ask: Ask) -> None:
    words = ask({path: THROUGH_INTERFACE[path]}, "who calls Own.check?").words
    assert f"({path}:5)" in words, words


def test_what_a_package_of_the_repository_is_imported_by_may_lead_to_its_files_by_code(ask: Ask) -> None:
    files = {
        "packages/core/package.json": '{"name": "core", "main": "index.js"}',
        "packages/core/index.js": "module.exports = require('./dist/core.cjs')\n",
        "packages/core/src/heat.ts": "export function heat() {}\nexport function twin() {}\n",
        "packages/core/src/cold.ts": "export function twin() {}\n",
        "packages/web/package.json": '{"name": "web", "dependencies": {"core": "workspace:*"}}',
        "packages/web/plugin.ts": "import { heat, twin } from 'core'\n\nregister(() => heat())\nregister(() => twin())\n",
    }
    answer = ask(files, "who calls heat?")
    assert "is called in 1 symbol: top level (packages/web/plugin.ts:3)" in answer.words
    answer = ask({}, "who calls packages/core/src/cold.ts:twin?")
    assert "what these calls of that name refer to was not found: packages/web/plugin.ts:4" in answer.limits


def test_few_lines_with_a_word_are_given_with_their_text(ask: Ask) -> None:
    files = {
        "oven.rb": "class Oven\n  LIMIT = (ENV['OVEN_LIMIT'] || 4096).to_i\nend\n",
        "many.py": "OVENS = 1\n" + "print(OVENS)\n" * 3,
    }
    assert ask(files, "where is OVEN_LIMIT read?").words.endswith(
        "in a string in Oven (oven.rb:2): LIMIT = (ENV['OVEN_LIMIT'] || 4096).to_i"
    )
    assert "print" not in ask({}, "where is OVENS used?").words


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("CMakeLists.txt", 'option(OVEN_HOT "Heat" ON)'),
        ("build.gradle", 'def hot = System.getenv("OVEN_HOT")'),
        (".github/workflows/build.yml", "OVEN_HOT: 1"),
        ("Makefile", "OVEN_HOT ?= 1"),
        ("Dockerfile", "ENV OVEN_HOT=1"),
    ],
)
def test_a_word_that_only_files_have_which_are_not_code_is_answered_by_their_lines(
    path: str, line: str, ask: Ask
) -> None:
    files = {path: f"\n{line}\n", "a.py": "x = 1\n", "vendor/lib/conf.yml": "OVEN_HOT: 2\nOVEN_COLD: 2\n"}
    answer = ask(files, "where is OVEN_HOT used?")
    assert [(evidence.path, evidence.line) for evidence in answer.evidence] == [(path, 2)]
    assert (
        f"no file of code has the word OVEN_HOT; 1 line of other files has it: {path}:2: {line}"
        in answer.words
    )
    assert "vendored or generated files have it in vendor/lib/conf.yml:1" in answer.words
    assert "not read as code" in " ".join(answer.limits)
    assert ask({}, "where is OVEN_COLD used?").understood.kind == NOT_KNOWN


def test_a_default_export_is_called_by_the_names_that_others_give_to_it(ask: Ask) -> None:
    files = {
        "core/warm-oven.ts": "export type Heat = number;\nfunction other() {}\n"
        "export default function warmOven(): Heat {\n  return 1;\n}\n",
        "core/bake.ts": "import heat from './warm-oven.js';\n\nexport function bake() {\n  return heat();\n}\n",
        "lib/only.js": "module.exports = (a) => {\n  return a\n}\n",
        "lib/app.js": "const only = require('./only')\n\nfunction run() {\n  return only(1)\n}\n",
    }
    answer = ask(files, "who calls warmOven?")
    assert ("core/bake.ts", 4) in [(e.path, e.line) for e in answer.evidence], answer.words
    answer = ask({}, "who calls lib/only.js?")
    assert {("lib/app.js", 4), ("lib/app.js", 1)} <= {(e.path, e.line) for e in answer.evidence}, answer.words


# Files where the members of a type `Oven` alone are called, in line 3 of the second one.
MEMBERS_ALONE = {
    "C#": {
        "Oven.cs": "namespace A;\n\nstatic class Oven {\n  public static int Bake(this object loaf) => 1;\n}\n",
        "Shop.cs": "namespace A;\nclass Shop {\n  int Open(object o) => o.Bake();\n}\n",
    },
    "Python": {
        "oven.py": "class Oven:\n    def bake(self, loaf):\n        return loaf\n",
        "shop.py": "def opened(it):\n    if it:\n        it.bake(1)\n",
    },
    "Swift": {
        "Oven.swift": "public class Oven {\n  func bake() -> Int { return 1 }\n}\n",
        "Shop.swift": "func opened() {\n  each {\n  $0.bake() }\n}\n",
    },
    "Ruby": {
        "oven.rb": "module Oven\n  def bake\n    1\n  end\nend\n",
        "shop.rb": "class Shop\n  def open(it)\n    it.bake\n  end\nend\n",
    },
}


@pytest.mark.parametrize("question", ["who uses Oven?", "what would break if I deleted Oven?"])
@pytest.mark.parametrize("language", MEMBERS_ALONE)
def test_what_calls_members_of_a_type_may_use_it(language: str, question: str, ask: Ask) -> None:
    answer = ask(MEMBERS_ALONE[language], question)
    path = list(MEMBERS_ALONE[language])[1]
    assert (path, 3) in {(evidence.path, evidence.line) for evidence in answer.evidence}
    assert "its members may be called in 1 symbol" in answer.words
    assert "is not called by name anywhere" not in answer.words
    assert "no file of the repository" not in answer.words
    assert answer.limits


@pytest.mark.parametrize("question", ["who uses Oven?", "what breaks if I change Oven?"])
def test_calls_of_members_that_are_certain_are_uses_of_a_type(question: str, ask: Ask) -> None:
    files = {
        "oven.py": (
            "class Oven:\n    def bake(self):\n        return self.heat()\n\n    def heat(self):\n        return 1\n"
        ),
        "shop.py": "from oven import Oven\n\n\ndef opened(oven: Oven):\n    return oven.bake()\n",
    }
    answer = ask(files, question)
    assert "its members are called in 1 symbol: bake by opened (shop.py:5)" in answer.words
    assert ("shop.py", 5) in {(evidence.path, evidence.line) for evidence in answer.evidence}
    assert not answer.limits


def test_that_a_name_is_not_called_is_not_said_if_its_calls_may_be_of_it(ask: Ask) -> None:
    files = {
        "oven.py": "def bake(loaf):\n    return loaf\n",
        "shop.py": "from kitchen import bake\n\n\ndef opened():\n    return bake(1)\n",
        "tests/test_shop.py": "from kitchen import bake\n\n\ndef test_opened():\n    assert bake(1)\n",
    }
    used = ask(files, "who calls bake?")
    assert "no call is known to be of bake (oven.py:1)" in used.words
    assert "not called" not in used.words
    assert ("shop.py", 5) in {(evidence.path, evidence.line) for evidence in used.evidence}
    tests = ask({}, "which tests cover bake?")
    assert "no call in a test is known to be of bake" in tests.words
    assert "tests/test_shop.py:5" in " ".join(tests.limits)


def test_tests_may_reach_what_is_passed_as_a_value(ask: Ask) -> None:
    files = {
        "oven.py": (
            "class Oven:\n    def bake(self, loaf):\n        return loaf\n\n    def opened(self):\n"
            "        return run(self.bake, 1)\n"
        ),
        "tests/test_oven.py": "from oven import Oven\n\n\ndef test_opened():\n    assert Oven().opened() == 'bake'\n",
    }
    answer = ask(files, "which tests cover Oven.bake?")
    assert any("tests may reach it through Oven.opened (oven.py:6)" in limit for limit in answer.limits)


def test_a_definition_behind_a_macro_declares_its_name() -> None:
    text = "OVEN_INLINE bool Oven::_bake(int x) {\n  return true;\n}\nbool hot = Oven::_bake(1);\n"
    found = list(occurrences("oven_inl.hpp", text, re.compile(r"\b_bake\b")))
    assert [(each.line, each.declares) for each in found] == [(1, True), (4, False)]
