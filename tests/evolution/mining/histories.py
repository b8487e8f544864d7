"""Small histories in which people change one call to another."""

from tests.ingestion.conftest import GitRepository

CALLS = ["a", "d.names", "self.x", "get(1)", "b", "c", "table", "row[0]"]


def module(call: str, name: str, *, rest: str = "") -> str:
    return f"import os\n\n\ndef {name}(self, d, key):\n    value = {call}\n    return value\n{rest}"


def old(i: int) -> str:
    return f"{CALLS[i]}.has_key(k{i})"


def new(i: int) -> str:
    return f"k{i} in {CALLS[i]}"


def history(
    repository: GitRepository, changes: list[tuple[int, str, tuple[str, str]]], *, files: int = 7
) -> None:
    """Files with an old call each, then commits that change one file's call to what is given."""
    repository.commit({f"m{i}.py": module(old(i), f"f{i}") for i in range(files)})
    for i, call, author in changes:
        repository.commit({f"m{i}.py": module(call, f"f{i}")}, f"m{i}", author)
