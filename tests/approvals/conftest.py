"""What the tests of approvals share: asking for an edit, having it approved, and its status."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Connection, Engine, text

from qflow_dagster.approvals import arbiter, authorization, records
from qflow_dagster.approvals.authorization import ApprovalRefusedError, Reference
from qflow_dagster.settings import settings
from qflow_dagster.settings.platform import ApprovalsSettings
from tests import decisions

PATCH = {"patch": "diff --git a/src/a.py b/src/a.py\n--- a/src/a.py\n+++ b/src/a.py\n@@ -1 +1 @@\n-a\n+b\n"}


@pytest.fixture
def approvals_settings(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Change settings of approvals for one test."""

    def change(**values: Any) -> None:
        current = settings()
        monkeypatch.setattr(current, "approvals", ApprovalsSettings(**values))

    return change


def ask(
    connection: Connection, kind: str = "edit", target: str = "src/a.py", content: Any = PATCH, **options: Any
) -> UUID:
    return arbiter.request_approval(
        connection, kind, target, content, **{"requested_by": "bot", "reason": "because", **options}
    )


def approved(engine: Engine, **options: Any) -> tuple[UUID, str]:
    with engine.begin() as connection:
        id_ = ask(connection, **options)
        token = decisions.approve(connection, id_, actor="ada").token
    assert token is not None
    return id_, token


def status(engine: Engine, id_: UUID) -> str:
    with engine.connect() as connection:
        return records.show(connection, id_)["status"]


def end_its_term(engine: Engine, id_: UUID) -> None:
    with engine.begin() as connection:
        for table in ("workflows", "approvals"):
            connection.execute(
                text(f"UPDATE {table} SET expires_at = clock_timestamp() WHERE id = :id"), {"id": id_}
            )


def reason_of(
    engine: Engine, token: str | Reference, kind: str = "edit", target: str = "src/a.py", content: Any = PATCH
) -> str:
    with pytest.raises(ApprovalRefusedError) as refused, engine.begin() as connection:
        authorization.authorize(connection, token, kind, target, content, actor="run")
    return refused.value.reason
