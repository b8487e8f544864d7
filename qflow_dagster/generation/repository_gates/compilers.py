"""The compilers of Rust, Go and Java: which command compiles a file, and how its messages are read.

Belongs here: commands and formats of output. Does not belong here: what a change may do to the result (`compiles`).
"""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

# A name that no program has: where it is put, a compiler that reads the line reports it.
PROBE = "qflow_probe_"
_MANIFESTS = {"rust": "Cargo.toml", "go": "go.mod"}
_SOURCE_ROOTS = ("src/main/java", "src/test/java", "src")
# Rust and Go: path:line:column: message; Java: path:line: error: message.
_MESSAGE = re.compile(r"^(?:vet: )?(?P<path>[^\s:]+):(?P<line>\d+):(?:\d+:)? (?P<message>.+)$", re.M)


class Error(NamedTuple):
    """An error that a compiler reports: path in the repository, line, message."""

    path: str
    line: int
    message: str


class Command(NamedTuple):
    """A command that compiles a part of the repository, in a folder of it ('' is its root)."""

    language: str
    folder: str
    arguments: tuple[str, ...]

    @property
    def tool(self) -> str:
        """The program that must be there."""
        return self.arguments[0]


def commands(language: str, paths: Iterable[str], checkout: Path) -> dict[Command, list[str]]:
    """Return the commands that compile these files of a checkout, each with its files."""
    found: dict[Command, list[str]] = {}
    paths = sorted(paths)
    if language == "java":
        return {Command("java", "", _javac(paths, checkout)): paths} if paths else {}
    for path in paths:
        folder = _with_manifest(path, _MANIFESTS[language], checkout)
        alone = Path(path)
        if language == "rust":
            command = (
                Command(language, str(alone.parent), _rustc(alone.name))
                if folder is None
                else Command(
                    language,
                    folder,
                    ("cargo", "check", "--offline", "--all-targets", "--message-format", "short"),
                )
            )
        elif folder is None:
            command = Command(
                language,
                str(alone.parent),
                ("go", "build", "-gcflags=-e", "-o", "/dev/null", f"./{alone.name}"),
            )
        else:
            # Tests are compiled too; nothing is run.
            command = Command(
                language, folder, ("go", "test", "-vet=off", "-gcflags=-e", "-exec", "true", "./...")
            )
        found.setdefault(command, []).append(path)
    return found


def errors(command: Command, output: str, paths: Sequence[str]) -> list[Error]:
    """Return the errors that a command reports in these files."""
    found = []
    for message in _MESSAGE.finditer(output):
        text = message["message"]
        if command.language == "rust" and not text.startswith("error"):
            continue
        if command.language == "java" and not text.startswith("error: "):
            continue
        reported = str(Path(command.folder, message["path"]))
        # Cargo names paths from the root of a workspace, which may be any folder above.
        path = next(
            (path for path in paths if reported == path or path.endswith(f"/{message['path']}")), None
        )
        if path is None and message["path"] in paths:
            path = message["path"]
        found.append(Error(path or reported, int(message["line"]), text.removeprefix("error: ")))
    return found


def _with_manifest(path: str, name: str, checkout: Path) -> str | None:
    """Return the nearest folder above a file that holds a manifest."""
    for folder in Path(path).parents:
        if (checkout / folder / name).is_file():
            return str(folder)
    return None


def _rustc(name: str) -> tuple[str, ...]:
    return (
        *("rustc", "--edition", "2021", "--crate-type", "lib", "--emit", "metadata", "--out-dir"),
        *("/tmp", "--error-format", "short", "--cap-lints", "allow", f"./{name}"),  # noqa: S108
    )


def _javac(paths: Sequence[str], checkout: Path) -> tuple[str, ...]:
    roots = {folder for path in paths for folder in _roots_of(path, checkout)}
    return (
        *(
            "javac",
            "-J-Xmx512m",
            "-proc:none",
            "-implicit:none",
            "-nowarn",
            "-Xmaxerrs",
            "1000",
            "-encoding",
            "UTF-8",
        ),
        # Types are checked in spite of missing classes.
        *(
            "-XDshould-stop.ifError=FLOW",
            "-sourcepath",
            ":".join(sorted(roots)),
            "-d",
            "/tmp",  # noqa: S108
            *(f"./{path}" for path in paths),
        ),
    )


def _roots_of(path: str, checkout: Path) -> list[str]:
    parents = [str(parent) for parent in Path(path).parents]
    for root in _SOURCE_ROOTS:
        own = [parent for parent in parents if parent == root or parent.endswith(f"/{root}")]
        if own:
            base = own[0].removesuffix(root)
            return [f"{base}{other}" for other in _SOURCE_ROOTS if (checkout / f"{base}{other}").is_dir()]
    return [str(Path(path).parent)]
