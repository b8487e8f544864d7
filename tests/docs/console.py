"""Command output in the documentation: run the commands of `console` blocks, and compare or rewrite.

A block of the language `console` holds commands (`$ ...`) and their output. All commands of a page run in
one shell, in an empty folder that has a link to `examples`, with a database of their own. A line `...` stands
for any number of lines. Ids, digests, times and durations may differ; an id that a page shows stands for the
one that appears in its place when the commands run.

As a program it rewrites the pages that are named (default: all) where their output has changed.
"""

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"(?<=^```console\n).*?(?=^```$)", re.MULTILINE | re.DOTALL)
# Ids (also shortened), digests and commit ids: replaced in later commands.
ID = re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}(?:-[0-9a-f]{4}){0,2}(?:-[0-9a-f]{12})?\b|\b[0-9a-f]{8,64}\b")
UNSTABLE = [
    (re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d(:\d\d)?(\.\d+)?"), "TIME"),
    (re.compile(r"\d[\d,.]* (s|ms|seconds|minutes|min|h)\b"), "DURATION"),
    (re.compile(r"\b(qfa|qfi)_[\w-]+"), "TOKEN"),
    (re.compile(r" +"), " "),
    (re.compile(r"─+"), "─"),
]
ANY = "\n...\n"


class Step(NamedTuple):
    """A command and the output that the page shows."""

    command: str
    output: str


def pages() -> list[Path]:
    """The pages with commands to check."""
    found = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return [page for page in found if BLOCK.search(page.read_text())]


def steps(block: str) -> list[Step]:
    """The commands of a block; a command that ends with a backslash goes on in the next line."""
    found = re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]
    return [Step(*re.fullmatch(r"((?:.*\\\n)*.*)\n((?:.*\n)*)", text).groups()) for text in found]  # type: ignore[union-attr]


class Session:
    """One shell in a folder of its own."""

    def __init__(self, folder: Path, database: str | None = None) -> None:
        (folder / "examples").symlink_to(ROOT / "examples")
        who = {f"GIT_{role}_{what}": value for role in ("AUTHOR", "COMMITTER") for what, value in
               (("NAME", "Ada"), ("EMAIL", "ada@example.com"), ("DATE", "2026-01-05T10:00:00+0000"))}  # fmt: skip
        environment = {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(folder / "home"), "QFLOW_HOME": str(folder / "home" / "qflow"), "USER": "ada",
            "LC_ALL": "C.UTF-8", "TZ": "UTC", "NO_COLOR": "1", "COLUMNS": "110", **who,
        }  # fmt: skip
        (folder / "home").mkdir()
        if database:
            environment["QFLOW_DATABASE_URL"] = database
        self.shell = subprocess.Popen(
            ["bash"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            cwd=folder, env=environment,
        )  # fmt: skip

    def run(self, command: str) -> str:
        """Run a command and return what it prints, without blanks at the ends of lines."""
        assert self.shell.stdin is not None
        assert self.shell.stdout is not None
        self.shell.stdin.write(f"{{ {command}\n}} </dev/null\nprintf '\\036\\n'\n")
        self.shell.stdin.flush()
        lines = []
        for line in iter(self.shell.stdout.readline, ""):
            if line.endswith("\x1e\n"):
                lines.append(line.removesuffix("\x1e\n"))
                break
            lines.append(line.rstrip() + "\n")
        text = "".join(lines).strip("\n")
        return f"{text}\n" if text else ""

    def close(self) -> None:
        """End the shell."""
        self.shell.communicate()


def stable(text: str) -> str:
    """The text without what may differ."""
    text = ID.sub("ID", text)
    for pattern, word in UNSTABLE:
        text = pattern.sub(word, text)
    return "\n".join(line.strip() for line in text.split("\n"))


def agree(shown: str, printed: str) -> bool:
    """Whether a page shows what was printed."""
    parts = [re.escape(stable(part)) for part in f"\n{shown}".split(ANY)]
    return re.fullmatch(r"\n(?:.*\n)*".join(parts), stable(f"\n{printed}")) is not None


class Replayed(NamedTuple):
    """A step as the page has it, the same with the ids of this run, and what its command printed."""

    step: Step
    now: Step
    printed: str

    @property
    def agrees(self) -> bool:
        """Whether the page shows what was printed."""
        return agree(self.step.output, self.printed)


def replay(page: Path, session: Session) -> Iterator[Replayed]:
    """Run every command of a page."""
    ids: dict[str, str] = {}
    for block in BLOCK.findall(page.read_text()):
        for step in steps(block):
            command = _replaced(step.command, ids)
            printed = session.run(command)
            beginning = f"\n{step.output}".split(ANY)[0]
            ids.update(zip(ID.findall(beginning), ID.findall(printed), strict=False))
            yield Replayed(step, Step(command, _replaced(step.output, ids)), printed)


def _replaced(text: str, ids: dict[str, str]) -> str:
    return ID.sub(lambda match: ids.get(match[0], match[0]), text)


def rewrite(page: Path) -> bool:
    """Put what is printed now where a page shows something else; return whether it did.

    Output with `...` that still agrees stays as it is.
    """
    with tempfile.TemporaryDirectory(prefix="qf-", dir="/tmp") as made:
        Path(made).chmod(0o755)
        session = Session(Path(made))
        try:
            done = list(replay(page, session))
        finally:
            session.run("qflow db stop")
            session.close()
    if all(one.agrees for one in done):
        return False
    text = page.read_text()
    for one in done:
        kept = one.agrees and ANY in f"\n{one.step.output}"
        shown = one.now.output if kept else one.printed
        text = text.replace(f"$ {one.step.command}\n{one.step.output}", f"$ {one.now.command}\n{shown}", 1)
    page.write_text(text)
    return True


if __name__ == "__main__":
    for page in [Path(name).resolve() for name in sys.argv[1:]] or pages():
        print(f"{page.relative_to(ROOT)}: {'rewritten' if rewrite(page) else 'as it was'}")
