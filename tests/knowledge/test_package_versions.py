"""The versions that manifests require of packages, and what a single manifest or an import of another form says."""

import pytest
from sqlalchemy import Engine

from qflow_dagster.ingestion.queries import current_snapshot
from qflow_dagster.knowledge import answers, manifests
from qflow_dagster.knowledge.configuration_answers import line_of_package
from qflow_dagster.knowledge.evidence import NOT_KNOWN, Answer
from tests.ingestion.conftest import GitRepository, Ingested

CENTRAL = """<Project><PropertyGroup><MilkVersion>3.0</MilkVersion></PropertyGroup><ItemGroup>
<PackageVersion Include="Flour" Version="2.1" />
<PackageVersion Include="Milk" Version="$(MilkVersion)" />
</ItemGroup></Project>
"""
WORKSPACE = '[workspace.dependencies]\nheat = { version = "1.4", package = "heat-core" }\n'
# A manifest, its content, and the versions of its packages.
FILES = [
    (
        "x.gemspec",
        "s.add_dependency 'activesupport', '>= 6.1.0'\ns.add_runtime_dependency('rack', '>= 2', \"< 4\")\n"
        "s.add_dependency 'csv'\ns.add_development_dependency 'rake', '1'\n",
        {"activesupport": ">= 6.1.0", "rack": ">= 2, < 4"},
    ),
    (
        "Gemfile",
        'gem "rack", "~> 3.0"\ngem "rake"\ngem "roda",\n  ">= 2", "< 4"\n',
        {"rack": "~> 3.0", "roda": ">= 2, < 4"},
    ),
    (
        "pyproject.toml",
        '[project]\ndependencies = ["a>=1,<2", "b[x] ~= 1.0 ; python_version < \'3.9\'", "c"]\n'
        '[project.optional-dependencies]\nweb = ["d (>=2)"]\n[tool.poetry.dependencies]\ne = "^1.2"\n',
        {"a": ">=1,<2", "b": "~= 1.0", "d": ">=2", "e": "^1.2"},
    ),
    ("requirements.txt", "a==1.0  # pinned\n-r more.txt\nb\n", {"a": "==1.0"}),
    (
        "package.json",
        '{"dependencies": {"a": "^1.0", "old": "npm:@scope/new@2.0"}, "peerDependencies": {"p": ">=3"}, '
        '"devDependencies": {"c": "1"}}',
        {"a": "^1.0", "@scope/new": "2.0", "p": ">=3"},
    ),
    (
        "a/Cargo.toml",
        '[dependencies]\nserde = { version = "1", optional = true }\nlog = "0.4"\nheat = { workspace = true }\n'
        '[dev-dependencies]\nloom = "1"\n',
        {"serde": "1", "log": "0.4", "heat-core": "1.4"},
    ),
    (
        "go.mod",
        "module x\ngo 1.21\nrequire (\n\texample.com/a v1.0.0 // indirect\n)\nrequire example.com/b v2.0.0\n",
        {"example.com/a": "v1.0.0", "example.com/b": "v2.0.0"},
    ),
    ("composer.json", '{"require": {"php": ">=8", "a/b": "^1 || ^2"}}', {"php": ">=8", "a/b": "^1 || ^2"}),
    (
        "pom.xml",
        "<project><properties><lang.version>3.14</lang.version></properties><dependencies><dependency>"
        "<artifactId>lang</artifactId><version>${lang.version}</version></dependency><dependency>"
        "<artifactId>text</artifactId><version>1.2</version></dependency><dependency><artifactId>io</artifactId>"
        "<version>${elsewhere}</version></dependency></dependencies></project>",
        {"lang": "3.14", "text": "1.2"},
    ),
    (
        "a/A.csproj",
        '<PackageReference Include="Flour" /><PackageReference Include="Milk" />\n'
        '<PackageReference Include="Salt" Version="1.0" />\n'
        '<PackageReference\n  Include="Egg"><Version>4.0</Version></PackageReference>\n',
        {"Flour": "2.1", "Milk": "3.0", "Salt": "1.0", "Egg": "4.0"},
    ),
    (
        "Package.swift",
        '.package(url: "https://github.com/apple/swift-log.git", from: "1.5.0"),\n'
        '.package(url: "https://github.com/a/b", .upToNextMinor(from: "2.0.0")),\n',
        {"swift-log": "from: 1.5.0", "b": ".upToNextMinor(from: 2.0.0)"},
    ),
    ("mix.exs", '    {:plug, "~> 1.0"},\n', {"plug": "~> 1.0"}),
]


