"""Suspected commits: both sides of a line, all frames of the chain, and the revision that ran."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Engine

from qflow_dagster.infrastructure import error_records
from qflow_dagster.infrastructure.error_rate_tracker import Occurrence, track_errors
from qflow_dagster.ingestion import suspects
from tests.ingestion.conftest import GitRepository, Ingested

CART = "".join(f"line_{n} = {n}\n" for n in range(1, 31))
Frame = tuple[str, int, str]


def changed(number: int, text: str | None) -> str:
    """Return the file with a line replaced, or deleted."""
    lines = CART.splitlines(keepends=True)
    lines[number - 1] = "" if text is None else f"{text}\n"
    return "".join(lines)


def suspect_of(
    engine: Engine,
    *chain: list[Frame],
    age: float = 0.0,
    context: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Report an exception with its causes, and return what is suspected of it."""
    exceptions = [
        {
            "type": f"Error{number}",
            "frames": [
                {
                    "file": file,
                    "path": f"/srv/app/{file}",
                    "line": line,
                    "function": f"line_{line}",
                    "source": source,
                    "platform": "python",
                }
                for file, line, source in frames
            ],
        }
        for number, frames in enumerate(chain)
    ]
    occurrence = Occurrence(
        operation="shop", kind=exceptions[-1]["type"], exceptions=exceptions, age=age, context=context
    )
    with engine.begin() as connection:
        track_errors(connection, [occurrence])
    [group] = suspects.analyze_errors(engine)[0].new_groups
    with engine.connect() as connection:
        return error_records.show(connection, group)["suspect"]


def test_the_line_and_what_was_deleted_beside_it(
    engine: Engine, repository: GitRepository, ingested: Ingested
) -> None:
    repository.commit({"shop/cart.py": CART, "shop/pay.py": CART}, "first")
    wrote = repository.commit({"shop/cart.py": changed(10, "total = price()")}, "wrote the line")
    without_9 = changed(10, "total = price()").replace("line_9 = 9\n", "")
    deleted = repository.commit({"shop/cart.py": without_9}, "deleted what it needs")
    far = repository.commit({"shop/cart.py": without_9.replace("line_30 = 30", "line_30 = 0")}, "far away")
    ingested(repository)
    suspect = suspect_of(engine, [("shop/cart.py", 9, "total = price()")])
    assert (suspect["commit"], suspect["reason"]) == (deleted, "it changed the lines around last")
    assert [(other["commit"], other["reason"]) for other in suspect["others"]] == [
        (wrote, "it changed this line last")
    ]
    assert far not in str(suspect)


def test_all_frames_of_the_chain_count(engine: Engine, repository: GitRepository, ingested: Ingested) -> None:
    repository.commit({"shop/cart.py": CART, "shop/pay.py": CART, "shop/web.py": CART}, "first")
    outer = repository.commit({"shop/web.py": changed(20, "serve(None)")}, "serve nothing")
    inner = repository.commit({"shop/pay.py": changed(5, "pay(cart)")}, "pay")
    repository.commit({"README": "unrelated"}, "unrelated")
    ingested(repository)
    raised, wrapped = [("shop/cart.py", 9, ""), ("shop/pay.py", 5, "")], [("shop/web.py", 20, "")]
    suspect = suspect_of(engine, raised, wrapped)
    assert (suspect["commit"], suspect["path"], suspect["line"]) == (inner, "shop/pay.py", 5)
    assert suspect["others"][0]["commit"] == outer


def test_a_later_commit_cannot_have_caused_it(
    engine: Engine, repository: GitRepository, ingested: Ingested
) -> None:
    repository.commit({"shop/cart.py": CART}, "first")
    before = repository.commit({"shop/cart.py": changed(10, "total = 1")}, "before")
    at = 1_700_000_000 + repository.hours * 3_600
    repository.commit({"shop/cart.py": changed(10, "total = 2")}, "after")
    ingested(repository)
    with engine.connect() as connection:
        now = connection.exec_driver_sql("SELECT extract(epoch FROM clock_timestamp())").scalar_one()
    suspect = suspect_of(engine, [("shop/cart.py", 10, "")], age=float(now) - at - 600)
    assert suspect["commit"] == before


def test_lines_are_those_of_the_release_or_where_their_source_is(
    engine: Engine, repository: GitRepository, ingested: Ingested
) -> None:
    repository.commit({"shop/cart.py": CART}, "first")
    wrote = repository.commit({"shop/cart.py": changed(10, "total = price()")}, "wrote the line")
    repository.git("tag", "v1.2.0")
    moved = "import os\n" * 8 + changed(10, "total = price()")
    later = repository.commit({"shop/cart.py": moved}, "imports")
    ingested(repository)
    by_source = suspect_of(engine, [("shop/cart.py", 10, "total = price()")])
    assert (by_source["commit"], by_source["line"]) == (wrote, 18)
    by_tag = suspect_of(engine, [("shop/cart.py", 10, "")], context={"release": "shop@1.2.0"})
    assert (by_tag["commit"], by_tag["line"]) == (wrote, 10)
    by_commit = suspect_of(engine, [("shop/cart.py", 11, "")], context={"release": wrote})
    assert by_commit["commit"] == wrote
    # Neither says where the line was: the last change of the file has to do.
    unknown = suspect_of(engine, [("shop/cart.py", 12, "gone()")])
    assert (unknown["commit"], unknown["reason"]) == (later, "it changed this file last")
