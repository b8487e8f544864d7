"""The program that runs a linter of a repository before and after changes, inside the sandbox.

`python3 linter_driver.py JOBS` reads the jobs (see `sandboxed_linters`) and prints what the linter says of each
candidate's files as JSON after a mark. It imports nothing of this project.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

MARK = "qflow-report:"
MAX_REASON = 300
# (path, code, line) of each complaint; a code of '' says that the linter leaves the file out.
Complaint = tuple[str, str, int]


class NotRunError(Exception):
    """The linter says nothing of files; the message is the reason."""


def main(jobs_file: str) -> None:
    """Print what a linter says of the files of each candidate, before and after."""
    jobs = json.loads(Path(jobs_file).read_text(encoding="utf-8"))
    try:
        report: Any = compared(jobs)
    except NotRunError as error:
        report = str(error)
    sys.stdout.write(f"\n{MARK}{json.dumps(report)}\n")


def compared(jobs: Mapping[str, Any]) -> list[dict[str, list[Complaint]]]:
    """Return the complaints of each candidate before and after; the candidates of a group change different files."""
    candidates: list[dict[str, str]] = jobs["candidates"]
    paths = sorted({path for texts in candidates for path in texts})
    before = complaints(jobs, paths)
    results: list[dict[str, list[Complaint]]] = [{}] * len(candidates)
    for group in jobs["groups"]:
        texts = {path: text for number in group for path, text in candidates[number].items()}
        originals = {path: Path(path).read_bytes() for path in texts}
        for path, text in texts.items():
            Path(path).write_bytes(text.encode())
        try:
            after = complaints(jobs, sorted(texts))
        finally:
            for path, content in originals.items():
                Path(path).write_bytes(content)
        for number in group:
            results[number] = {
                name: [complaint for complaint in found if complaint[0] in candidates[number]]
                for name, found in (("before", before), ("after", after))
            }
    return results


def complaints(jobs: Mapping[str, Any], paths: Sequence[str]) -> list[Complaint]:
    """Run the linter in its folder and return what it says of these files.

    Raises:
        NotRunError: it is not there, or it failed.
    """
    folder: str = jobs["folder"]
    command = list(jobs["command"])
    if jobs["names_files"]:
        command += [os.path.relpath(path, folder) for path in paths]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, stdin=subprocess.DEVNULL, check=False)
    except OSError:
        raise NotRunError(f"needs {jobs['name']}") from None
    try:
        found = list(READERS[jobs["format"]](done.stdout.decode("utf-8", "replace")))
    except (ValueError, KeyError, TypeError, AttributeError):
        found = []
    if done.returncode and not found:
        if f"No module named {jobs['name']}".encode() in done.stderr:
            raise NotRunError(f"needs {jobs['name']}")
        lines = done.stderr.decode("utf-8", "replace").splitlines()
        said = [line.strip() for line in lines if line.strip()]
        errors = [line for line in said if "error" in line.lower()] or said or ["it printed nothing"]
        raise NotRunError(f"{jobs['name']} does not run: {errors[0][:MAX_REASON]}")
    root = Path.cwd()
    return [(os.path.relpath(root / folder / path, root), code, line) for path, code, line in found]


def eslint(output: str) -> Iterator[Complaint]:
    """Yield the complaints in a report of eslint as JSON."""
    for file in json.loads(output):
        for message in file["messages"]:
            code = message.get("ruleId") or ("syntax error" if message.get("fatal") else message["message"])
            left_out = not message.get("ruleId") and code.startswith("File ignored")
            yield file["filePath"], "" if left_out else code[:100], int(message.get("line") or 0)


def cargo(output: str) -> Iterator[Complaint]:
    """Yield the complaints in the messages of cargo as lines of JSON; each once, whatever is built of the file."""
    seen = set()
    for line in output.splitlines():
        message = json.loads(line)
        if message.get("reason") != "compiler-message":
            continue
        about = message["message"]
        for span in about["spans"]:
            code = (about.get("code") or {}).get("code") or about["level"]
            complaint = (span["file_name"], code, int(span["line_start"]), span["column_start"])
            if span["is_primary"] and complaint not in seen:
                seen.add(complaint)
                yield complaint[:3]


def pylint(output: str) -> Iterator[Complaint]:
    """Yield the messages in a report of pylint as JSON."""
    for message in json.loads(output):
        yield message["path"], message["symbol"], int(message["line"])


def golangci(output: str) -> Iterator[Complaint]:
    """Yield the issues in a report of golangci-lint as JSON."""
    for issue in json.loads(output)["Issues"] or ():
        yield issue["Pos"]["Filename"], issue["FromLinter"], int(issue["Pos"]["Line"])


READERS: dict[str, Callable[[str], Iterator[Complaint]]] = {
    "cargo": cargo,
    "eslint": eslint,
    "golangci": golangci,
    "pylint": pylint,
}

if __name__ == "__main__":
    main(sys.argv[1])
