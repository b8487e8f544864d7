"""Where something of a kind goes: the folder of the program with its name, before symbols of tests."""

import pytest
from sqlalchemy import Engine

from qflow_dagster.ingestion.queries import current_snapshot
from qflow_dagster.knowledge import answers
from qflow_dagster.knowledge.questions import ParsedQuestion
from tests.ingestion.conftest import GitRepository, Ingested

TESTS = {
    "test/typings/adapter.test.ts": "const a = () => 1\nconst b = () => 2\nconst c = () => 3\n"
    "function adapter() {\n  return 1\n}\nfunction other() {}\nfunction third() {}\n",
}
# Files, the kind of thing, and the folder with the file that is evidence.
PLACES = [
    (
        {"lib/adapters/fetch.js": "export const f = 1\n", "lib/adapters/README.md": "Adapters\n"},
        "adapter",
        "lib/adapters/fetch.js",
    ),
    (
        {f"lib/{name}/README.md": "Read\n" for name in ("adapters", "core", "env", "helpers")}
        | {"lib/adapters/xhr.js": "export const f = 1\n"},
        "adapter",
        "lib/adapters/xhr.js",
    ),
    (
        {"bin/factories/a.py": "A = 1\n", "shop/factories/b.py": "B = 1\n", "shop/factories/c.py": "C = 1\n"},
        "factory",
        "shop/factories/b.py",
    ),
    ({"internal/patch/a.go": "package patch\n"}, "patch", "internal/patch/a.go"),
    ({"tests/adapters/x.py": "X = 1\n", "src/adapter/y.py": "Y = 1\n"}, "adapter", "src/adapter/y.py"),
]


@pytest.mark.parametrize(("files", "kind", "place"), PLACES)
def test_a_kind_of_thing_goes_in_its_folder(
    files: dict[str, str],
    kind: str,
    place: str,
    engine: Engine,
    repository: GitRepository,
    ingested: Ingested,
) -> None:
    repository.commit(TESTS | files)
    ingested(repository)
    with engine.connect() as connection:
        snapshot = current_snapshot(connection, "project")
        answer = answers.of(connection, snapshot, ParsedQuestion("placement", kind))
    assert answer.words.startswith(f"in {place.rpartition('/')[0]}/, beside "), answer.words
    assert (place, 1) in [(item.path, item.line) for item in answer.evidence]
    assert not any("README" in (item.path or "") or "test" in (item.path or "") for item in answer.evidence)


def test_what_the_question_compares_with_is_named_first(
    engine: Engine, repository: GitRepository, ingested: Ingested
) -> None:
    repository.commit({f"renders/{name}.go": "package renders\n" for name in ("bson", "json", "toml", "xml")})
    ingested(repository)
    with engine.connect() as connection:
        snapshot = current_snapshot(connection, "project")
        answer = answers.of(connection, snapshot, ParsedQuestion("placement", "render", "TOML"))
    assert (answer.evidence[0].path, answer.evidence[0].line) == ("renders/toml.go", 1)
