"""Who may do what in the embedded server: its roles, who owns its databases, how one proves to be whom.

Belongs here: making that so, in a new data folder and in one of an earlier version, where everybody
was superuser without a password. Does not belong here: running the server (`embedded`).

All of it is done while the server is down, by its single-user mode, which asks nobody for a
password. The file `CURRENT`, written last, says that it is done and for which password: a process
killed in between is followed by one that does everything again, which changes nothing twice.
"""

import hashlib
import os
import re
import tempfile
from collections.abc import Callable
from pathlib import Path

ADMINISTRATOR = "qflow_admin"
CURRENT = "qflow-roles"
AUTHENTICATION = """\
# Written by qflow: by its socket alone, with a password alone.
local all all scram-sha-256
"""
# The role that initdb made has this number, whatever its name.
BOOTSTRAP_OID = 10
# What users make is numbered from here; what is below belongs to the server.
FIRST_USER_OID = 16_384

# Statements of single-user mode end with the line. ALTER ROLE does not rename the role that is
# logged in, which here is always this one; the administrator gets no password, so nobody logs in as it.
# Iterations make a password that people choose slow to guess. This one is a random key of 256 bits, and 4,096 of
# them would cost every connection 3 ms.
_ROLES = """\
UPDATE pg_authid SET rolname = '{administrator}', rolpassword = NULL WHERE oid = {bootstrap};
DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{user}') THEN CREATE ROLE {user}; END IF; END $$;
SET scram_iterations = 1;
ALTER ROLE {user} LOGIN NOSUPERUSER NOCREATEROLE NOREPLICATION NOBYPASSRLS CREATEDB INHERIT PASSWORD '{password}';
DO $$ DECLARE name text; BEGIN FOR name IN SELECT r.rolname FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.roleid \
WHERE m.member = '{user}'::regrole LOOP EXECUTE format('REVOKE %I FROM {user}', name); END LOOP; END $$;
DO $$ DECLARE name text; BEGIN FOR name IN SELECT datname FROM pg_database WHERE datdba = {bootstrap} \
AND datname NOT IN ('postgres', 'template0', 'template1') LOOP \
EXECUTE format('ALTER DATABASE %I OWNER TO {user}', name); END LOOP; END $$;
SELECT datname FROM pg_database WHERE datallowconn AND datname NOT IN ('template0', 'template1');
"""
# Everything the superuser made in a database, to the everyday role. What belongs to something else
# (a table's type, sequence or index) follows it.
_OWNERSHIP = """\
DO $$ DECLARE statement text; BEGIN FOR statement IN \
SELECT format('ALTER SCHEMA %I OWNER TO {user}', nspname) FROM pg_namespace \
WHERE nspowner = {bootstrap} AND oid >= {first} AND nspname NOT LIKE 'pg\\_%' \
UNION ALL SELECT format('ALTER %s %s OWNER TO {user}', CASE relkind WHEN 'S' THEN 'SEQUENCE' WHEN 'v' THEN 'VIEW' \
WHEN 'm' THEN 'MATERIALIZED VIEW' WHEN 'c' THEN 'TYPE' ELSE 'TABLE' END, c.oid::regclass) FROM pg_class c \
WHERE relowner = {bootstrap} AND c.oid >= {first} AND relkind IN ('r', 'p', 'v', 'm', 'S', 'c') AND NOT EXISTS \
(SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype IN ('a', 'i', 'e') \
AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> c.oid) \
AND relnamespace NOT IN (SELECT oid FROM pg_namespace WHERE nspname LIKE 'pg\\_temp%') \
UNION ALL SELECT format('ALTER ROUTINE %s OWNER TO {user}', p.oid::regprocedure) FROM pg_proc p \
WHERE proowner = {bootstrap} AND p.oid >= {first} AND NOT EXISTS (SELECT FROM pg_depend d \
WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e') \
UNION ALL SELECT format('ALTER TYPE %s OWNER TO {user}', t.oid::regtype) FROM pg_type t \
WHERE typowner = {bootstrap} AND t.oid >= {first} AND typtype IN ('e', 'd', 'r') \
LOOP EXECUTE statement; END LOOP; END $$;
"""

Alone = Callable[[str, str], str]


def current(data: Path, password: str) -> bool:
    """Return whether the data folder has these roles, with that password."""
    try:
        return (data / CURRENT).read_text() == _digest(password)
    except FileNotFoundError:
        return False


def make(alone: Alone, data: Path, user: str, password: str) -> None:
    """Make the roles of a data folder whose server is down; `alone(database, script)` runs SQL and returns its output.

    Raises:
        EmbeddedServerError: as `alone` did.
    """
    # First: from now on, who starts this server must know a password.
    _write(data, "pg_hba.conf", AUTHENTICATION)
    values = {
        "administrator": ADMINISTRATOR,
        "bootstrap": BOOTSTRAP_OID,
        "first": FIRST_USER_OID,
        "user": user,
    }
    printed = alone("postgres", _ROLES.format(**values, password=password))
    for database in re.findall(r'datname = "(.*)"\s+\(typeid', printed):
        alone(database, _OWNERSHIP.format(**values))
    _write(data, CURRENT, _digest(password))


def _digest(password: str) -> str:
    return hashlib.sha256(password.encode()).hexdigest()


def _write(data: Path, name: str, content: str) -> None:
    """Replace a file of the data folder whole, for the owner of the folder alone."""
    descriptor, path = tempfile.mkstemp(dir=data, prefix=f"{name}.")
    with os.fdopen(descriptor, "w") as file:
        file.write(content)
        file.flush()
        os.fsync(descriptor)
    owner = data.stat()
    os.chown(path, owner.st_uid, owner.st_gid)
    Path(path).rename(data / name)
