"""Which versions of languages and tools are needed: each format that says it, with its line; and the questions on it."""

import pytest
from sqlalchemy import Engine

from qflow_dagster.ingestion.queries import current_snapshot
from qflow_dagster.knowledge import answers, runtime_versions
from qflow_dagster.knowledge.evidence import NOT_KNOWN
from qflow_dagster.knowledge.questions import parse
from tests.ingestion.conftest import GitRepository, Ingested

NPM = '{\n  "name": "x",\n  "engines": {\n    "node": ">=22",\n    "npm": ">=10"\n  },\n  "dependencies": {"node": "1"}\n}\n'
POM = "<project>\n<properties>\n<maven.compiler.release>17</maven.compiler.release>\n<a.version>1</a.version>\n</properties>\n</project>\n"
CSPROJ = "<Project>\n<PropertyGroup>\n<TargetFrameworks>net8.0;net462</TargetFrameworks>\n<LangVersion>12</LangVersion>\n"
GEMSPEC = "Gem::Specification.new do |s|\n  # s.required_ruby_version = '1'\n  s.required_ruby_version = ['>= 2.7', '< 4']\nend\n"
GRADLE = "java {\n  // sourceCompatibility = 7\n  sourceCompatibility = JavaVersion.VERSION_11\n}\nkotlin {\n  jvmToolchain(17)\n}\n"
CMAKE = (
    "cmake_minimum_required(VERSION 3.14...4.2)\nset(CMAKE_CXX_STANDARD\n    17)\n"
    "target_compile_features(x PUBLIC cxx_std_20)\nset(C_STANDARD 11)\nif(CMAKE_CXX_STANDARD GREATER 13)\n"
)
# The path of a file, its content, and the versions that it needs, each with its line.
FILES = [
    ("package.json", NPM, [("Node.js", ">=22", 4), ("npm", ">=10", 5)]),
    ("pyproject.toml", '[project]\nrequires-python = ">=3.10"\n', [("Python", ">=3.10", 2)]),
    ("pyproject.toml", '[tool.poetry.dependencies]\npython = "^3.8"\n', [("Python", "^3.8", 2)]),
    ("setup.cfg", "[options]\npython_requires = >=3.6\n", [("Python", ">=3.6", 2)]),
    ("setup.py", "setup(\n    python_requires='>=3.7',\n)\n", [("Python", ">=3.7", 2)]),
    (
        "composer.json",
        '{\n  "require": {\n    "a/b": "1",\n    "php": "^7.2 || ^8"\n  }\n}\n',
        [("PHP", "^7.2 || ^8", 4)],
    ),
    ("composer.json", '{\n  "require-dev": {\n    "php": "^9"\n  }\n}\n', []),
    ("x.gemspec", GEMSPEC, [("Ruby", ">= 2.7', '< 4", 3)]),
    ("Gemfile", "ruby '3.2.1'\n", [("Ruby", "3.2.1", 1)]),
    (
        "Cargo.toml",
        '[package]\nedition = "2021"\nrust-version = "1.70"\n',
        [("Rust", "2021", 2), ("Rust", "1.70", 3)],
    ),
    ("go.mod", "module x\n\ngo 1.23.0\ntoolchain go1.24.1\n", [("Go", "1.23.0", 3), ("Go", "go1.24.1", 4)]),
    ("pom.xml", POM, [("Java", "17", 3)]),
    ("build.gradle", GRADLE, [("Java", "VERSION_11", 3), ("Java", "17", 6)]),
    ("b/build.gradle", "x = JavaLanguageVersion.of(version)\n", [("Java", "version", 1)]),
    ("a/build.gradle.kts", "java.toolchain { x.set(JavaLanguageVersion.of(21)) }\n", [("Java", "21", 1)]),
    ("src/X.csproj", CSPROJ, [(".NET", "net8.0;net462", 3), ("C#", "12", 4)]),
    ("Package.swift", "// swift-tools-version:5.9\n", [("Swift", "5.9", 1)]),
    (
        "CMakeLists.txt",
        CMAKE,
        [("CMake", "3.14...4.2", 1), ("C++", "17", 3), ("C++", "20", 4), ("C", "11", 5)],
    ),
    (
        "Makefile",
        "CFLAGS = -O2 -std=gnu99\nCXXFLAGS = -std=c++14\n",
        [("C", "gnu99", 1), ("C++", "c++14", 2)],
    ),
    ("build.sbt", 'scalaVersion := "2.13.1"\n', [("Scala", "2.13.1", 1)]),
    ("mix.exs", 'def project, do: [elixir: "~> 1.14"]\n', [("Elixir", "~> 1.14", 1)]),
]
QUESTIONS = {
    "minimum node version?": "node",
    "oldest PHP we promise to run on?": "PHP",
    "which Python version does it need?": "Python",
    "minimum supported Rust version": "Rust",
    "what is the MSRV?": "MSRV",
    "which Go version do we need to build this?": "Go",
    "what Java release does it target?": "Java",
    "does it run on Python 3.8?": "Python",
    "which .NET frameworks are targeted?": ".NET",
    "is Ruby 2.7 still supported?": "Ruby",
    "which C++ standard is required?": "C++",
    "which version of PHP is required?": "PHP",
    "minimum Swift version": "Swift",
    "which cmake version do I need": "cmake",
}
# Nearly the same words, and something else is asked.
OTHERS = [
    "who raised the minimum Python version?",
    "when was Python 2 support dropped?",
    "which node calls visit?",
    "what is the minimum node depth?",
    "what does Go.run call?",
]


