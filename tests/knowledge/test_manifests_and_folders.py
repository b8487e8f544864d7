"""Answers from manifests, workflows and folders name the line that shows them; a type is known by its other names."""

from sqlalchemy import Engine

from qflow_dagster.ingestion.queries import current_snapshot
from qflow_dagster.knowledge import answers, index
from tests.ingestion.conftest import ANN, GitRepository, Ingested

WORKFLOW = """\
jobs:
  test:
    steps:
      - run: python -m pip install tox
      - run: "python setup.py check"
      - name: tests
        run: |
          cargo build --tests
          cargo nextest run && cargo test --doc
"""
PROJECT = """\
<Project>
  <ItemGroup>
    <PackageReference Include="Flour" Version="2.1" />
    <PackageReference Include="Analyzer" Version="1.0"><PrivateAssets>all</PrivateAssets></PackageReference>
  </ItemGroup>
</Project>
"""
TESTS = '<PackageReference Include="Microsoft.NET.Test.Sdk" /><PackageReference Include="Shouldly" />'
FILES = {
    "tox.ini": "[tox]\nenvlist = py\n\n[testenv]\ndeps = pytest\ncommands =\n    # the tests\n    python -m shop.test\n",
    ".github/workflows/ci.yml": WORKFLOW,
    "Cargo.toml": '[package]\nname = "oven"\n\n[[bin]]\nname = "oven"\npath = "src/main.rs"\n\n[dependencies]\nyeast = "0.20"\n',
    "src/main.rs": "mod heat;\n\nfn main() {}\n",
    "src/heat.rs": "pub fn heat() {}\n",
    "shop/Shop.csproj": PROJECT,
    "checks/Shop.Checks.csproj": TESTS,
    "web/middleware/cors/index.ts": "export const cors = () => 1\n",
    "web/middleware/etag/index.ts": "export const etag = () => 2\n",
    "web/client/index.ts": "export const client = 3\n",
    "web/router/router.ts": "export const router = 4\n",
    "Package.swift": 'let package = Package(dependencies: [.package(url: "https://github.com/a/swift-oven.git", from: "1.0")])\n',
    "oven.gemspec": 'Gem::Specification.new do |gem|\n  gem.add_dependency "rack", ">= 3"\nend\n',
    "app/build.gradle.kts": 'dependencies {\n    implementation("com.shop:crust:1.2")\n    testImplementation("org.junit:junit:5")\n}\n',
    "mix.exs": 'defp deps do\n  [\n    {:plug, "~> 1.0"}\n  ]\nend\n',
    "java/Lists.java": "package java;\n\n/**\n * List utilities.\n */\npublic final class Lists {\n}\n",
    "net/many.py": "class Base:\n    pass\n\n\n"
    + "\n\n".join(f"class Kind{n}(Base):\n    pass\n" for n in range(22)),
    "notes.txt": "Prove the dough for a day.\n",
    "old/notes.txt": "Prove the dough for a day.\n",
    "net/settings.py": "import os\n" + "".join(f"A{n} = os.environ['VAR_{n}']\n" for n in range(25)),
    "net/errors.py": "class ClientError(Exception):\n    pass\n\n\nHTTPError = ClientError\n",
    "net/web.py": "class HTTPError(Exception):\n    pass\n\n\nclass Missing(HTTPError):\n    pass\n",
    "net/curl.py": "from net.errors import HTTPError\n\n\nclass CurlError(HTTPError):\n    pass\n",
}
# Question, kind, words of the answer, words that it must not have, places that the evidence names.
QUESTIONS = [
    (
        "how are the tests run?",
        "testing",
        ["python -m shop.test", "cargo nextest run"],
        ["pip install", "setup.py", "cargo build"],
        [("tox.ini", 8), (".github/workflows/ci.yml", 9)],
    ),
    ("where does the program start?", "running", [], [], [("Cargo.toml", 6), ("src/main.rs", 3)]),
    ("does it use yeast?", "requirements", ['yeast = "0.20"'], [], [("Cargo.toml", 9)]),
    ("does it use Flour?", "requirements", ["Flour"], ["for development"], [("shop/Shop.csproj", 3)]),
    ("does it use Analyzer?", "requirements", ["for development Analyzer"], [], []),
    ("does it use Shouldly?", "requirements", ["for development Shouldly"], [], []),
    (
        "does it depend on swift-oven?",
        "requirements",
        ["Package.swift: swift-oven"],
        [],
        [("Package.swift", 1)],
    ),
    ("does it depend on rack?", "requirements", ["oven.gemspec: rack"], [], [("oven.gemspec", 2)]),
    ("does it depend on plug?", "requirements", ["mix.exs: plug"], [], [("mix.exs", 3)]),
    (
        "does it depend on com.shop:crust?",
        "requirements",
        ["com.shop:crust"],
        [],
        [("app/build.gradle.kts", 2)],
    ),
    ("does it depend on org.junit:junit?", "requirements", ["for development org.junit:junit"], [], []),
    (
        "where should another middleware like etag go?",
        "placement",
        ["in web/middleware/, beside", "the last one added was web/middleware/gzip/index.ts"],
        [],
        [("web/middleware/cors/index.ts", 1)],
    ),
    ("where do I add a new router?", "placement", ["in web/router/"], [], []),
    (
        "which classes derive from ClientError?",
        "subclasses",
        ["CurlError", "HTTPError (net/errors.py:5)"],
        ["Missing"],
        [("net/curl.py", 4)],
    ),
    (
        "which file is a copy of notes.txt?",
        "similar",
        ["same content as old/notes.txt"],
        [],
        [("old/notes.txt", 1)],
    ),
    ("which files are copies of tox.ini?", "similar", ["is not read as code"], [], [("tox.ini", 1)]),
    ("which env vars are read?", "configuration", ["VAR_0", "VAR_24"], [], [("net/settings.py", 26)]),
    ("what is java/Lists.java good for?", "purpose", ["List utilities."], [], [("java/Lists.java", 1)]),
    (
        "which kinds derive from Base?",
        "subclasses",
        ["22 types", "Kind21"],
        [" more"],
        [("net/many.py", 89)],
    ),
    ("how do we price ClientError?", "search", [], ["only this is answered"], []),
    ("where is ClientError raised?", "not known", [], [], []),
    ("who uses ClientError?", "used", ["HTTPError is another name of it (net/errors.py:5)"], [], []),
]


def test_answers_name_the_line_that_shows_them(
    engine: Engine, repository: GitRepository, ingested: Ingested
) -> None:
    repository.commit(FILES, "Shop", ANN)
    repository.commit({"web/middleware/gzip/index.ts": "export const gzip = () => 5\n"}, "Add gzip", ANN)
    repository.commit({"web/client/socket.ts": "export const socket = 6\n"}, "Socket", ANN)
    ingested(repository)
    wrong = []
    with engine.connect() as connection:
        snapshot = current_snapshot(connection, "project")
    index.update(engine, snapshot)
    with engine.connect() as connection:
        for question, kind, words, others, places in QUESTIONS:
            answer = answers.answer(connection, snapshot, question)
            found = {(evidence.path, evidence.line) for evidence in answer.evidence}
            if (
                answer.understood.kind != kind
                or not all(word in answer.words for word in words)
                or any(word in answer.words for word in others)
                or not found >= set(places)
            ):
                wrong.append((question, answer.understood.kind, answer.words, sorted(map(str, found))))
    assert wrong == []
