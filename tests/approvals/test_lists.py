"""Lists of approvals: filters, search, orders, pages and counts, by the tables alone."""

from typing import Any

import pytest
from sqlalchemy import Engine

from qflow_dagster.approvals import lists
from qflow_dagster.approvals.lists import Filter
from qflow_dagster.errors import UsageError
from tests import decisions
from tests.approvals.conftest import ask


@pytest.fixture
def listed(engine: Engine) -> dict[str, Any]:
    """Five requests of several kinds, one of them denied, by name."""
    with engine.begin() as connection:
        ids = {
            "low": ask(
                connection,
                content={"repository": "flask", "patch": "x"},
                evidence={"rule": "python/in-keys v2", "risk": "low"},
                reason="Membership test: 100% of cases",
            ),
            "high": ask(
                connection,
                target="flask",
                content={"repository": "flask"},
                evidence={"rule": "python/in-keys v2", "risk": "high"},
                owner="ada",
                ttl=60,
            ),
            "rule": ask(connection, kind="rule", target="go/defer", content={"to": "active"}),
            "workflow": ask(connection, kind="workflow", target="deploy", content={}, evidence=["a", "list"]),
            "denied": ask(connection, evidence={"risk": "low"}),
        }
        decisions.deny(connection, ids["denied"], actor="bob")
    return ids


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        (Filter(), "denied workflow rule high low"),
        (Filter(status="pending"), "workflow rule high low"),
        (Filter(status="denied", risk="low"), "denied"),
        (Filter(status="pending", kind="rule"), "rule"),
        (Filter(kind="edit"), "denied high low"),
        (Filter(repository="flask"), "high low"),
        (Filter(status="pending", repository="-"), "workflow rule"),
        (Filter(rule="python/in-keys"), "high low"),
        (Filter(rule="go/defer"), "rule"),
        (Filter(status="pending", risk="high"), "high"),
        (Filter(owner="ada"), "high"),
        (Filter(owner=" \uff21da "), "high"),
        (Filter(owner="ad"), ""),
        (Filter(status="pending", owner="-"), "workflow rule low"),
        (Filter(search="MEMBERSHIP"), "low"),
        (Filter(search="100%"), "low"),
        (Filter(search="1_0%"), ""),
        (Filter(search="bo!t"), ""),
        (Filter(older_than=0.0), "denied workflow rule high low"),
        (Filter(older_than=3_600), ""),
    ],
    ids=str,
)
def test_a_filter_selects(engine: Engine, listed: dict[str, Any], selection: Filter, expected: str) -> None:
    names = {id_: name for name, id_ in listed.items()}
    with engine.connect() as connection:
        rows = lists.find(connection, selection)
        total, facets = lists.facets(connection, selection)
    assert " ".join(names[row["id"]] for row in rows) == expected
    assert total == len(rows)
    for facet in lists.FACETS:
        counted = [row[facet] or "-" for row in rows]
        assert facets[facet] == {value: counted.count(value) for value in facets[facet]}
        assert sum(facets[facet].values()) == len(rows)


def test_a_list_has_orders_and_pages(engine: Engine, listed: dict[str, Any]) -> None:
    names = {id_: name for name, id_ in listed.items()}
    pending = Filter(status="pending")
    with engine.connect() as connection:
        orders = {
            sort: " ".join(names[row["id"]] for row in lists.find(connection, pending, sort=sort))
            for sort in lists.SORTS
        }
        second = lists.find(connection, pending, sort="oldest", offset=2, limit=1)
        with pytest.raises(UsageError, match="no order of approvals"):
            lists.find(connection, sort="a.id; DROP TABLE approvals")
    assert orders == {
        "oldest": "low high rule workflow",
        "newest": "workflow rule high low",
        "expiry": "high low rule workflow",
        "risk": "high low rule workflow",
    }
    assert [names[row["id"]] for row in second] == ["rule"]
    with pytest.raises(UsageError, match="no kind of approvals"):
        Filter(kind="party")
