"""Texts as parameters of statements: what PostgreSQL refuses is replaced on its way.

A net below all boundaries where text from outside enters: one that was forgotten costs a
character, not the statement and all that is stored with it. Does not belong here: JSON (jsonb
refuses escapes this cannot see: `quantumflow.rows.to_json`).
"""

from functools import cache

import psycopg
from psycopg import abc, adapt, pq
from psycopg.types import string

from qflow_dagster.safety.storable import storable_text

# In the order psycopg registers its own: the last is the one for a text of no declared type.
_OF_PSYCOPG: tuple[type[adapt.Dumper], ...] = (
    string.StrBinaryDumperName,
    string.StrBinaryDumperVarchar,
    string.StrBinaryDumper,
    string.StrDumperName,
    string.StrDumperVarchar,
    string.StrDumper,
    string.StrDumperUnknown,
)


def replace_unstorable(connection: psycopg.Connection) -> None:
    """Make every text that this connection sends (parameters, lists, rows of COPY) one it can hold."""
    for dumper in _OF_PSYCOPG:
        connection.adapters.register_dumper(str, _storable(dumper.oid, dumper.format))


class _StorableDumper(adapt.Dumper):
    def __init__(self, cls: type, context: abc.AdaptContext | None = None) -> None:
        super().__init__(cls, context)
        self._encoding = self.connection.info.encoding if self.connection else "utf-8"

    def dump(self, obj: str) -> bytes:
        return storable_text(obj).encode(self._encoding)


# A subclass of psycopg's own dumpers would not do: the C implementation calls their C code.
@cache
def _storable(oid: int, format_: pq.Format) -> type[_StorableDumper]:
    return type("StorableDumper", (_StorableDumper,), {"oid": oid, "format": format_})
