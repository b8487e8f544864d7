"""Benchmark of ingestion: `python -m benchmarks.ingestion REPOSITORY` (a path).

Beside it, on the same blobs with as many processes: git alone (ls-tree, cat-file), a bare
tree-sitter parse (nothing is asked of the trees) and the facts of the same files, lizard (on the files that
both read) and the facts of these. The last lines are the ratios that have a goal.

Each step runs in a process of its own: CPU and memory are its and its workers', the database
server's not among them; memory is its peak plus that of the largest worker times their number.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from qflow_dagster.database import embedded, engine_for, ensure_database, migrate
from qflow_dagster.ingestion import blob_reader, git, pipeline, repositories
from qflow_dagster.ingestion.history import ingest_history
from qflow_dagster.settings import settings

MEBIBYTE = 1024**2
Blob = tuple[str, str, str]


def blobs_of(repository: Path) -> list[tuple[Blob, int]]:
    """((object id, language, path), bytes) of each distinct text file of HEAD with a known language."""
    entries = [e for e in git.list_tree(repository, "HEAD") if e.mode.startswith("100")]
    detected = pipeline.languages_of(repository, entries, {})
    found: dict[tuple[str, str], tuple[Blob, int]] = {}
    for entry in entries:
        language = detected[entry.path]
        found.setdefault((entry.oid, language), ((entry.oid, language, entry.path), entry.size or 0))
    return list(found.values())


def read(repository: Path, blobs: list[Blob]) -> Iterable[tuple[Blob, bytes]]:
    """Yield the content of the blobs."""
    stdin = "".join(f"{oid}\n" for oid, _, _ in blobs).encode()
    with git.stream(repository, "cat-file", "--batch", "--buffer", stdin=stdin) as output:
        for blob in blobs:
            size = int(output.readline().split()[2])
            yield blob, output.read(size)
            output.read(1)


def only_read(repository: Path, blobs: list[Blob]) -> tuple[int, int]:
    """Read blobs, and count their lines."""
    return len(blobs), sum(data.count(b"\n") for _, data in read(repository, blobs))


def only_parse(repository: Path, blobs: list[Blob]) -> tuple[int, int]:
    """Parse blobs that have a grammar; returns (files, lines)."""
    from qflow_dagster.ingestion.extraction.grammars import grammar

    files = lines = 0
    limit = settings().ingestion.parse_limit
    for (_, language, _), data in read(repository, blobs):
        found = grammar(language)
        if found is not None and len(data) <= limit and b"\0" not in data[:8000]:
            found.parser.parse(data)
            files += 1
            lines += data.count(b"\n")
    return files, lines


def only_facts(repository: Path, blobs: list[Blob]) -> tuple[int, int]:
    """Extract the facts of the blobs that `only_parse` parses; returns (files, lines)."""
    from qflow_dagster.ingestion.extraction import extract
    from qflow_dagster.ingestion.extraction.grammars import GRAMMARS

    files = lines = 0
    limit = settings().ingestion.parse_limit
    for (_, language, _), data in read(repository, blobs):
        if language in GRAMMARS and len(data) <= limit and b"\0" not in data[:8000]:
            extract(data, language)
            files += 1
            lines += data.count(b"\n")
    return files, lines


def read_by_both(blobs: list[Blob]) -> list[Blob]:
    """Return the blobs that have a grammar and that lizard has a reader for."""
    from lizard_languages import get_reader_for

    from qflow_dagster.ingestion.extraction.grammars import GRAMMARS

    return [blob for blob in blobs if blob[1] in GRAMMARS and get_reader_for(blob[2]) is not None]


def facts_of_lizards(repository: Path, blobs: list[Blob]) -> tuple[int, int]:
    """Extract the facts of the blobs that lizard reads too; returns (files, lines)."""
    return only_facts(repository, read_by_both(blobs))


def only_lizard(repository: Path, blobs: list[Blob]) -> tuple[int, int]:
    """Run lizard on the blobs that both read; returns (files, lines)."""
    import lizard

    files = lines = 0
    for (_, _, path), data in read(repository, read_by_both(blobs)):
        if len(data) <= settings().ingestion.parse_limit and b"\0" not in data[:8000]:
            try:
                lizard.analyze_file.analyze_source_code(path, data.decode("utf-8", "replace"))
            except Exception:
                continue
            files += 1
            lines += data.count(b"\n")
    return files, lines


def peer(work: Callable[[Path, list[Blob]], tuple[int, int]]) -> Callable[..., tuple[int, int]]:
    """Return a step that does `work` on all blobs in batches like ours, in `processes` processes."""

    def step(repository: Path, _home: Path, processes: int) -> tuple[int, int]:
        tasks = [blob_reader.BlobTask(*b[:2], 0, b[2], size) for b, size in blobs_of(repository)]
        batches = [[(t.oid, t.language, t.path) for t in batch] for batch in blob_reader.batches_of(tasks)]
        with ProcessPoolExecutor(processes) as pool:
            counts = list(pool.map(work, [repository] * len(batches), batches))
        return sum(files for files, _ in counts), sum(lines for _, lines in counts)

    return step


def ingest(repository: Path, home: Path, processes: int) -> tuple[int, int]:
    """Ingest HEAD; returns (paths changed, lines of the snapshot)."""
    engine = engine_for(embedded.url(home))
    with engine.begin() as connection:
        name = repositories.find_or_register(connection, str(repository)).name
    result = pipeline.ingest(engine, name, processes=processes)
    with engine.connect() as connection:
        lines = connection.exec_driver_sql(f"SELECT lines FROM snapshots WHERE id = {result.snapshot_id}")
        return result.paths_changed, lines.scalar_one()


def history(repository: Path, home: Path, _processes: int) -> tuple[int, int]:
    """Ingest the history of HEAD; returns (commits, changes)."""
    engine = engine_for(embedded.url(home))
    with engine.begin() as connection:
        found = repositories.find_or_register(connection, str(repository))
    result = ingest_history(engine, found.id, git.resolve(repository, "HEAD").oid)
    return result.new_commits, result.new_changes


def change_one_file(repository: Path) -> None:
    """Commit a line more in the largest file under 100 kB that has a grammar."""
    from qflow_dagster.ingestion.extraction.grammars import GRAMMARS

    choice = max(((size, b) for b, size in blobs_of(repository) if b[1] in GRAMMARS and size < 100_000))
    oid, _, path = choice[1]
    data = git.run(repository, "cat-file", "blob", oid) + b"\n"
    new = git.run(repository, "hash-object", "-w", "--stdin", stdin=data).decode().strip()
    listing = git.run(repository, "ls-tree", "-r", "HEAD")
    listing = listing.replace(f"{oid}\t{path}\n".encode(), f"{new}\t{path}\n".encode())
    environment = {**git.environment(), "GIT_INDEX_FILE": str(repository / "benchmark.index")}
    who = {f"GIT_{p}_{f}": "benchmark" for p in ("AUTHOR", "COMMITTER") for f in ("NAME", "EMAIL")}

    def plumbing(*arguments: str, stdin: bytes = b"") -> str:
        done = subprocess.run(
            git.command(repository, *arguments),
            input=stdin,
            capture_output=True,
            check=True,
            env={**environment, **who},
        )
        return done.stdout.decode().strip()

    plumbing("update-index", "--index-info", stdin=listing)
    commit = plumbing("commit-tree", plumbing("write-tree"), "-p", "HEAD", "-m", "one file")
    plumbing("update-ref", "HEAD", commit)


STEPS: dict[str, Callable[[Path, Path, int], tuple[int, int]]] = {
    "git alone": peer(only_read),
    "bare parse": peer(only_parse),
    "facts": peer(only_facts),
    "lizard": peer(only_lizard),
    "facts of lizard's files": peer(facts_of_lizards),
    "ingest": ingest,
    "one file changed": ingest,
    "history": history,
}


# What is divided by what, of which measure, and the goal.
RATIOS = [
    ("facts", "bare parse", "cpu", 1.5),
    ("facts of lizard's files", "lizard", "cpu", 1 / 3),
    ("facts of lizard's files", "lizard", "seconds", 1 / 3),
]


def measure(step: str, repository: Path, home: Path, processes: int) -> dict[str, Any]:
    """Run a step in a process of its own; returns its counts, seconds, CPU seconds and peak MB."""
    command = [
        sys.executable,
        "-m",
        "benchmarks.ingestion",
        str(repository),
        "--step",
        step,
        "--home",
        str(home),
        "--processes",
        str(processes),
    ]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[1])
    if done.returncode:
        raise SystemExit(f"{step}: {done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def run_step(step: str, repository: Path, home: Path, processes: int) -> None:
    """Do a step here and print what it took as JSON."""
    import resource

    begun = time.monotonic()
    files, lines = STEPS[step](repository, home, processes)
    seconds = time.monotonic() - begun
    own, children = (resource.getrusage(w) for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    unit = 1 if sys.platform == "darwin" else 1024
    print(
        json.dumps(
            {
                "files": files,
                "lines": lines,
                "seconds": seconds,
                "cpu": own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime,
                "peak": (own.ru_maxrss + processes * children.ru_maxrss) * unit / MEBIBYTE,
            }
        )
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("repository", type=Path, nargs="?", default=Path())
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--skip", nargs="*", default=[], help="steps left out")
    parser.add_argument("--step", help=argparse.SUPPRESS)
    parser.add_argument("--home", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step:
        run_step(options.step, options.repository, options.home, options.processes)
        return
    with tempfile.TemporaryDirectory(prefix="qflow-benchmark-", ignore_cleanup_errors=True) as folder:
        home = Path(folder)
        home.chmod(0o755)
        clone = home / "clone"
        source = git.find_repository(options.repository.resolve())
        git.run(
            None,
            "clone",
            "--quiet",
            "--bare",
            "--shared",
            str(source),
            str(clone),
            protocol="file",
            configuration=("safe.directory=*",),
        )
        embedded.start(home)
        try:
            url = embedded.url(home)
            ensure_database(url)
            migrate(engine_for(url))
            table = Table(
                "",
                "files",
                "lines",
                "seconds",
                "CPU s",
                "files/s",
                "lines/s",
                "peak MB",
                title=f"{source.name}, {options.processes} processes",
            )
            results = {}
            for step in STEPS:
                if step in options.skip:
                    continue
                if step == "one file changed":
                    change_one_file(clone)
                m = results[step] = measure(step, clone, home, options.processes)
                table.add_row(
                    step,
                    f"{m['files']:,}",
                    f"{m['lines']:,}",
                    f"{m['seconds']:.2f}",
                    f"{m['cpu']:.2f}",
                    f"{m['files'] / m['seconds']:,.0f}",
                    f"{m['lines'] / m['seconds']:,.0f}",
                    f"{m['peak']:,.0f}",
                )
                print(step, m, file=sys.stderr)
        finally:
            embedded.stop(home)
    Console(width=110).print(table)
    for step, other, unit, goal in RATIOS:
        if step in results and other in results:
            ratio = results[step][unit] / results[other][unit]
            print(f"{step} / {other}, {unit}: {ratio:.2f} (goal: at most {goal:.2f})")


if __name__ == "__main__":
    main()
