"""What is found in a file of each language, and that no bytes whatever upset it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qflow_dagster.ingestion.extraction import extract
from qflow_dagster.ingestion.extraction.grammars import GRAMMARS
from qflow_dagster.ingestion.facts import SymbolFact
from tests.ingestion.samples import dynamically_typed, statically_typed

SAMPLES = [*dynamically_typed.SAMPLES, *statically_typed.SAMPLES]
LANGUAGES = pytest.mark.parametrize("sample", SAMPLES, ids=[sample.language for sample in SAMPLES])


def function(source: str, language: str = "Python", name: str = "f") -> SymbolFact:
    """The facts of the function called `name`."""
    return next(s for s in extract(source.encode(), language).symbols if s.name.split(".")[-1] == name)


@LANGUAGES
def test_definitions_are_found_with_their_nesting_and_documentation(sample) -> None:
    facts = extract(sample.source.encode(), sample.language)
    assert facts.parsed
    assert facts.parse_error_count == 0
    assert sample.symbols == [
        f"{s.kind} {s.qualified_name}{'*' if s.docstring else ''}" for s in facts.symbols[1:]
    ]


@LANGUAGES
def test_imports_are_read_as_written(sample) -> None:
    facts = extract(sample.source.encode(), sample.language)
    assert sample.imports == [" ".join(["." * i.level + i.module, *i.names]) for i in facts.imports]
    lines = sample.source.splitlines()
    for fact in facts.imports:
        assert fact.module.split(".")[0].split("::")[-1].split("\\")[0] in "\n".join(lines[fact.line - 1 :])


@LANGUAGES
def test_calls_are_found_by_name(sample) -> None:
    facts = extract(sample.source.encode(), sample.language)
    assert sample.calls == sorted({name for s in facts.symbols for name in s.calls})
    for symbol in facts.symbols:
        for name, line in zip(symbol.calls, symbol.call_lines, strict=True):
            assert name in sample.source.splitlines()[line - 1]


@LANGUAGES
def test_structure_is_counted_by_the_same_rules(sample) -> None:
    found = function(sample.source, sample.language)
    assert found.decisions is not None
    assert sample.measures == (found.decisions + 1, found.cognitive, found.nesting, found.parameters)


def test_every_grammar_has_a_sample() -> None:
    twins = {"TSX"}
    assert {sample.language for sample in SAMPLES} == set(GRAMMARS) - twins


@LANGUAGES
def test_lines_add_up_and_spans_lie_in_the_file(sample) -> None:
    facts = extract(sample.source.encode(), sample.language)
    assert facts.lines == len(sample.source.splitlines())
    assert facts.lines == facts.code_lines + facts.comment_lines + facts.blank_lines
    for symbol in facts.symbols:
        assert 1 <= symbol.start_line <= symbol.end_line <= facts.lines
        assert 0 <= symbol.start_byte <= symbol.end_byte <= len(sample.source.encode())
    for symbol in facts.symbols[1:]:
        assert symbol.parent_seq is not None
        assert symbol.parent_seq < symbol.seq


def test_a_signature_is_the_declaration_without_its_body() -> None:
    method = "@Override\n  public <T> int f(List<T> all, // why\n      int n) throws E { return 1; }"
    assert (
        function(f"class A {{ {method} }}", "Java").signature
        == "@Override public <T> int f(List<T> all, int n) throws E"
    )
    assert function("async def f(a, *, b=1) -> int: return 1").signature == "async def f(a, *, b=1) -> int"


def test_cognitive_complexity_of_the_white_paper() -> None:
    """SonarSource: Cognitive Complexity, version 1.7 (2023), sumOfPrimes: 7, getWords: 1."""
    primes = """
int sumOfPrimes(int max) {
  int total = 0;
  OUT: for (int i = 1; i <= max; ++i) {
    for (int j = 2; j < i; ++j) {
      if (i % j == 0) {
        continue OUT;
      }
    }
    total += i;
  }
  return total;
}"""
    words = """
