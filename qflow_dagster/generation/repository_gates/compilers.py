"""The compilers of Rust, Go and Java: which command compiles a file, and how its messages are read.

Belongs here: commands and formats of output. Does not belong here: what a change may do to the result (`compiles`).
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from qflow_dagster.evolution.analysis.nodes import of_kinds, span_of
from qflow_dagster.evolution.matchers import Source

# A name that no program has: where it is put, a compiler that reads the line reports it.
PROBE = "qflow_probe_"
_MANIFESTS = {"rust": "Cargo.toml", "go": "go.mod"}
_SOURCE_ROOTS = ("src/main/java", "src/test/java", "src")
# Tests are compiled too, and nothing is run.
_GO_TEST = ("go", "test", "-gcflags=-e", "-exec", "true")
# What these are given is looked at by vet, not by the compiler.
_FORMATTING = re.compile(r"\.(?:Print|Fatal|Panic|Error|Info|Warn|Warning|Debug|Log|Skip)f\(")
_VET = re.compile(r"\S+ (format %|call (has|needs) |arg list ends)|non-constant format string")
_GO_INNER = ("block", "import_declaration", "comment")
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


def commands(language: str, after: Mapping[str, str], checkout: Path) -> dict[Command, list[str]]:
    """Return the commands that compile changed files (path to new text) of a checkout, each with its files."""
    found: dict[Command, list[str]] = {}
    paths = sorted(after)
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
            vet = _vet([path], after, checkout)
            command = Command(language, str(alone.parent), (*_GO_TEST, vet, f"./{alone.name}"))
        else:
            own = [other for other in paths if _with_manifest(other, "go.mod", checkout) == folder]
            vet = _vet(own, after, checkout)
            command = Command(language, folder, (*_GO_TEST, vet, *_packages(folder, own, after, checkout)))
        found.setdefault(command, []).append(path)
    return found


def compiled(command: Command, code: str, output: str, paths: Sequence[str]) -> bool:
    """Return whether a command compiled its files: what vet complains about does compile."""
    found = errors(command, output, paths) if command.language == "go" and code != "0" else []
    return code == "0" or (bool(found) and all(_VET.match(error.message) for error in found))


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


def _packages(module: str, paths: Sequence[str], after: Mapping[str, str], checkout: Path) -> list[str]:
    """Return the packages of a module that a change may break: its own if only bodies of functions differ, else all."""
    if any(_outline(_before(path, checkout)) != _outline(after[path]) for path in paths):
        return ["./..."]
    return sorted({f"./{Path(path).parent.relative_to(module)}" for path in paths})


def _vet(paths: Sequence[str], after: Mapping[str, str], checkout: Path) -> str:
    """Return the option that has vet look at a change that makes text by format; it reads all dependencies for that."""
    more = any(
        len(_FORMATTING.findall(after[path])) > len(_FORMATTING.findall(_before(path, checkout)))
        for path in paths
    )
    return "-vet=printf" if more else "-vet=off"


def _before(path: str, checkout: Path) -> str:
    return (checkout / path).read_text(encoding="utf-8", errors="replace")


def _outline(code: str) -> str:
    """Return the code of a Go file without what other packages cannot see."""
    source, outline, end = Source(code, "file.go"), [], 0
    for start, stop in sorted(span_of(node) for node in of_kinds(source.root("go"), _GO_INNER)):
        if start >= end:
            outline.append(code[end:start])
            end = stop
    return " ".join("".join([*outline, code[end:]]).split())


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