@pytest.mark.parametrize(("path", "content", "versions"), FILES)
def test_versions_of_each_format(path: str, content: str, versions: list[tuple[str, str, int]]) -> None:
    assert [each[:3] for each in runtime_versions.read(path, content)] == versions


def test_questions_on_versions_name_a_language_or_runtime() -> None:
    read = {question: parse(question)[:2] for question in QUESTIONS}
    assert read == {question: ("requirements", name) for question, name in QUESTIONS.items()}
    assert not [question for question in OTHERS if runtime_versions.runtime_of(parse(question).subject)]


def test_what_manifests_say_of_versions_is_answered_with_its_lines(
    engine: Engine, repository: GitRepository, ingested: Ingested
) -> None:
    repository.commit(
        {"package.json": NPM, "a/Cargo.toml": '[package]\nedition = "2021"\n[dependencies]\nb = "1"\n'}
    )
    ingested(repository)
    with engine.connect() as connection:
        snapshot = current_snapshot(connection, "project")
        node, rust, ruby, all_of_them = (
            answers.answer(connection, snapshot, question)
            for question in (
                "minimum node version?",
                "which Rust edition is this?",
                "which Ruby version does it need?",
                "what are the dependencies?",
            )
        )
    assert node.words.startswith("needs Node.js >=22 (package.json:4). Not certain: ")
    assert [(item.path, item.line) for item in node.evidence] == [("package.json", 4)]
    assert "Rust edition 2021 (a/Cargo.toml:2)" in rust.words
    assert ruby.understood.kind == NOT_KNOWN
    assert "a/Cargo.toml: b" in all_of_them.words
    assert (
        "needs Node.js >=22 (package.json:4), npm >=10 (package.json:5), Rust edition 2021"
        in all_of_them.words
    )


def test_packages_and_a_version_are_answered_together() -> None:
    both = (
        "what other gem comes along at runtime, and which Ruby is the minimum?",
        "which crates does it pull in, and what is the minimum rust version?",
        "what are the runtime dependencies and the minimum python version?",
        "which node version is needed and which packages?",
    )
    versions = (
        "minimum ruby version?",
        "which Ruby version does the gem need?",
        "which node does it support?",
    )
    kinds = {question: parse(question)[:2] for question in both + versions}
    assert [q for q in both if kinds[q] != ("requirements", "")] == []
    assert [q for q in versions if kinds[q][0] != "requirements" or not kinds[q][1]] == []
