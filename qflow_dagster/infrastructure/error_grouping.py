"""People's own grouping of errors: rules by pattern, and groups merged and split by hand.

A rule gives later occurrences that match all its patterns a fingerprint. A merged group is shown as part of another
one, with its occurrences, also the later ones, until it is split off. Does not belong here: the fingerprint of an
error without rules (`fingerprints`).
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import re2
from sqlalchemy import Connection, func, insert, select, update

from qflow_dagster.errors import UsageError
from qflow_dagster.infrastructure.fingerprints import innermost
from qflow_dagster.infrastructure.stacks import Raised
from qflow_dagster.infrastructure.tables import error_grouping_rules, error_groups
from qflow_dagster.quantumflow import transition

# What the patterns of a rule are about; file, function and module are those of the innermost frame of the program.
FIELDS = ("kind", "message", "operation", "file", "function", "module", "release")
MAX_RULES, MAX_PATTERN_LENGTH, MAX_PARTS = 200, 200, 10


class GroupingRules:
    """The rules that people made, as they are applied to occurrences: the newest that matches decides."""

    def __init__(self, rules: Sequence[tuple[Mapping[str, str], Sequence[str]]]) -> None:
        self._rules = [
            ({name: _compiled(pattern) for name, pattern in patterns.items()}, tuple(fingerprint))
            for patterns, fingerprint in rules
        ]

    def fingerprint_of(self, chain: tuple[Raised, ...], operation: str, release: str) -> tuple[str, ...]:
        """Return the fingerprint that the rules give an error; empty if none matches."""
        if not self._rules:
            return ()
        frame = next(iter(reversed(innermost(chain))), None)
        said = {
            "kind": chain[-1].kind,
            "message": chain[-1].message,
            "operation": operation,
            "release": release,
        }
        if frame is not None:
            said |= {"file": frame.path or frame.file, "function": frame.function, "module": frame.module}
        for patterns, fingerprint in self._rules:
            if all(pattern.fullmatch(said.get(name, "")) for name, pattern in patterns.items()):
                return fingerprint
        return ()


def load_rules(connection: Connection) -> GroupingRules:
    """Return the rules that apply now."""
    return GroupingRules([(rule["patterns"], rule["fingerprint"]) for rule in rules(connection)])


def rules(connection: Connection) -> list[dict[str, Any]]:
    """Return the rules that apply, the newest first."""
    columns = error_grouping_rules.c
    query = select(columns.id, columns.patterns, columns.fingerprint, columns.actor, columns.at).where(
        columns.removed_at.is_(None)
    )
    return [dict(row) for row in connection.execute(query.order_by(columns.id.desc())).mappings()]


def add_rule(
    connection: Connection, patterns: Mapping[str, str], fingerprint: Sequence[str], *, actor: str
) -> int:
    """Give later occurrences that match all patterns (* is any text, ? any character) a fingerprint; return its number.

    `{{ default }}` in the fingerprint stands for the grouping without the rule.

    Raises:
        UsageError: It has no pattern or fingerprint, an unknown field, or there are too many rules.
    """
    unknown = sorted(set(patterns) - set(FIELDS))
    if unknown:
        raise UsageError(f"{unknown[0]!r} is no field of a grouping rule; valid ones: {', '.join(FIELDS)}")
    if not patterns or not fingerprint:
        raise UsageError("a grouping rule has at least one pattern and a fingerprint")
    texts = [*patterns.values(), *fingerprint]
    if len(fingerprint) > MAX_PARTS or any(not 0 < len(text) <= MAX_PATTERN_LENGTH for text in texts):
        raise UsageError(
            f"patterns and the at most {MAX_PARTS} parts of a fingerprint have 1 to {MAX_PATTERN_LENGTH} characters"
        )
    if len(rules(connection)) >= MAX_RULES:
        raise UsageError(f"there are {MAX_RULES} grouping rules already; remove one first")
    row = {"patterns": dict(patterns), "fingerprint": list(fingerprint), "actor": actor}
    number = connection.scalar(insert(error_grouping_rules).values(row).returning(error_grouping_rules.c.id))
    return int(number or 0)


def remove_rule(connection: Connection, number: int, *, actor: str) -> None:
    """Let a rule no longer apply; it stays in the table with who removed it.

    Raises:
        UsageError: There is no such rule.
    """
    columns = error_grouping_rules.c
    statement = update(error_grouping_rules).where(columns.id == number, columns.removed_at.is_(None))
    removed = connection.execute(statement.values(removed_by=actor, removed_at=func.clock_timestamp()))
    if not removed.rowcount:
        raise UsageError(f"there is no grouping rule {number}: see `qflow errors rules`")


def merge(
    connection: Connection, ids: Sequence[UUID], into: UUID, *, actor: str, reason: str | None = None
) -> None:
    """Show groups, with all they occur in later, as part of another one: all or none.

    Raises:
        UsageError: A group is to be merged into itself, or is or has to become part of another one.
    """
    columns = error_groups.c
    held = {
        row.id: row.merged_into
        for row in connection.execute(
            select(columns.id, columns.merged_into)
            .where(columns.id.in_([*ids, into]))
            .order_by(columns.id)
            .with_for_update()
        )
    }
    if into in ids:
        raise UsageError("an error cannot be merged into itself")
    for id_ in (*ids, into):
        if held.get(id_) is not None:
            raise UsageError(f"error {id_} is merged into {held[id_]}; split it off first")
    # What was merged into one of them follows it.
    connection.execute(
        update(error_groups)
        .where(columns.id.in_(ids) | columns.merged_into.in_(ids))
        .values(merged_into=into)
    )
    data = {"into": str(into), **({"reason": reason} if reason else {})}
    transition(connection, ids, "merged", actor=actor, data=data)


def split(connection: Connection, ids: Sequence[UUID], *, actor: str, reason: str | None = None) -> None:
    """Show merged groups by themselves again, with all that belongs to them: all or none.

    Raises:
        UsageError: A group is not merged.
    """
    columns = error_groups.c
    statement = update(error_groups).where(columns.id.in_(ids), columns.merged_into.is_not(None))
    done = set(connection.scalars(statement.values(merged_into=None).returning(columns.id)))
    if missing := [id_ for id_ in ids if id_ not in done]:
        raise UsageError(
            f"error {missing[0]} is not merged: `qflow errors show` lists what belongs to an error"
        )
    transition(connection, ids, "open", actor=actor, data={"reason": reason} if reason else None)


def _compiled(pattern: str) -> Any:
    # In linear time, because messages are hostile. Case does not matter, as for Sentry's rules.
    parts = ((".*" if part == "*" else "." if part == "?" else re.escape(part)) for part in _parts(pattern))
    return re2.compile(f"(?is){''.join(parts)}")


def _parts(pattern: str) -> list[str]:
    return [part for part in re.split(r"([*?])", pattern) if part]
