"""How the tests of a project are run: by manifests, build files and continuous integration of each kind."""

import pytest
from sqlalchemy import Engine

from qflow_dagster.ingestion.queries import current_snapshot
from qflow_dagster.knowledge import answers, testing_commands
from tests.ingestion.conftest import GitRepository, Ingested

RAKE = "require 'rake'\n\nRSpec::Core::RakeTask.new(:spec)\n\ntask default: [:spec, :features]\n"
NPM = (
    '{\n  "files": ["test"],\n  "scripts": {\n    "build": "tsc",\n    "test": "pnpm run \\"/^test:.*/\\"",\n'
    '    "test:spec": "vitest run",\n    "pretest": "tsc"\n  }\n}\n'
)
GITHUB = (
    "jobs:\n  test:\n    steps:\n      - run: sed -i 's/a/b/' tests/a.py\n      - run: |\n          pip install pytest\n"
    "          cp -r x tests\n      - name: Run tests\n        run: bundle exec rake\n"
)
APPVEYOR = "build_script:\n- cmd: dotnet build src\ntest_script:\n- cmd: dotnet test tests/A.Tests\nafter_test:\n- cmd: dotnet pack\n"
TRAVIS = "language: ruby\nbefore_script:\n  - createdb test\nscript:\n  - bundle exec rubocop\n  - bundle exec rake spec\n"
GITLAB = "test:\n  image: php\n  script:\n    - composer install\n    - vendor/bin/phpunit --testdox\n"
CIRCLE = "jobs:\n  test:\n    steps:\n      - run:\n          name: Run go test\n          command: >\n            go test -race ./...\n"
AZURE = "steps:\n- script: mkdir tests/build\n- bash: ctest --output-on-failure\n"
JENKINS = "pipeline {\n  stages {\n    sh 'echo test'\n    sh './gradlew clean test'\n  }\n}\n"
# A file, its content, and the commands that run tests, each with its line.
FILES = [
    ("Rakefile", RAKE, [(5, "rake, which runs spec, features")]),
    ("Rakefile", "task :default=>:spec\n", [(1, "rake, which runs spec")]),
    ("Rakefile", "task default: %w[all_specs lint]\n", [(1, "rake, which runs all_specs, lint")]),
    ("Rakefile", 'task :doc\nRake::TestTask.new("test:unit") do |t|\nend\n', [(2, "rake test:unit")]),
    ("Rakefile", "task default: :doc\n", []),
    (
        "package.json",
        NPM,
        [(5, 'npm test: pnpm run "/^test:.*/"'), (6, "npm run test:spec: vitest run")],
    ),
    ("composer.json", '{"scripts": {"test": ["@lint", "phpunit"]}}', [(1, "composer test: @lint; phpunit")]),
    (".github/workflows/ci.yml", GITHUB, [(9, "bundle exec rake")]),
    ("appveyor.yml", APPVEYOR, [(4, "dotnet test tests/A.Tests")]),
    (".travis.yml", TRAVIS, [(6, "bundle exec rake spec")]),
    (".gitlab-ci.yml", GITLAB, [(5, "vendor/bin/phpunit --testdox")]),
    (".circleci/config.yml", CIRCLE, [(7, "go test -race ./...")]),
    ("azure-pipelines.yml", AZURE, [(3, "ctest --output-on-failure")]),
    ("Jenkinsfile", JENKINS, [(4, "./gradlew clean test")]),
    ("Makefile", "TESTS := a\ntests := b\nall:\n\ntest: all\n", [(5, "make test")]),
    ("Package.swift", 'let package = Package(\n  .testTarget(name: "a"))\n', [(2, "swift test")]),
]
# Commands, and whether they run tests.
COMMANDS = {
    "bundle exec rake": True,
    "bundle exec rake test:unit": True,
    "rake release": False,
    "bundle exec bake test": True,
    "composer test": True,
    "composer install": False,
    "vendor/bin/phpunit tests": True,
    "dotnet test --no-build tests/A.Tests": True,
    "swift test": True,
    "./gradlew :core:connectedAndroidTest": True,
    "sbt test": True,
    "ctest --output-on-failure": True,
    "uv run tox -e py": True,
    "python -m shop.test": True,
    "node --test": True,
    "scripts/test": True,
    "sh run-tests.sh": True,
    "test -f setup.py": False,
    "sed -i s/a/b/ tests/x && cargo test": True,
    "sed -i s/a/b/ tests/x": False,
    "cat <<'EOF' > test.cu": False,
    "lcov --remove coverage.info '*/tests/*'": False,
    "php -S 127.0.0.1:10002 tests/Integration/server.php": False,
    "for f in $(find src/ tests/ -type f)": False,
    "createdb test": False,
    "pip install pytest": False,
    "cargo build --tests": False,
}


@pytest.mark.parametrize(("path", "content", "commands"), FILES)
def test_commands_of_each_file(path: str, content: str, commands: list[tuple[int, str]]) -> None:
    assert testing_commands.read(path, content) == commands


@pytest.mark.parametrize("command", COMMANDS)
def test_which_commands_run_tests(command: str) -> None:
    assert testing_commands.runs_tests(command) == COMMANDS[command]


def test_each_kind_of_file_is_looked_for(
    engine: Engine, repository: GitRepository, ingested: Ingested
) -> None:
    files = {path: content for path, content, _ in FILES}
    repository.commit({**files, "Rakefile": RAKE})
    ingested(repository)
    with engine.connect() as connection:
        snapshot = current_snapshot(connection, "project")
        answer = answers.answer(connection, snapshot, "how do I run the tests?")
    named = {path for path in files if f"({path}:" in answer.words}
    assert len(named) == 10
    assert "Rakefile:5" in answer.words
