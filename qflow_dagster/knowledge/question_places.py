"""Where the subject of a question is looked for: in a file, a type or a folder that the question says.

Belongs here: telling what a place says of the subject (its definition is there, or only what is there is asked about).
Does not belong here: reading the place from the words (`question_names`), answering (`answers`).
"""

import re

from sqlalchemy import Connection

from qflow_dagster.ingestion.queries import Snapshot
from qflow_dagster.knowledge import callers, folder_answers, lookups, question_names
from qflow_dagster.knowledge.declarations import TYPES
from qflow_dagster.knowledge.evidence import is_in
from qflow_dagster.knowledge.lookups import SymbolLocation
from qflow_dagster.knowledge.questions import ParsedQuestion

# Kinds whose answers may be limited to a file or folder.
_WITHIN = frozenset(["raised", "used", "word"])
# "The methods of Session that call close" are not about Session.close.
_USERS = r"(?:methods|functions|members|classes|types|files|parts|places|lines|anything|code|tests)"
# "Who uses it in the parser folder".
_PLAIN_PLACE = re.compile(r"\b(?:in|inside|within|under|below) (?:the |our )?`?(\w[\w-]*)(?![\w./:-]*[\w/])")
_INTERFACES = frozenset(["interface", "trait", "protocol"])
_NOUN = r"(class|struct|interface|trait|protocol|enum|macro)"


def placed(
    connection: Connection, snapshot: Snapshot, question: str, understood: ParsedQuestion
) -> ParsedQuestion:
    """Return a question with its subject as that of the file or type in which it is to be looked for, or a folder."""
    folder = {"between": understood.other, "overview": understood.other}.get(
        understood.kind, understood.subject if understood.kind in folder_answers.SUBJECTS else ""
    )
    if folder and _is_folder(connection, snapshot, question, folder):
        named = "other" if folder == understood.other else "subject"
        return understood._replace(**{named: f"{folder}/"})
    if understood.kind == "relation":
        return understood._replace(
            **{
                name: f"{subject}/"
                for name, subject in (("subject", understood.subject), ("other", understood.other))
                if _is_folder(connection, snapshot, question, subject)
            }
        )
    subject = understood.subject
    place = understood.place or _folder_said(connection, snapshot, question, understood)
    understood = understood._replace(place=place)
    if not place or subject in ("", place) or understood.kind == "between":
        return _of_noun(connection, snapshot, question, understood)
    users = re.search(rf"\b{_USERS} (?:of|in|on) (?:the )?`?{re.escape(place)}\b", question, re.IGNORECASE)
    if understood.kind != "word" and not (users and understood.kind in _WITHIN):
        for qualified in (f"{place}:{subject}", f"{place}.{subject}"):
            found = lookups.symbols(connection, snapshot, qualified)
            if found and _is_in(found[0], place, subject):
                return understood._replace(subject=qualified)
        # A member that is no symbol.
        if not lookups.existing(connection, snapshot, [subject]):
            types = lookups.symbols(connection, snapshot, place)
            if any(symbol.kind in TYPES for symbol in types):
                return understood._replace(subject=f"{place}.{subject}")
    return _limited_to(connection, snapshot, understood, users=bool(users))


def _folder_said(
    connection: Connection, snapshot: Snapshot, question: str, understood: ParsedQuestion
) -> str:
    """Return the folder that a question names by a plain word, if its answer may be limited to one; else ""."""
    if understood.kind not in _WITHIN:
        return ""
    words = [word for word in _PLAIN_PLACE.findall(question) if word != understood.subject]
    found = [folder for word in words for folder in lookups.folders(connection, snapshot, word)[:1]]
    return f"{found[0]}/" if found else ""


def _is_in(symbol: SymbolLocation, place: str, subject: str) -> bool:
    """Return whether a symbol has the name of the subject, and is in a file or type."""
    parts = symbol.name.replace("::", ".").split(".")
    inside = lookups.short_name(place) in parts[:-1] or f"/{symbol.path}".endswith(f"/{place}")
    return parts[-1] == lookups.short_name(subject) and (inside or f"/{place}." in f"/{symbol.path}")


def _limited_to(
    connection: Connection, snapshot: Snapshot, understood: ParsedQuestion, *, users: bool
) -> ParsedQuestion:
    """Return a question whose answer is limited to the file or folder that it says, or with that as its condition.

    In a folder with the definition, it may be this that is meant, unless the question is of what is there (`users`).
    """
    place, subject = understood.place.rstrip("/"), understood.subject
    files = lookups.files(connection, snapshot, place)
    where = files[0] if len(files) == 1 else lookups.folder(connection, snapshot, place) or ""
    symbols = lookups.symbols(connection, snapshot, subject)
    limited = understood.kind in _WITHIN or (understood.kind == "defined" and not symbols)
    if where and limited and (users or not any(is_in(symbol.path, where) for symbol in symbols)):
        return understood._replace(within=where, place="")
    return understood._replace(condition=understood.condition or f"in {understood.place}", place="")


def _of_noun(
    connection: Connection, snapshot: Snapshot, question: str, understood: ParsedQuestion
) -> ParsedQuestion:
    """Return a question with its subject as the only one of its definitions that is of the kind which it says.

    "The File interface"; what is implemented is an interface, too.
    """
    name = re.escape(understood.subject)
    noun = re.search(rf"\b{name}`? {_NOUN}\b|\b{_NOUN} `?{name}\b", question, re.IGNORECASE)
    said = (noun[1] or noun[2]).lower() if noun else ""
    if not said and understood.kind == "subclasses" and re.search(r"\bimplement", question, re.IGNORECASE):
        said = "interface"
    symbols = lookups.symbols(connection, snapshot, understood.subject) if said and understood.subject else []
    kinds = _INTERFACES if said in _INTERFACES else {said}
    of_kind = callers.same([symbol for symbol in symbols if symbol.kind in kinds])
    if len(of_kind) != 1 or len(callers.same(symbols)) < 2:
        return understood
    return understood._replace(subject=f"{of_kind[0][0].path}:{of_kind[0][0].name}")


def _is_folder(connection: Connection, snapshot: Snapshot, question: str, name: str) -> bool:
    """Return whether a question says that a name is that of a folder, and there is one."""
    noun = "" if "/" in name else question_names.folder_noun(question, name)
    if not noun or not lookups.folders(connection, snapshot, name):
        return False
    # A module may be a file, or what code declares as one; a function has the name by chance.
    declared = lookups.symbols(connection, snapshot, name)
    plain = noun in ("folder", "directory", "dir", "crate")
    return plain or not (
        lookups.files(connection, snapshot, name)
        or any(s.kind not in ("function", "method") and lookups.short_name(s.name) == name for s in declared)
    )