@pytest.mark.parametrize(("path", "content", "expected"), FILES)
def test_versions_of_each_manifest(path: str, content: str, expected: dict[str, str]) -> None:
    others = manifests.shared("Cargo.toml", WORKSPACE) | manifests.shared("Directory.Packages.props", CENTRAL)
    run = [entry for entry in manifests.read(path, content, others) if not entry.development]
    assert {entry.package: entry.constraint for entry in run if entry.constraint} == expected


def test_a_package_that_is_required_twice_has_the_constraint_of_each() -> None:
    content = (
        '{"dependencies": {"a": "^1.0", "b": "1", "old": "npm:b@0.9"}, "peerDependencies": {"a": ">=1"}}'
    )
    found = [str(entry) for entry in manifests.read("package.json", content, {})]
    assert found == ["a ^1.0", "b 1", "b 0.9 (as old)", "a >=1 (peer)"]


def test_an_optional_package_of_an_unknown_workspace_is_not_complete() -> None:
    content = "[dependencies]\nheat = { workspace = true, optional = true }\n"
    found = manifests.read("Cargo.toml", content, {})
    assert [str(entry) for entry in found] == ["heat (optional, workspace)"]
    assert not manifests.is_complete(content, found)


def test_a_pom_may_require_a_package_at_run_time_and_for_tests() -> None:
    package = "<dependency><artifactId>lang</artifactId><version>3</version>{}</dependency>"
    found = manifests.read("pom.xml", package.format("<scope>test</scope>") + package.format(""), {})
    assert [(str(entry), entry.development) for entry in found] == [("lang 3", False), ("lang 3", True)]


def test_a_pom_says_the_version_of_a_package_where_it_is_managed() -> None:
    package = "<dependency><artifactId>lang</artifactId>{}</dependency>"
    managed = package.format("<version>3</version><scope>test</scope>")
    assert str(manifests.read("pom.xml", managed + package.format(""), {})[0]) == "lang 3"


PROJECT = {
    "Directory.Packages.props": CENTRAL,
    "Directory.Build.props": '<Project><PackageReference Include="Salt" /></Project>\n',
    "src/Oven/Oven.csproj": '<Project>\n<PackageReference Include="Flour" />\n</Project>\n',
    "package.json": '{\n  "dependencies": {\n    "yeast": "^1.0"\n  }\n}\n',
    "setup.py": "from setuptools import setup\n\nsetup()\n",
    "notes.txt": "Bake at 200 degrees.\n",
    "web/oven.ts": "import { heat } from './heat.js'\n\nexport const bake = () => heat()\n",
    "web/heat.ts": "export const heat = () => 1\n",
    "composer.json": '{"autoload": {"psr-4": {"Oven\\\\": "src/"}}}\n',
    "src/Uri.php": "<?php\nnamespace Oven;\n\nuse Oven\\Heat\\Gas;\n\nclass Uri { function a() { new Gas(); } }\n",
    "src/Heat/Gas.php": "<?php\nnamespace Oven\\Heat;\n\nclass Gas {}\n",
    "shop/oven.py": "from shop.heat import heat\n",
    "shop/heat.py": "def heat():\n    return 1\n",
}


@pytest.mark.parametrize(
    ("question", "words", "place"),
    [
        ("what does package.json depend on?", "package.json requires yeast ^1.0", ("package.json", 3)),
        ("what does Oven.csproj import?", "Oven.csproj requires Flour 2.1", ("src/Oven/Oven.csproj", 2)),
        ("what does web/oven.ts import?", "web/heat.ts (./heat.js, line 1)", ("web/oven.ts", 1)),
        ("what does src/Uri.php import?", "src/Heat/Gas.php (Oven\\Heat\\Gas, line 4)", ("src/Uri.php", 4)),
        ("what does shop/oven.py import?", "of the repository: shop/heat.py", ("shop/oven.py", 1)),
        ("what are the dependencies?", "package.json: yeast ^1.0", ("package.json", 3)),
    ],
)
def test_what_a_manifest_or_file_needs_is_said_as_it_is_written(
    question: str,
    words: str,
    place: tuple[str, int],
    engine: Engine,
    repository: GitRepository,
    ingested: Ingested,
) -> None:
    answer = _ask(question, engine, repository, ingested)
    assert words in answer.words
    assert place in {(evidence.path, evidence.line) for evidence in answer.evidence}
    assert ("what Directory.Build.props adds to it is not listed" in answer.limits) == ("csproj" in question)
    assert "shop.heat" not in answer.words


