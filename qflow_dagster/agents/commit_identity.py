"""Who makes the commits of edits: author, committer, sign-off and signature.

Belongs here: choosing them from the settings, else from git's configuration, else a default. Does not belong here:
the commits (`edit_commits`).

The configuration of an ingested repository is hostile: of it, `user.name` and `user.email` are read, as data.
Programs that sign come from the settings alone.
"""

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from qflow_dagster.errors import UsageError
from qflow_dagster.ingestion import git
from qflow_dagster.settings import settings

MAX_LENGTH = 200
_PERSON = re.compile(r"(?P<name>[^<>]*)<(?P<email>[^<>]*)>")
# What git itself strips from both ends of a name; a name of nothing else is refused.
_STRIPPED = " .,:;\"\\'"
PROGRAMS = {"openpgp": "gpg", "ssh": "ssh-keygen"}


class Person(NamedTuple):
    """A name and a mail address, as a commit holds them."""

    name: str
    email: str

    def __str__(self) -> str:
        return f"{self.name} <{self.email}>"


DEFAULT = Person("qflow", "qflow@localhost")


class CommitIdentity(NamedTuple):
    """Who a commit is by, and how it is signed."""

    author: Person
    committer: Person

    @property
    def variables(self) -> dict[str, str]:
        """Return the environment variables of git that hold author and committer."""
        return {
            "GIT_AUTHOR_NAME": self.author.name,
            "GIT_AUTHOR_EMAIL": self.author.email,
            "GIT_COMMITTER_NAME": self.committer.name,
            "GIT_COMMITTER_EMAIL": self.committer.email,
        }

    @property
    def trailers(self) -> dict[str, str]:
        """Return the trailer of the sign-off, if the settings demand it."""
        return {"Signed-off-by": str(self.committer)} if settings().improvement.sign_off else {}


def of_repository(objects: Path) -> CommitIdentity:
    """Return who makes commits in the repository at `objects`.

    Raises:
        UsageError: a setting is not of the form `Name <mail address>`.
    """
    chosen = settings().improvement
    author = _person(chosen.author, "AUTHOR") or _configured(objects) or DEFAULT
    return CommitIdentity(author, _person(chosen.committer, "COMMITTER") or author)


def signing() -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the options of `git commit-tree` and the configuration that sign a commit as the settings demand."""
    chosen = settings().improvement
    if chosen.signature == "none":
        return ("--no-gpg-sign",), ()
    program = chosen.signing_program or PROGRAMS[chosen.signature]
    section = "gpg" if chosen.signature == "openpgp" else f"gpg.{chosen.signature}"
    configuration = [f"gpg.format={chosen.signature}", f"{section}.program={program}"]
    if chosen.signing_key:
        configuration.append(f"user.signingKey={chosen.signing_key}")
    return ("--gpg-sign",), tuple(configuration)


def _person(setting: str | None, name: str) -> Person | None:
    if setting is None:
        return None
    match = _PERSON.fullmatch(setting.strip())
    person = match and _clean(match["name"], match["email"])
    if not person:
        raise UsageError(
            f"QFLOW_IMPROVEMENT_{name}={setting!r} names nobody; write it as 'Ada Lovelace <ada@example.com>'"
        )
    return person


def _configured(objects: Path) -> Person | None:
    """Return the identity that git's configuration states: the repository's own, else the user's; None if neither."""
    values = {}
    for key in ("user.name", "user.email"):
        values[key] = next(_values(objects, key), "")
    return _clean(values["user.name"], values["user.email"])


def _values(objects: Path, key: str) -> Iterator[str]:
    home = Path.home()
    sources: list[tuple[Path | None, tuple[str, ...]]] = [(objects, ("--no-includes",))]
    # Git's order: what the second file of the user says wins over the first.
    for file in (home / ".gitconfig", home / ".config" / "git" / "config"):
        sources.append((None, ("--file", str(file), "--includes")))
    for repository, options in sources:
        # Without a value, or without the file, git fails.
        with suppress(git.GitError):
            value = git.run(repository, "config", *options, "--null", "--get", key)
            yield value.decode("utf-8", "replace").removesuffix("\0")


def _clean(name: str, email: str) -> Person | None:
    """Return the person without characters that a commit cannot hold; None if nothing is left."""
    name, email = (
        "".join(c for c in value if c.isprintable() and c not in "<>").strip()[:MAX_LENGTH]
        for value in (name, email)
    )
    usable = name.strip(_STRIPPED) and email.strip(_STRIPPED) and not re.search(r"\s", email)
    return Person(name, email) if usable else None
