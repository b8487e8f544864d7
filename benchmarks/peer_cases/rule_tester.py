"""Tests of ESLint's rules: `RuleTester`, the testers of its plugins, and the snapshots of ava."""

import json
import re
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.peer_cases.cases import ANYWHERE, Case

RECORD = Path(__file__).with_name("record.cjs")
TYPESCRIPT = "typescript@5.9"
SECONDS = 120
_SNAPSHOT = re.compile(r"^## invalid\(", re.MULTILINE)
_BLOCK = re.compile(r"^    `␊\n(.*?)^    `$", re.MULTILINE | re.DOTALL)
_OUTPUT = re.compile(r"^    (?=Output:|Suggestion \d)", re.MULTILINE)
_NUMBERED = re.compile(r"^[> ]*\d+ \| ?|^[> ]*\d+ \|$")


def cases_of(root: Path, files: Iterable[Path], tools: Path) -> Iterator[Case]:
    """Yield the cases of test files, which are run with a tester that only records; `tools` has node's packages.

    Cases with options, and those of other languages, are left out: our rules have no options.
    """
    paths = list(files)
    if not (tools / "node_modules" / "typescript").is_dir():
        subprocess.run(["npm", "install", "--silent", "--prefix", str(tools), TYPESCRIPT], check=True)
    allowed = [f"--allow-fs-read={folder}/" for folder in (root, tools.resolve(), RECORD.parent)]
    command = [
        "node",
        "--experimental-permission",
        *allowed,
        str(RECORD),
        str(tools.resolve()),
        *map(str, paths),
    ]
    output = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=True, cwd=root)
    for line in filter(None, output.stdout.split("\n")):
        recorded = json.loads(line)
        file = Path(recorded["file"])
        snapshots = _snapshots(file)
        for kind in ("valid", "invalid"):
            for number, given in enumerate(recorded[kind], 1):
                name = f"{file.relative_to(root)} {kind} {number}"
                case = _case(name, given, recorded["options"], kind == "invalid", snapshots, file)
                if case is not None:
                    yield case


def _case(
    name: str, given: Any, options: Any, invalid: bool, snapshots: dict[str, list[Any]], file: Path
) -> Case | None:
    if isinstance(given, str):
        given = {"code": given}
    if not isinstance(given, dict) or not isinstance(given.get("code"), str) or not given["code"].strip():
        return None
    code = given["code"]
    if given.get("options") or given.get("settings") or re.match(r"\s*<(template|script)\b", code):
        return None
    setup = str(
        [options, {key: given.get(key) for key in ("languageOptions", "features", "filename", "parser")}]
    )
    # Other languages, and globals that the configuration takes away.
    if re.search(r"flow|vue|: 'off'", setup):
        return None
    language = (
        "typescript" if file.suffix == ".ts" or re.search(r"\.ts\b|typescript", setup) else "javascript"
    )
    if language == "typescript" and "'jsx': True" in setup:
        language = "tsx"
    if not invalid:
        return Case(name, language, code)
    if given.get("snapshot"):
        lines, fixed = snapshots.get(_folded(code), [[ANYWHERE], []])
        return Case(name, language, code, tuple(lines), tuple(fixed))
    errors = given.get("errors")
    places = [ANYWHERE] * errors if isinstance(errors, int) else []
    suggested: list[str] = []
    if isinstance(errors, list):
        stated = [error for error in errors if isinstance(error, dict)]
        places = [error.get("line", ANYWHERE) for error in stated] or [ANYWHERE] * len(errors)
        if len(stated) == 1:
            suggestions = stated[0].get("suggestions") or []
            suggested = [
                entry["output"] for entry in suggestions if isinstance(entry, dict) and "output" in entry
            ]
    output = given.get("output")
    outputs = [output] if isinstance(output, str) else output if isinstance(output, list) else []
    return Case(name, language, code, tuple(places) or (ANYWHERE,), tuple(map(str, [*outputs, *suggested])))


def _snapshots(file: Path) -> dict[str, list[Any]]:
    """Return (lines of the errors, texts after the fix or a suggestion) by the code of a snapshot."""
    report = file.parent / "snapshots" / f"{file.name}.md"
    found: dict[str, list[Any]] = {}
    for section in _SNAPSHOT.split(report.read_text())[1:] if report.is_file() else ():
        blocks = [block.replace("␊\n", "\n").replace("\\`", "`") for block in _BLOCK.findall(section)]
        codes = [
            block
            for block in blocks
            if not re.search(r"^    (Message|Output|Suggestion)", block, re.MULTILINE)
        ]
        lines = [
            int(mark.group(1))
            for block in blocks
            if block not in codes and (mark := re.search(r"^\s*>\s*(\d+) \|", block, re.MULTILINE))
        ]
        parts = [
            part
            for block in blocks
            for part in re.split(r"^    (?=Output:|Suggestion \d)", block, flags=re.MULTILINE)
        ]
        fixed = [_numbered(part) for part in parts if re.match(r"Output:|Suggestion", part)]
        if codes:
            found[_folded(_numbered(codes[0]))] = [lines or [ANYWHERE], fixed]
    return found


def _numbered(block: str) -> str:
    """Return the code of lines with numbers."""
    lines = [line[4:] for line in block.split("\n") if _NUMBERED.match(line)]
    return "\n".join(re.sub(r"^[> ]*\d+ \| ?", "", line) for line in lines)


def _folded(code: str) -> str:
    return "\n".join(line.strip() for line in code.strip().split("\n"))