# A manifest whose other lines have the names of packages, too; and the lines of its packages.
NAMED_TWICE = {
    "Cargo.toml": (
        '[features]\nserde = ["dep:serde"]\n\n[dependencies]\nheat = { version = "1", package = "core" }\n'
        'serde = "1"\n\n[target.\'cfg(unix)\'.dependencies.libc]\nversion = "0.2"\n',
        {"serde": 6, "core": 5, "libc": 8},
    ),
    "package.json": (
        '{\n "keywords": ["react"],\n "scripts": {\n  "eslint": "eslint ."\n },\n'
        ' "devDependencies": {\n  "eslint": "9",\n  "react": "19"\n }\n}\n',
        {"eslint": 7, "react": 8},
    ),
    "composer.json": (
        '{\n "name": "a/b",\n "suggest": {\n  "c/d": "for d"\n },\n "require": {\n  "c/d": "1"\n }\n}\n',
        {"c/d": 7},
    ),
    "pyproject.toml": (
        '[project]\nkeywords = ["attrs"]\ndependencies = [\n  "attrs[x]>=1",\n]\n\n[dependency-groups]\n'
        'dev = ["ruff"]\n\n[tool.ruff]\nline-length = 99\n',
        {"attrs": 4, "ruff": 8},
    ),
    "setup.cfg": (
        "[options]\n# attrs is required\ninstall_requires =\n    rich\n    attrs>=1\n",
        {"attrs": 5, "rich": 4},
    ),
    "go.mod": (
        "module x\n// about a.b/c\nrequire a.b/c v1\nrequire (\n\ta.b/d v1\n)\n",
        {"a.b/c": 3, "a.b/d": 5},
    ),
    "x.gemspec": (
        's.description = "rack and csv"\ns.add_dependency "csv"\ns.add_runtime_dependency("rack", "~> 3")\n',
        {"csv": 2, "rack": 3},
    ),
    "Gemfile": ('# Uses rake\ngem "rake"\n', {"rake": 2}),
    "Package.swift": (
        '// Uses log\nlet name = "oven"\n.package(url: "https://x.y/a/log.git", from: "1.0.0"),\n',
        {"log": 3},
    ),
    "A.csproj": ('<!-- Flour -->\n<PackageReference Include="Flour" />\n', {"Flour": 2}),
    "build.gradle": ('// a.b:c\n  implementation "a.b:c:1.0"\n', {"a.b:c": 2}),
    "mix.exs": ('# plug\n    {:plug, "~> 1.0"},\n', {"plug": 2}),
}


@pytest.mark.parametrize("path", NAMED_TWICE)
def test_the_line_of_a_package_is_where_it_is_required(path: str) -> None:
    content, lines = NAMED_TWICE[path]
    assert {package: line_of_package(content, package) for package in lines} == lines


def test_each_package_that_is_named_has_its_line_as_evidence(
    engine: Engine, repository: GitRepository, ingested: Ingested
) -> None:
    gemspec = 's.add_dependency "csv"\ns.add_dependency "rack"\ns.add_development_dependency "rake"\n'
    repository.commit({"oven.gemspec": gemspec})
    answer = _ask("what are the dependencies?", engine, repository, ingested)
    lines = [evidence.line for evidence in answer.evidence if evidence.path == "oven.gemspec"]
    assert lines == [1, 2, 3]


def test_what_is_no_code_is_not_said_to_import_nothing(
    engine: Engine, repository: GitRepository, ingested: Ingested
) -> None:
    answer = _ask("what does notes.txt import?", engine, repository, ingested)
    assert answer.understood.kind == NOT_KNOWN
    assert "not read as code" in answer.words


def _ask(question: str, engine: Engine, repository: GitRepository, ingested: Ingested) -> Answer:
    repository.commit(PROJECT)
    ingested(repository)
    with engine.connect() as connection:
        return answers.answer(connection, current_snapshot(connection, "project"), question)