String getWords(int number) {
  switch (number) {
    case 1:
      return "one";
    case 2:
      return "a couple";
    case 3:
      return "a few";
    default:
      return "lots";
  }
}"""
    found = function(f"class A {{ {primes} {words} }}", "Java", "sumOfPrimes")
    assert (found.cognitive, found.decisions) == (7, 3)
    found = function(f"class A {{ {primes} {words} }}", "Java", "getWords")
    assert (found.cognitive, found.decisions) == (1, 3)


@pytest.mark.parametrize(
    ("condition", "cognitive"),
    [
        ("a && b && c && d", 2),
        ("a && b && c || d || e && f", 4),
        ("a && !(b && c)", 3),
    ],
)
def test_sequences_of_logical_operators_count_once_each(condition: str, cognitive: int) -> None:
    """Examples of the white paper, B2; the if itself counts 1."""
    found = function(f"class A {{ void f() {{ if ({condition}) {{}} }} }}", "Java")
    assert found.cognitive == cognitive


def test_nesting_and_recursion_of_the_white_paper() -> None:
    source = """
class A {
  void f() {
    try {
      if (condition1) {                    // +1
        for (int i = 0; i < 10; i++) {     // +2
          while (condition2) { f(); }      // +3, recursion +1
        }
      }
    } catch (ExcepType1 | ExcepType2 e) {  // +1
      if (condition2) { }                  // +2
    }
  }
}"""
    assert function(source, "Java").cognitive == 10


def test_an_else_if_is_no_nested_if() -> None:
    for language, source in {
        "Python": "def f():\n if a:\n  pass\n elif b:\n  pass\n else:\n  pass\n",
        "JavaScript": "function f() { if (a) {} else if (b) {} else {} }",
        "Go": "package a\nfunc f() { if a { } else if b { } else { } }",
        "C": "void f() { if (a) x(); else if (b) y(); else z(); }",
        "Rust": "fn f() { if a { } else if b { } else { } }",
        "Java": "class A { void f() { if (a) x(); else if (b) y(); else z(); } }",
        "C#": "class A { void f() { if (a) x(); else if (b) y(); else z(); } }",
        "Kotlin": "fun f() { if (a) x() else if (b) y() else z() }",
        "Swift": "func f() { if a { } else if b { } else { } }",
        "Scala": "def f = if (a) x else if (b) y else z",
        "PHP": "<?php function f() { if ($a) {} elseif ($b) {} else {} }",
        "Ruby": "def f\n if a\n elsif b\n else\n end\nend",
        "Shell": "f() { if a; then b; elif c; then d; else e; fi; }",
    }.items():
        found = function(source, language)
        assert (found.decisions, found.cognitive, found.nesting) == (2, 3, 1), language


def test_parse_errors_are_counted_and_located() -> None:
    facts = extract(b"def ok():\n    pass\n\ndef broken(:\n    pass\n", "Python")
    assert facts.parse_error_count >= 1
    assert {error.line for error in facts.parse_errors} == {4}
    assert "ok" in [symbol.name for symbol in facts.symbols]


@pytest.mark.parametrize(
    ("data", "encoding", "binary"),
    [
        ("é = 1\n".encode(), "utf-8", False),
        ("é = 1\n".encode("utf-8-sig"), "utf-8-sig", False),
        ("é = 1\n".encode("utf-16"), "utf-16", False),
        ("é = 1\n".encode("latin-1"), "latin-1", False),
        (b"\x7fELF\0\0", "", True),
        (b"", "utf-8", False),
    ],
)
def test_encodings_are_told_apart(data: bytes, encoding: str, binary: bool) -> None:
    facts = extract(data, "Python")
    assert (facts.encoding, facts.binary) == (encoding, binary)
    if data and not binary:
        assert facts.lines == facts.code_lines == 1


def test_a_docstring_is_a_comment_and_a_string_is_not() -> None:
    facts = extract(b'"""Doc."""\nx = """\ntext\n"""\n\n# note\ny = 1  # code\n', "Python")
    assert (facts.code_lines, facts.comment_lines, facts.blank_lines) == (4, 2, 1)


def test_a_language_without_a_grammar_has_lines() -> None:
    facts = extract(b'-- c\nlocal x = "-- no comment"\n\n', "Lua")
    assert (facts.parsed, facts.code_lines, facts.comment_lines, facts.blank_lines) == (False, 1, 1, 1)
    assert facts.symbols == []


def test_generated_and_minified_files_are_recognised_and_have_no_fingerprints() -> None:
    for data in (
        b"// Code generated by protoc-gen-go. DO NOT EDIT.\npackage a\n",
        b"var a=1;" * 2_000,
    ):
        facts = extract(data, "JavaScript")
        assert facts.generated
        assert facts.fingerprints is None
    assert not extract(b"// written by hand\nlet a = 1\n", "JavaScript").generated


def test_an_lfs_pointer_is_its_size_and_nothing_else() -> None:
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 12345\n"
    facts = extract(pointer, "Python")
    assert (facts.lfs_bytes, facts.lines, facts.parsed) == (12345, 0, False)


def test_a_file_over_the_limit_has_lines_only() -> None:
    facts = extract(b"x = 1\n" * 1_000, "Python", parse_limit=1_000)
    assert (facts.parsed, facts.lines) == (False, 1_000)


def test_a_parse_that_takes_too_long_is_given_up() -> None:
    facts = extract(b"x = [" * 100_000, "Python", timeout=0.0)
    assert (facts.parsed, facts.lines) == (False, 1)


def test_deep_nesting_is_no_crash() -> None:
    for language, source in {
        "Python": "(" * 50_000,
        "JavaScript": "{" * 20_000,
        "C": "if(a)" * 5_000,
    }.items():
        assert extract(source.encode(), language).lines == 1


def test_renamed_copies_have_common_fingerprints_and_other_code_has_none() -> None:
    body = "".join(f"    total_{n} = compute(alpha, {n}) + beta * gamma[{n}]\n" for n in range(30))
    one = extract(f"def a():\n{body}".encode(), "Python")
    two = extract(f"\n\ndef b():\n{body.replace('alpha', 'omega')}".encode(), "Python")
    other = "".join(f"    if not x{n}:\n        raise Error('no')\n    del y[{n}]\n" for n in range(30))
    three = extract(f"def c():\n{other}".encode(), "Python")
    sets = []
    for facts in (one, two, three):
        assert facts.fingerprints
        hashes = facts.fingerprints.hashes
        sets.append({hashes[i : i + 8] for i in range(0, len(hashes), 8)})
    assert len(sets[0] & sets[1]) >= 0.9 * len(sets[0])
    assert not sets[0] & sets[2]


def test_the_same_bytes_give_the_same_facts() -> None:
    for sample in SAMPLES:
        data = sample.source.encode()
        assert extract(data, sample.language) == extract(data, sample.language)


@given(st.binary(max_size=400), st.sampled_from([*GRAMMARS, "Lua", "HTML", ""]))
def test_any_bytes_are_accepted_and_lines_add_up(data: bytes, language: str) -> None:
    facts = extract(data, language)
    assert facts.lines == facts.code_lines + facts.comment_lines + facts.blank_lines
    assert facts.bytes == len(data)


@given(st.data())
def test_any_part_of_a_program_is_accepted(data: st.DataObject) -> None:
    """Half a file, as while it is written."""
    sample = data.draw(st.sampled_from(SAMPLES))
    start = data.draw(st.integers(0, len(sample.source)))
    end = data.draw(st.integers(start, len(sample.source)))
    facts = extract(sample.source[start:end].encode(), sample.language)
    assert facts.lines == facts.code_lines + facts.comment_lines + facts.blank_lines
    for symbol in facts.symbols:
        assert symbol.code_lines is None or 0 <= symbol.code_lines <= facts.code_lines


def test_a_class_of_kotlin_has_its_constructor_on_another_line() -> None:
    source = (
        "public class Oven<T>\n@Inject\nprivate constructor(\n  public val heat: Int,\n) : Kiln(heat) {\n"
        "  fun warm() {}\n}\n\nclass Cold\ninternal constructor(val heat: Int) : Kiln(heat)\n"
    )
    facts = extract(source.encode(), "Kotlin")
    assert facts.parse_error_count == 0
    assert [(s.qualified_name, s.start_line, s.end_line) for s in facts.symbols[1:]] == [
        ("Oven", 1, 7),
        ("Oven.warm", 6, 6),
        ("Cold", 9, 10),
    ]
    assert facts.symbols[1].signature.endswith(": Kiln(heat)")


# Code of Kotlin that its grammar does not know.
UNKNOWN_OF_KOTLIN = [
    "val kiln = object : Kiln<T>, Cold by other(heat()) {\n    override fun close() {}\n  }",
    "fun all() { for (i in 0..<size) heat() }",
    "class Actual actual constructor(\n    @JvmField internal actual val heat: Heat,\n    actual val size: Int\n  )",
    "class Cold\n  // Cold, and (trusted).\n  internal actual constructor(val heat: Int)",
    "class Cold\n  /**\n   * Of a caller.\n   */\n  internal constructor(\n    val heat: Int,\n    val size: Int,\n"
    "    val kind: Int,\n  )",
    "fun names() = kinds.map(KClass<*>::name)",
    'fun of(kind: String) = when (kind) {\n    "a",\n    -> heat()\n    else -> 1\n  }',
    "val mask = heat(0b0010)",
    "fun stop() { final = true; heat(inline = false) }",
]


@pytest.mark.parametrize("unknown", UNKNOWN_OF_KOTLIN)
def test_what_the_grammar_of_kotlin_does_not_know_hides_nothing_else(unknown: str) -> None:
    source = f"class Oven(val other: Kiln) {{\n  {unknown}\n\n  fun warm() = heat()\n}}\n\nclass Last\n"
    facts = extract(source.encode(), "Kotlin")
    assert facts.parse_error_count == 0
    named = {symbol.qualified_name: symbol.start_line for symbol in facts.symbols}
    assert (named["Oven"], named["Oven.warm"]) == (1, source[: source.index("fun warm")].count("\n") + 1)
    assert named["Last"] == source[: source.index("class Last")].count("\n") + 1
    calls = [pair for symbol in facts.symbols for pair in zip(symbol.calls, symbol.call_counts, strict=True)]
    assert sum(number for name, number in calls if name == "heat") == source.count("heat(")


@pytest.mark.parametrize(
    ("language", "parameter", "declared", "short"),
    [
        ("C#", "int p{} = f(g(1))", "record A({}) : B(1), C;", "record A(...) : B(...), C;"),
        ("Java", "int p{}", "record A({}) implements B, C {{}}", "record A(...) implements B, C"),
        ("Kotlin", "val p{}: Int = f(g(1))", "class A({}) : B(1), C {{}}", "class A(...) : B(...), C"),
    ],
)
def test_what_a_type_inherits_from_stands_in_its_signature_however_much_it_takes(
    language: str, parameter: str, declared: str, short: str
) -> None:
    source = declared.format(", ".join(parameter.format(number) for number in range(60)))
    assert extract(source.encode(), language).symbols[1].signature == short


def test_a_long_signature_says_that_it_is_cut() -> None:
    parameters = ", ".join(f"parameter_{number}" for number in range(60))
    assert function(f"def f({parameters}):\n    pass\n").signature.endswith("...")
