"""The packages of manifests, under their own names: other names for them, groups, extras, and what others define."""

import pytest
from sqlalchemy import Engine

from qflow_dagster.ingestion.queries import current_snapshot
from qflow_dagster.knowledge import answers, manifests
from qflow_dagster.knowledge.questions import ParsedQuestion
from tests.ingestion.conftest import GitRepository, Ingested

CARGO = """
[dependencies]
serde = { version = "1", optional = true }
extra = { package = "portable-atomic", version = "1", optional = true }
log.workspace = true
heat = { workspace = true }
[dev-dependencies]
loom = "1"
[target.'cfg(unix)'.dependencies]
libc = "1"
[target.'cfg(loom)'.dev-dependencies]
model = "1"
[build-dependencies.old]
package = "cc"
"""
NPM = """{"dependencies": {"a": "1", "old": "npm:@scope/new@1.0", "b": "workspace:*"},
"optionalDependencies": {"o": "1"}, "peerDependencies": {"p": "1", "q": "1"},
"peerDependenciesMeta": {"q": {"optional": true}}, "devDependencies": {"c": "1"}}"""
GO = """module x
require (
	example.com/a v1.0.0
	example.com/b v1.0.0 // indirect
)
require example.com/c v1.0.0
replace example.com/a => example.com/fork v1.1.0
exclude (
	example.com/no v1.0.0
)
replace (
	example.com/c v1.0.0 => ../c
)
"""
PYPROJECT = """
[project]
name = "shop"
dependencies = ["a>=1", "b[x]; python_version < '3'"]
[project.optional-dependencies]
web = ["c", "a"]
dev = ["d"]
all = ["shop[web]"]
[dependency-groups]
lint = ["e", {include-group = "docs"}]
[tool.poetry.group.tests.dependencies]
f = "*"
"""
GEMFILE = """
gemspec
gem "a", "~> 1"
group :development, :test do
  gem "b"
  if true
    gem "c"
  end
end
gem "d", group: :test
platforms :ruby do
  gem "e"
end
"""
PROPS = """<Project><ItemGroup>
<PackageVersion Include="No" Version="1" /><GlobalPackageReference Include="A" Version="1" />
<PackageReference Include="B" />
</ItemGroup></Project>"""
GRADLE = """dependencies {
    implementation(libs.okio.core)
    implementation libs.bundles.web
    api(project(":other"))
    api(projects.other)
    testImplementation(libs.junit)
    implementation "g:a:1.0"
}"""
CATALOG = """
[libraries]
okio-core = { module = "com.squareup:okio", version = "1" }
a = { group = "g", name = "web-a", version.ref = "x" }
b = "g:web-b:1"
junit = "org.junit:junit:1"
[bundles]
web = ["a", "b"]
"""
ROOT = '[workspace.dependencies]\nlog = "1"\nheat = { package = "heat-core", version = "1" }\n'
# The path of a manifest, its content, what it requires, and what for development.
FILES = [
    (
        "a/Cargo.toml",
        CARGO,
        ["serde (optional)", "portable-atomic (as extra, optional)", "log", "heat-core (as heat)", "libc"],
        ["loom", "cc (as old)", "model"],
    ),
    (
        "package.json",
        NPM,
        ["a", "@scope/new (as old)", "b", "p (peer)", "q (peer, optional)", "o (optional)"],
        ["c"],
    ),
    (
        "go.mod",
        GO,
        [
            "example.com/a (replaced by example.com/fork)",
            "example.com/b (indirect)",
            "example.com/c (replaced by ../c)",
        ],
        [],
    ),
    ("pyproject.toml", PYPROJECT, ["a", "b", "c (extra web)"], ["f", "e", "d"]),
    (
        "composer.json",
        '{"require": {"php": ">=8", "a/b": "1"}, "require-dev": {"c/d": "1"}}',
        ["php", "a/b"],
        ["c/d"],
    ),
    ("Gemfile", GEMFILE, ["a", "e"], ["b", "c", "d"]),
    ("x.gemspec", 's.add_dependency "aa"\ns.add_development_dependency "bb"\n', ["aa"], ["bb"]),
    ("Directory.Packages.props", PROPS, ["B"], ["A"]),
    ("app/build.gradle", GRADLE, ["com.squareup:okio", "g:web-a", "g:web-b", "g:a"], ["org.junit:junit"]),
]


@pytest.mark.parametrize(("path", "content", "run", "development"), FILES)
def test_packages_of_each_manifest(path: str, content: str, run: list[str], development: list[str]) -> None:
    others = manifests.shared("Cargo.toml", ROOT) | manifests.shared("gradle/libs.versions.toml", CATALOG)
    found = manifests.read(path, content, others)
    entries = [(str(entry._replace(constraint="")), entry.development) for entry in found]
    assert entries == [*((entry, False) for entry in run), *((entry, True) for entry in development)]
    assert manifests.is_complete(content, found)


def test_what_no_other_manifest_explains_is_said(
    engine: Engine, repository: GitRepository, ingested: Ingested
) -> None:
    repository.commit(
        {"Cargo.toml": '[dependencies]\nextra = { package = "portable-atomic", version = "1" }\n'}
    )
    repository.commit({"a/Cargo.toml": "[dependencies]\nlog.workspace = true\n", "build.gradle": GRADLE})
    ingested(repository)
    with engine.connect() as connection:
        snapshot = current_snapshot(connection, "project")
        answer = answers.of(connection, snapshot, ParsedQuestion("requirements", ""))
        assert "portable-atomic 1 (as extra)" in answer.words
        assert "not read, or not completely: build.gradle, a/Cargo.toml" in answer.words
        named = answers.of(connection, snapshot, ParsedQuestion("requirements", "portable-atomic"))
        assert ("Cargo.toml", 2) in [(item.path, item.line) for item in named.evidence]
