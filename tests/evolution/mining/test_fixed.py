"""Mended places: what people did away with by themselves, by changing it; not what was deleted or moved."""

import pytest

from qflow_dagster.evolution.mining.fixed import find_fixed
from qflow_dagster.evolution.rules import Rule, load_rules
from tests.ingestion.conftest import GitRepository, make_repository, repository

__all__ = ["make_repository", "repository"]
RULES = {rule.id: rule for rule in load_rules()}
# Found by ruff, and by a pattern.
MUTABLE, OPEN = RULES["python/mutable-default"], RULES["go/strings-contains"]
BEFORE = "def collect(item, found=[]):\n    found.append(item)\n    return found\n"
AFTER = "def collect(item, found=None):\n    found = found or []\n    found.append(item)\n    return found\n"


def places(repository: GitRepository, rule: Rule = MUTABLE) -> list[tuple[str, str]]:
    """(path, text of the match)."""
    found = find_fixed(repository.path, rule, tip="HEAD", processes=1)
    assert all(place.wanted for place in found)
    return [(place.path, place.text[place.start : place.end]) for place in found]


def test_a_place_that_was_changed_is_mended(repository: GitRepository) -> None:
    repository.commit({"a.py": BEFORE, "b.py": BEFORE})
    repository.commit({"a.py": AFTER})
    assert places(repository) == [("a.py", "[]")]


def test_a_pattern_s_place_too(repository: GitRepository) -> None:
    go = "package a\n\nfunc F(s string) bool {{\n\treturn {0}\n}}\n"
    repository.commit({"a.go": go.format('strings.Index(s, "x") != -1')})
    repository.commit({"a.go": go.format('strings.Contains(s, "x")')})
    assert [path for path, _ in places(repository, OPEN)] == ["a.go"]


@pytest.mark.parametrize(
    "after",
    [
        pytest.param("x = 1\n", id="deleted"),
        pytest.param("import os\n\n\n" + BEFORE, id="moved"),
        pytest.param(BEFORE.replace("collect", "gather"), id="renamed"),
        pytest.param("class Collector:\n    items: list[str]\n", id="replaced by something else"),
        pytest.param(BEFORE.replace("    ", "  "), id="formatted"),
    ],
)
def test_what_is_gone_otherwise_was_not_mended(repository: GitRepository, after: str) -> None:
    repository.commit({"a.py": "y = 2\n" + BEFORE})
    repository.commit({"a.py": "y = 2\n" + after})
    assert places(repository) == []


def test_a_hostile_file_costs_itself(repository: GitRepository) -> None:
    repository.commit({"a.py": BEFORE, "b.py": "x = (\n" * 9, "c.py": b"\xff\xfe broken"})
    repository.commit({"a.py": AFTER, "b.py": "x = [\n" * 9, "c.py": b"\xff\xff broken"})
    assert places(repository) == [("a.py", "[]")]


def test_a_rule_of_measures_has_none(repository: GitRepository) -> None:
    repository.commit({"a.py": BEFORE})
    assert places(repository, RULES["maintainability/very-complex-function"]) == []
