"""Which packages manifests require at one revision and not at another one, in the formats of each language."""

import pytest
from sqlalchemy import Engine

from qflow_dagster.ingestion.queries import current_snapshot
from qflow_dagster.knowledge import answers
from qflow_dagster.knowledge.questions import ParsedQuestion
from tests.ingestion.conftest import GitRepository, Ingested

CARGO = '[package]\nname = "shop"\nversion = "{0}"\n\n[dependencies]\nrand = "{0}"\n{1}\n[build-dependencies]\n{2}\n'
# A manifest before and after, and what the answer says of it.
CHANGES = {
    "Cargo.toml": (
        CARGO.format("0.8", 'atty = "0.2"', ""),
        CARGO.format("0.9", "", 'clap_mangen = "0.2"'),
        "packages added: clap_mangen 0.2, for development or builds (Cargo.toml:9); "
        "no longer required: atty 0.2 (Cargo.toml:7); with another constraint: rand 0.8 -> 0.9 (Cargo.toml:6)",
    ),
    "package.json": (
        '{"dependencies": {"left": "1"},\n "devDependencies": {"right": "2"}}\n',
        '{"dependencies": {"right": "2"}}\n',
        "packages no longer required: left 1 (package.json:1); "
        "with another constraint: right 2 -> 2, now at run time (package.json:1)",
    ),
    "go.mod": (
        "module shop\n\nrequire example.com/oven v1.0.0\n",
        "module shop\n\nrequire (\n\texample.com/oven v1.1.0\n\texample.com/till v0.1.0\n)\n",
        "packages added: example.com/till v0.1.0 (go.mod:5); "
        "with another constraint: example.com/oven v1.0.0 -> v1.1.0 (go.mod:4)",
    ),
    "shop.gemspec": (
        'Gem::Specification.new do |s|\n  s.add_dependency "rack", "~> 2"\nend\n',
        'Gem::Specification.new do |s|\n  s.add_dependency "rack", "~> 2"\n  s.add_dependency "oven"\nend\n',
        "packages added: oven (shop.gemspec:3)",
    ),
    "pyproject.toml": (
        '[project]\nname = "shop"\ndependencies = ["oven>=1"]\n',
        '[project]\nname = "shop"\nversion = "2"\ndependencies = ["oven>=1"]\n',
        "",
    ),
    "composer.json": ("{", '{"require": {"a/b": "1"}}\n', ""),
}


@pytest.mark.parametrize("path", CHANGES)
def test_packages_that_are_new_gone_or_of_another_version(
    path: str, engine: Engine, repository: GitRepository, ingested: Ingested
) -> None:
    before, after, said = CHANGES[path]
    repository.commit({path: before, "tests/package.json": '{"dependencies": {"z": "1"}}'}, "First")
    repository.git("tag", "v1.0")
    repository.commit({path: after, "tests/package.json": '{"dependencies": {"y": "1"}}'}, "Second")
    repository.git("tag", "v1.1")
    ingested(repository)
    with engine.connect() as connection:
        snapshot = current_snapshot(connection, "project")
        answer = answers.of(connection, snapshot, ParsedQuestion("between", "v1.0..v1.1"))
    words = answer.words.partition("; packages ")[2].partition("; commits: ")[0]
    assert (f"packages {words}" if words else "") == said, answer.words
    unread = ("manifests that are not written as those of their kind are: composer.json",)
    assert answer.limits == (unread if path == "composer.json" else ())


def test_a_package_that_moved_to_another_manifest_is_not_new(
    engine: Engine, repository: GitRepository, ingested: Ingested
) -> None:
    repository.commit({"requirements.txt": "oven>=1\n"}, "First")
    repository.git("tag", "v1.0")
    (repository.path / "requirements.txt").unlink()
    new = '[project]\nname = "shop"\ndependencies = ["oven>=1", "till"]\n'
    commit = repository.commit({"pyproject.toml": new}, "Second")
    repository.git("tag", "v1.1")
    ingested(repository)
    with engine.connect() as connection:
        snapshot = current_snapshot(connection, "project")
        question = "Packaging. v1.0 -> v1.1, do I need another package that was not listed before?"
        answer = answers.answer(connection, snapshot, question)
        registry = answers.answer(connection, snapshot, "any new pypi package between v1.0 and v1.1?")
    assert "packages added: till (pyproject.toml:3)" in registry.words
    assert "packages added: till (pyproject.toml:3)" in answer.words
    assert "oven" not in answer.words
    assert (commit, "pyproject.toml", 3) in [item[:3] for item in answer.evidence]
