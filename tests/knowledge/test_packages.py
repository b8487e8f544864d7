"""A package that a question names is found in the manifests by its name or a part of it, with the files that import it."""

import pytest
from sqlalchemy import Engine

from qflow_dagster.ingestion.queries import current_snapshot
from qflow_dagster.knowledge import answers, package_names
from qflow_dagster.knowledge.evidence import NOT_KNOWN
from qflow_dagster.knowledge.questions import ParsedQuestion
from tests.ingestion.conftest import GitRepository, Ingested

POM = """\
<project>
  <dependencies>
    <dependency>
      <groupId>org.apache.commons</groupId>
      <artifactId>commons-codec</artifactId>
    </dependency>
    <dependency>
      <groupId>org.apache.commons</groupId>
      <artifactId>commons-math</artifactId>
    </dependency>
    <dependency>
      <groupId>org.mockito</groupId>
      <artifactId>mockito-core</artifactId>
      <scope>test</scope>
    </dependency>
  </dependencies>
</project>
"""
FILES = {
    "go.mod": "module example.com/m\n\nrequire (\n\tgo.mongodb.org/mongo-driver/v2 v2.5.0\n\tgopkg.in/yaml.v3 v3.0.1\n)\n",
    "store/bson.go": 'package store\n\nimport "go.mongodb.org/mongo-driver/v2/bson"\n\nvar _ = bson.M{}\n',
    "store/bson_test.go": 'package store\n\nimport "go.mongodb.org/mongo-driver/v2/bson"\n\nvar _ = bson.M{}\n',
    "pom.xml": POM,
    "java/Code.java": "package java;\n\nimport org.apache.commons.codec.Base64;\n\nclass Code {}\n",
    "test/java/CodeTest.java": "package java;\n\nimport org.mockito.Mockito;\n\nclass CodeTest {}\n",
    "web/package.json": '{\n  "devDependencies": {"@vue/tools": "1"},\n  "dependencies": {\n    "vue": "3"\n  }\n}\n',
    "web/app.ts": 'import { ref } from "vue"\nimport { tool } from "@vue/tools"\n',
    "web/tool.ts": 'import { tool } from "@vue/tools/lib"\n',
    "Cargo.toml": '[features]\ngit = ["nu-git"]\n\n[dependencies]\nnu-git = "1"\n',
    "src/lib.rs": "use nu_git::Repo;\nuse nu_git_more::Other;\n",
}
# Name, words of the answer, words that it must not have, places that the evidence names.
QUESTIONS = [
    (
        "MongoDB",
        [
            "no package is called MongoDB",
            "go.mongodb.org/mongo-driver/v2",
            "1 file imports it: store/bson.go:3",
            "1 test file",
        ],
        ["yaml"],
        [("go.mod", 4), ("store/bson.go", 3), ("store/bson_test.go", 3)],
    ),
    ("yaml", ["gopkg.in/yaml.v3", "no file imports"], [], [("go.mod", 5)]),
    (
        "Commons_Codec",
        ["pom.xml: commons-codec"],
        ["math", "no package"],
        [("pom.xml", 5), ("java/Code.java", 3)],
    ),
    ("commons-math", ["no file imports a module of that name"], ["Code.java"], [("pom.xml", 9)]),
    ("mockito", ["for development mockito-core"], ["Code.java:"], [("test/java/CodeTest.java", 3)]),
    ("vue", ["1 file imports it: web/app.ts:1"], ["tool", "no package"], [("web/package.json", 4)]),
    ("tools", ["@vue/tools", "2 files import it"], ["no package"], [("web/app.ts", 2), ("web/tool.ts", 1)]),
    ("nu_git", ["Cargo.toml: nu-git"], ["src/lib.rs:2"], [("Cargo.toml", 5), ("src/lib.rs", 1)]),
    ("sugar", ["no manifest that is understood names sugar"], [], []),
]


def test_a_package_is_found_with_what_imports_it(
    engine: Engine, repository: GitRepository, ingested: Ingested
) -> None:
    repository.commit(FILES)
    ingested(repository)
    wrong = []
    with engine.connect() as connection:
        snapshot = current_snapshot(connection, "project")
        for name, words, others, places in QUESTIONS:
            answer = answers.of(connection, snapshot, ParsedQuestion("requirements", name))
            found = {(item.path, item.line) for item in answer.evidence}
            if (
                not all(word in answer.words for word in words)
                or any(word in answer.words for word in others)
                or not found >= set(places)
                or (answer.understood.kind == NOT_KNOWN) == bool(found)
            ):
                wrong.append((name, answer.words, sorted(map(str, found))))
    assert wrong == []


@pytest.mark.parametrize(
    ("manifest", "package", "module", "other"),
    [
        ("go.mod", "github.com/a/b/v2", "github.com/a/b/v2/c", "github.com/a/bc"),
        ("package.json", "@a/b", "@a/b/c.css", "@a/bc"),
        ("Cargo.toml", "serde", "serde::de::Error", "serde_json::Value"),
        ("pyproject.toml", "Google-Cloud-Storage", "google.cloud.storage.blob", "google.cloud.storages"),
        ("requirements.txt", "typing-extensions", "typing_extensions", "typing"),
        ("setup.cfg", "python-dateutil", "dateutil.parser", "date.parser"),
        (
            "pom.xml",
            "commons-lang3",
            "org.apache.commons.lang3.StringUtils",
            "org.apache.commons.lang.Strings",
        ),
        ("app/build.gradle.kts", "com.squareup.okio:okio", "okio.Buffer", "com.squareup.moshi.Json"),
        ("a.csproj", "Newtonsoft.Json", "Newtonsoft.Json.Linq", "System.Text.Json"),
        ("a.gemspec", "rack-test", "rack/test", "rack/tests"),
        (
            "composer.json",
            "psr/http-message",
            "Psr\\Http\\Message\\UriInterface",
            "Psr\\Log\\LoggerInterface",
        ),
        ("Package.swift", "swift-argument-parser", "ArgumentParser", "Argument"),
    ],
)
def test_modules_of_packages(manifest: str, package: str, module: str, other: str) -> None:
    ecosystem = package_names.ecosystem_of(manifest)
    assert ecosystem is not None
    assert package_names.is_of(module, package, ecosystem)
    assert not package_names.is_of(other, package, ecosystem)


def test_the_nearest_names_are_meant() -> None:
    packages = ["yaml", "go-yaml", "gopkg.in/yaml.v3", "pyyaml", "toml"]
    assert package_names.matching(packages, "YAML") == ["yaml"]
    assert package_names.matching(packages[1:], "yaml") == ["go-yaml", "gopkg.in/yaml.v3"]
    assert package_names.matching(packages[3:], "yaml") == ["pyyaml"]
    assert package_names.matching(packages, "go") == []
