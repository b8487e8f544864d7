"""Ingestion of repositories of extreme shapes: `python -m benchmarks.ingestion_shapes [SHAPE ...]`.

The repositories are made by `git fast-import`: a linear history of 100,000 commits, 50,000 files in one folder (of
which one is changed afterwards), and a text of 200 MB. Measured as in `benchmarks.ingestion`: seconds, CPU seconds and
peak memory of the step with its workers, without the database server.
"""

import argparse
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.ingestion import change_one_file, measure
from qflow_dagster.database import embedded, engine_for, ensure_database, migrate

COMMITS, FILES, LARGE_BLOB = 100_000, 50_000, 200_000_000
WHO = "A <a@example.org> {} +0000"
FUNCTION = "def f{0}(a, b):\n    if a and b:\n        return a + {0}\n    return b\n\n\n"


def linear_history() -> Iterator[bytes]:
    """Yield commits, each of which changes one of 100 files."""
    for number in range(COMMITS):
        yield _commit(number, b"M 100644 inline f%d.py\n" % (number % 100), b"x = %d\n" % number)


def one_folder() -> Iterator[bytes]:
    """Yield one commit of many files in one folder."""
    yield f"commit refs/heads/main\ncommitter {WHO.format(1_700_000_000)}\ndata 1\nm".encode()
    for number in range(FILES):
        content = FUNCTION.format(number).encode() * 3
        yield b"\nM 100644 inline folder/file%d.py\ndata %d\n%s" % (number, len(content), content)
    yield b"\n"


def large_blob() -> Iterator[bytes]:
    """Yield one commit of a large text and a small file."""
    line = b"INSERT INTO numbers VALUES (1, 2, 3);\n"
    yield _commit(0, b"M 100644 inline small.py\n", b"x = 1\n")
    yield _commit(1, b"M 100644 inline dump.sql\n", line * (LARGE_BLOB // len(line)))


def _commit(number: int, change: bytes, content: bytes) -> bytes:
    head = f"commit refs/heads/main\ncommitter {WHO.format(1_600_000_000 + number)}\ndata 1\nm\n".encode()
    return head + change + b"data %d\n%s\n" % (len(content), content)


SHAPES: dict[str, tuple[Callable[[], Iterator[bytes]], list[str]]] = {
    "100,000 commits": (linear_history, ["ingest", "history"]),
    "50,000 files in one folder": (one_folder, ["ingest", "one file changed", "history"]),
    "a text of 200 MB": (large_blob, ["ingest", "history"]),
}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("shapes", nargs="*", default=list(SHAPES), help=", ".join(SHAPES))
    options = parser.parse_args()
    print("| shape | step | files or commits | seconds | CPU s | peak MB |")
    print("| --- | --- | ---: | ---: | ---: | ---: |")
    for shape in options.shapes:
        commits, steps = SHAPES[shape]
        with tempfile.TemporaryDirectory(prefix="qflow-benchmark-", ignore_cleanup_errors=True) as folder:
            home = Path(folder)
            home.chmod(0o755)
            repository = home / "repository"
            subprocess.run(["git", "init", "-q", "--bare", "-b", "main", str(repository)], check=True)
            importer = subprocess.Popen(
                ["git", "-C", str(repository), "fast-import", "--quiet"], stdin=subprocess.PIPE
            )
            assert importer.stdin is not None
            importer.stdin.writelines(commits())
            importer.stdin.close()
            if importer.wait():
                raise SystemExit(f"{shape}: git fast-import failed")
            embedded.start(home)
            try:
                url = embedded.url(home)
                ensure_database(url)
                migrate(engine_for(url))
                for step in steps:
                    if step == "one file changed":
                        change_one_file(repository)
                    m = measure(step, repository, home, 2)
                    cells = f"{m['files']:,} | {m['seconds']:.1f} | {m['cpu']:.1f} | {m['peak']:,.0f}"
                    print(f"| {shape} | {step} | {cells} |", flush=True)
            finally:
                embedded.stop(home)


if __name__ == "__main__":
    main()
