"""Functions that are passed, registered or exported are not called dead."""

import re
from pathlib import Path

import yaml
from sqlalchemy import Engine

from qflow_dagster.ingestion.queries import current_snapshot
from qflow_dagster.knowledge import answers
from tests.ingestion.conftest import GitRepository, Ingested

FILES: dict[str, str] = yaml.safe_load((Path(__file__).parent / "alive.yaml").read_text())


def test_what_is_named_as_a_value_is_alive(
    engine: Engine, repository: GitRepository, ingested: Ingested
) -> None:
    repository.commit(FILES)
    ingested(repository)
    answered = {}
    with engine.connect() as connection:
        snapshot = current_snapshot(connection, "project")
        for path in FILES:
            words = answers.answer(connection, snapshot, f"is there dead code in {path}?").words
            answered[path] = {
                said: re.findall(r"([\w.]+) \(\w+\.\w+:\d+\)", names)
                for said, names in re.findall(r"(likely dead|public|decorated)[^:]*: ([^;]+)", words)
            }
    assert {path: names for path, kinds in answered.items() if (names := kinds.get("likely dead"))} == {
        "app.py": ["_dead_in_prose", "_dead_recursive", "_dead_as_parameter"],
        "mux.go": ["deadHelper"],
        "list.c": ["dead_compare"],
        "page.js": ["deadClick"],
        "lib.rs": ["dead_double"],
        "clean.sh": ["dead_cleanup"],
        "tool.rb": ["_dead_hook"],
        "plain.php": ["_dead_by_name"],
    }
    assert {path: kinds["public"] for path, kinds in answered.items() if "public" in kinds} == {
        "app.py": ["public_function"],
        "mux.go": ["Public"],
        "list.c": ["sort_list"],
        "page.js": ["exported"],
        "lib.rs": ["visible"],
    }
    assert [path for path, kinds in answered.items() if "decorated" in kinds] == ["app.py"]
