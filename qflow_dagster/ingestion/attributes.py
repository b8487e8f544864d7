"""The attributes that a repository gives its files in `.gitattributes`: those of Linguist.

Belongs here: reading them at a commit, by git itself, so that patterns, levels and macros mean what they mean to git.
Does not belong here: flags and languages of files that no attribute names (``classify``, ``languages``).
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from qflow_dagster.ingestion import git, languages, trees
from qflow_dagster.ingestion.paths import quote_path, unquote_path
from qflow_dagster.ingestion.stand_ins import stand_in

FILE_NAME = ".gitattributes"
BOOLEANS = {"set": True, "true": True, "unset": False, "false": False}


class Attributes(NamedTuple):
    """The attributes of a file; None where there is none, '' for no language."""

    language: str = ""
    vendored: bool | None = None
    generated: bool | None = None
    documentation: bool | None = None
    detectable: bool | None = None


NONE = Attributes()
_NAMES = [f"linguist-{field}" for field in Attributes._fields]


def is_file(path: str) -> bool:
    """Return whether the file at `path` holds attributes."""
    return path.rpartition("/")[2] == FILE_NAME


def read(objects: Path, files: Sequence[tuple[str, str]], paths: Iterable[str]) -> dict[str, Attributes]:
    """Return the attributes of those of `paths` that have any; `files` are (path, object id) of `.gitattributes`.

    Raises:
        TooLargeError: There are more paths than `settings().ingestion.tree_paths`.
        GitError: Git failed.
    """
    contents = trees.read_texts(objects, files)
    if not any(b"linguist-" in content for content in contents.values()):
        return {}
    # An index of nothing but these files, in a repository that has no attributes of its own.
    index = b"".join(
        b"100644 %s\t%s\0" % (oid.encode(), unquote_path(path)) for path, oid in files if path in contents
    )
    stdin = b"".join(unquote_path(path) + b"\0" for path in paths)
    values: dict[str, dict[str, str]] = {}
    with stand_in(objects) as repository:
        git.run(repository, "update-index", "-z", "--index-info", stdin=index)
        command = ("check-attr", "--cached", "--stdin", "-z", *_NAMES)
        with git.stream(repository, *command, stdin=stdin, timeout=git.TIMEOUT) as output:
            records = git.records(output, "HEAD", per_path=3 * len(_NAMES))
            for path, name, value in zip(records, records, records, strict=False):
                if value != b"unspecified":
                    field = name.decode().removeprefix("linguist-")
                    values.setdefault(quote_path(path), {})[field] = value.decode(errors="replace")
    return {path: _attributes(given) for path, given in values.items()}


def _attributes(values: dict[str, str]) -> Attributes:
    language = next(iter(languages.by_word(values.pop("language", ""))), "")
    return Attributes(language, **{field: BOOLEANS.get(value, True) for field, value in values.items()})
