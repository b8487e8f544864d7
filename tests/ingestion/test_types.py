"""Each kind of type that a language can declare is a symbol, also where macros are around its name."""

import pytest

from qflow_dagster.ingestion.extraction import extract

# A file of each language, and the kinds and names of its symbols.
TYPES = {
    "Go": (
        "package p\n\ntype boolValue bool\n\nfunc (b *boolValue) Set() {}\n\ntype Handler func(int) error\n\n"
        "type (\n\tAlias = pkg.Name\n\tSet[T any] map[T]bool\n\tNames []string\n)\n",
        ["type boolValue", "method boolValue.Set", "type Handler", "type Alias", "type Set", "type Names"],
    ),
    "Rust": (
        "type Result<T> = std::result::Result<T, E>;\nmod m {\n    type A = u8;\n}\nimpl Iterator for A {\n"
        "    type Item = u8;\n}\n",
        ["type Result", "module m", "type m.A", "impl A"],
    ),
    "Kotlin": ("typealias Names = Map<String, Int>\n", ["type Names"]),
    "C#": ("public delegate int Handler<T>(T x);\n", ["type Handler"]),
    "Swift": (
        "typealias Names = [String]\nstruct A {\n  typealias B = Int\n}\n",
        ["type Names", "struct A", "type A.B"],
    ),
    "Scala": (
        "type Names = List[Int]\nobject O {\n  opaque type Id = Int\n}\n",
        ["type Names", "object O", "type O.Id"],
    ),
    "Python": ("type Names = list[str]\n", ["type Names"]),
    "TypeScript": ("export type Names = string[]\nconst enum E { A }\n", ["type Names", "enum E"]),
    "Ruby": ("Cold = Class.new(StandardError)\nPoint = Struct.new(:x)\n", ["class Cold", "class Point"]),
    "C": (
        "typedef struct { int a; } Plain;\ntypedef struct Same { int a; } Same;\ntypedef struct Same Same;\n"
        "typedef struct Tag Other;\ntypedef struct Tag_ { int a; } Tag, *TagPointer;\ntypedef enum { RED } Color;\n"
        "typedef union { int a; } Either;\ntypedef int (*callback)(int);\ntypedef unsigned long size;\n",
        [
            *("struct Plain", "struct Same", "type Other", "struct Tag_", "type Tag", "type TagPointer"),
            *("enum Color", "struct Either", "type callback", "type size"),
        ],
    ),
    "C++": (
        "using Name = std::string;\ntemplate <class T> using List = std::vector<T>;\ntypedef std::vector<int> Ints;\n"
        "template <class T> concept Small = true;\n",
        ["type Name", "type List", "type Ints", "type Small"],
    ),
}


def symbols(source: str, language: str) -> list[str]:
    facts = extract(source.encode(), language)
    assert facts.parse_error_count == 0
    return [f"{symbol.kind} {symbol.qualified_name}" for symbol in facts.symbols[1:]]


@pytest.mark.parametrize("language", TYPES)
def test_types_are_symbols(language: str) -> None:
    source, expected = TYPES[language]
    assert symbols(source, language) == expected


def test_macros_before_what_is_declared_are_not_read() -> None:
    source = """class LIB_API Foo : public Bar<int> {
 public:
  LIB_NODISCARD int size() const { return 1; } LIB_INLINE void reset() {}
  LIB_NODISCARD const std::vector<std::string> &names() { return a; }
  virtual LIB_API std::map<int, std::set<int>> all() const { return b; }
  LIB_DEPRECATED("x") int old(int a) { return a; }
  LIB_NODISCARD friend bool operator==(const Foo &a, const Foo &b) { return true; }
  DWORD count() const { return 2; }
  DWORD const limit = 1;
};
LIB_NODISCARD LIB_INLINE std::string Foo::text(int a) const { return name(); }
LIB_INLINE Foo::Foo(int a) : b(a) { reset(); }
HRESULT Foo::go() { return S_OK; }
static VALUE of(VALUE self) { return self; }
"""
    facts = extract(source.encode(), "C++")
    assert facts.parse_error_count == 0
    assert [(symbol.qualified_name, symbol.signature) for symbol in facts.symbols[1:]] == [
        ("Foo", "class LIB_API Foo : public Bar<int>"),
        ("Foo.size", "int size() const"),
        ("Foo.reset", "void reset()"),
        ("Foo.names", "const std::vector<std::string> &names()"),
        ("Foo.all", "virtual LIB_API std::map<int, std::set<int>> all() const"),
        ("Foo.old", "int old(int a)"),
        ("Foo.operator==", "bool operator==(const Foo &a, const Foo &b)"),
        ("Foo.count", "DWORD count() const"),
        ("Foo::text", "std::string Foo::text(int a) const"),
        ("Foo::Foo", "Foo::Foo(int a) : b(a)"),
        ("Foo::go", "HRESULT Foo::go()"),
        ("of", "static VALUE of(VALUE self)"),
    ]
    assert {symbol.qualified_name: symbol.start_line for symbol in facts.symbols}["Foo::text"] == 11


def test_a_macro_that_makes_members_leaves_its_type_and_is_called() -> None:
    source = """class A : public Error {
    ERROR_DEF(Error, A)
};
class B : public A {
    ERROR_DEF(A, B)
    ERROR_SIMPLE(B)
    B() : B("x") {}
};
TEST(Suite, name)
{
    CHECK(f(1));
}
"""
    facts = extract(source.encode(), "C++")
    classes = [symbol for symbol in facts.symbols if symbol.kind == "class"]
    assert [(symbol.name, symbol.calls, symbol.call_lines) for symbol in classes] == [
        ("A", ["ERROR_DEF"], [2]),
        ("B", ["ERROR_DEF", "ERROR_SIMPLE"], [5, 6]),
    ]


def test_neither_macros_nor_namespaces_are_types_and_names_of_variables() -> None:
    source = """LIB_INLINE detail::Kind App::kind() { return detail::get(1); }
LIB_INLINE void name(int a) { return name.size(); }
static Kind detail::other() { return detail::get(2); }
Kind other;
int f() { return other.size(); }
"""
    symbols = extract(source.encode(), "C++").symbols
    assert [receiver for symbol in symbols for receiver in symbol.call_receivers] == [
        *("detail", "name", "detail", "other: Kind"),
    ]
