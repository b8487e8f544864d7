"""Duplicated code (clones) across and within files, from the token fingerprints of their blobs.

Fingerprints are winnowed hashes of 32 normalised tokens (``ingestion.extraction.tokens``), so
renamed copies are clones too. Equal fingerprints at a constant distance form a clone. Its length is
that of the fingerprints it covers, so it is never overstated, and a clone is certain to be found if
it is 56 tokens longer than the shortest reported. Clones with a fragment in common are a class.
"""

import time
from collections.abc import Iterator

import numpy as np
import pandas as pd
import scipy
from sqlalchemy import Connection, Engine

from qflow_dagster.ingestion.facts import Fingerprints
from qflow_dagster.ingestion.queries import IN_SNAPSHOT, Snapshot, snapshot_by_id
from qflow_dagster.metrics.store import MetricResult, read, replace
from qflow_dagster.metrics.tables import clones, duplication
from qflow_dagster.settings import settings

# As in ingestion.extraction.tokens: a clone's fingerprints are at most WINDOW tokens apart.
GRAM, WINDOW = 32, 29
# Of a hash with more occurrences, each is compared to the next only: all pairs would be quadratic.
MAX_LOCATIONS = 24
MAX_CLONES = 50_000

FINGERPRINTS = f"""
    SELECT f.path, f.blob_id, b.lines, b.tokens, p.hashes, p.positions, p.spans
    FROM files f JOIN blobs b ON b.id = f.blob_id JOIN fingerprints p ON p.blob_id = b.id
    WHERE {IN_SNAPSHOT} AND NOT f.vendored AND NOT f.generated ORDER BY f.path
"""
CLONE_COLUMNS = [
    "path_a",
    "start_a",
    "end_a",
    "path_b",
    "start_b",
    "end_b",
    "tokens",
    "clone_class",
    "copies",
]


def compute_duplication(engine: Engine, snapshot_id: int) -> MetricResult:
    """Find the clones of the snapshot and the duplicated share of each file; return the number of files."""
    started = time.monotonic()
    with engine.begin() as connection:
        snapshot = snapshot_by_id(connection, snapshot_id)
        found_clones, lines = find_clones(connection, snapshot)
        replace(connection, clones, snapshot, found_clones.assign(clone=np.arange(1, len(found_clones) + 1)))
        shares = duplicated_lines(found_clones, lines)
        replace(connection, duplication, snapshot, shares)
    return MetricResult(len(shares), time.monotonic() - started)


def find_clones(connection: Connection, snapshot: Snapshot) -> tuple[pd.DataFrame, pd.Series]:
    """Return the clones of a snapshot, longest first, and the lines by path."""
    files = read(connection, FINGERPRINTS, snapshot.interval)
    parts = {
        "hash": [np.frombuffer(data, "<u8") for data in files["hashes"]],
        "position": [np.frombuffer(data, "<u4").astype(np.int64) for data in files["positions"]],
        "span": [np.frombuffer(data, "<u4").astype(np.int64).reshape(-1, 2) for data in files["spans"]],
    }
    sizes = [len(part) for part in parts["hash"]]
    if not sum(sizes):
        return pd.DataFrame(columns=CLONE_COLUMNS), pd.Series(dtype="int64")
    matched = match(
        np.repeat(np.arange(len(files)), sizes),
        np.concatenate(parts["hash"]),
        np.concatenate(parts["position"]),
        np.concatenate(parts["span"]),
        settings().metrics.clone_tokens,
    )
    matched = whole_files(matched, *(files[name].to_numpy() for name in ("blob_id", "lines", "tokens")))
    paths = files["path"].to_numpy()
    matched["path_a"], matched["path_b"] = paths[matched.pop("file_a")], paths[matched.pop("file_b")]
    ordered = matched.sort_values(
        ["tokens", "path_a", "start_a", "path_b"], ascending=[False, True, True, True]
    )
    return classes(ordered.head(MAX_CLONES))[CLONE_COLUMNS], files.set_index("path")["lines"]


def in_file(fingerprints: Fingerprints, lines: int) -> int:
    """Return how many of the lines of one file are duplicated within it."""
    hashes = np.frombuffer(fingerprints.hashes, "<u8")
    if not len(hashes):
        return 0
    found = match(
        np.zeros(len(hashes), np.int64),
        hashes,
        np.frombuffer(fingerprints.positions, "<u4").astype(np.int64),
        np.frombuffer(fingerprints.spans, "<u4").astype(np.int64).reshape(-1, 2),
        settings().metrics.clone_tokens,
    )
    found["path_a"] = found["path_b"] = ""
    return int(duplicated_lines(found, pd.Series({"": lines}))["duplicated_lines"].sum())


def whole_files(
    matched: pd.DataFrame, blob: np.ndarray, lines: np.ndarray, tokens: np.ndarray
) -> pd.DataFrame:
    """Return clones where those of files with the same content, at the same lines, are the whole files.

    Fingerprints are of code, and so do not cover the comments at the ends of a file. The arrays are over the files.
    """
    file, other = matched["file_a"], matched["file_b"]
    same = (file != other) & (blob[file] == blob[other]) & (matched["start_a"] == matched["start_b"])
    whole = matched[same].drop_duplicates(["file_a", "file_b"]).assign(start_a=1, start_b=1)
    of = whole["file_a"]
    whole = whole.assign(end_a=lines[of], end_b=lines[of], tokens=tokens[of])
    return pd.concat([matched[~same], whole], ignore_index=True)


def classes(found: pd.DataFrame) -> pd.DataFrame:
    """Add to each clone the number of its class, and the number of copies in it."""
    sides = [
        found[[f"path_{side}", f"start_{side}", f"end_{side}"]].set_axis(["path", "start", "end"], axis=1)
        for side in "ab"
    ]
    fragments = pd.concat(sides).groupby(["path", "start", "end"], sort=False).ngroup().to_numpy()
    left, right = fragments[: len(found)], fragments[len(found) :]
    size = int(fragments.max(initial=-1)) + 1
    graph = scipy.sparse.coo_array((np.ones(len(found)), (left, right)), shape=(size, size))
    _, labels = scipy.sparse.csgraph.connected_components(graph, directed=False)
    # Numbered by their longest clone, as clones are.
    numbers = pd.factorize(labels[left])[0]
    return found.assign(clone_class=numbers + 1, copies=np.bincount(labels)[labels[left]])


def match(
    file: np.ndarray, hashes: np.ndarray, position: np.ndarray, span: np.ndarray, shortest: int
) -> pd.DataFrame:
    """Return clones of at least `shortest` tokens among fingerprints given as parallel arrays.

    `file` numbers the file of each, `position` is its first token, `span` (n, 2) its first and
    last line.
    """
    left, right = equal_pairs(hashes, file, position)
    distance = position[right] - position[left]
    # Within one file a clone must not overlap itself.
    keep = (file[left] != file[right]) | (np.abs(distance) >= GRAM)
    left, right, distance = left[keep], right[keep], distance[keep]
    order = np.lexsort((position[left], distance, file[right], file[left]))
    left, right, distance = left[order], right[order], distance[order]
    if not len(left):
        empty = np.empty(0, np.int64)
        names = ("file_a", "file_b", "start_a", "end_a", "start_b", "end_b", "tokens")
        return pd.DataFrame(dict.fromkeys(names, empty))
    new = run_starts(file[left], file[right], distance, position[left])
    # Copies that follow each other in a file are a single run at their distance: it is cut into them.
    offset = position[left] - position[left][np.flatnonzero(new)][np.cumsum(new) - 1]
    within = file[left] == file[right]
    inside = ~within | (offset % np.maximum(distance, 1) <= distance - GRAM)
    copy = np.where(within, offset // np.maximum(distance, 1), 0)
    left, right, distance, copy = left[inside], right[inside], distance[inside], copy[inside]
    new = run_starts(file[left], file[right], distance, position[left])
    new[1:] |= copy[1:] != copy[:-1]
    first = np.flatnonzero(new)
    last = np.append(first[1:], len(left)) - 1
    frame = pd.DataFrame(
        {
            "file_a": file[left[first]],
            "file_b": file[right[first]],
            "start_a": span[left[first], 0],
            "end_a": span[left[last], 1],
            "start_b": span[right[first], 0],
            "end_b": span[right[last], 1],
            "tokens": position[left[last]] - position[left[first]] + GRAM,
        }
    )
    # In tokens, because two copies may share a line.
    overlapping = (frame["file_a"] == frame["file_b"]) & (frame["tokens"] > distance[first])
    frame = frame[(frame["tokens"] >= shortest) & ~overlapping]
    # Slightly shifted copies of a clone (lists of similar statements) end at the same lines.
    return frame.sort_values("tokens", ascending=False).drop_duplicates(
        ["file_a", "file_b", "end_a", "end_b"]
    )


def run_starts(
    file_a: np.ndarray, file_b: np.ndarray, distance: np.ndarray, position: np.ndarray
) -> np.ndarray:
    """Return which of the ordered pairs of equal fingerprints start a run: at another distance, or after a gap."""
    new = np.ones(len(position), bool)
    new[1:] = (
        (file_a[1:] != file_a[:-1])
        | (file_b[1:] != file_b[:-1])
        | (distance[1:] != distance[:-1])
        | (np.diff(position) > GRAM + WINDOW)
    )
    return new


def equal_pairs(hashes: np.ndarray, file: np.ndarray, position: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return index pairs of equal hashes, each in file order: all of a hash, or chains of a frequent one."""
    order = np.lexsort((position, file, hashes))
    ordered = hashes[order]
    starts = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1]))
    sizes = np.diff(np.append(starts, len(ordered)))
    left, right = [], []
    for size in range(2, MAX_LOCATIONS + 1):
        members = order[starts[sizes == size][:, None] + np.arange(size)]
        a, b = np.triu_indices(size, 1)
        left.append(members[:, a].ravel())
        right.append(members[:, b].ravel())
    frequent = order[np.repeat(sizes > MAX_LOCATIONS, sizes)]
    for a, b in chains(hashes[frequent], file[frequent]):
        left.append(frequent[a])
        right.append(frequent[b])
    return np.concatenate(left), np.concatenate(right)


def chains(hashes: np.ndarray, file: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield index pairs that link the occurrences of each hash, as many as there are occurrences.

    The occurrences are ordered by hash, file and position. The n-th occurrence in a file is linked to the
    n-th in the next file, so that files which repeat the same code are compared in step. Within a file,
    each is linked to the next one, and to the one half of them further on, where a run of similar
    statements repeats itself without overlap.
    """
    new = np.ones(len(hashes), bool)
    new[1:] = (hashes[1:] != hashes[:-1]) | (file[1:] != file[:-1])
    start = np.flatnonzero(new)
    count = np.diff(np.append(start, len(hashes)))
    nth = np.arange(len(hashes)) - np.repeat(start, count)
    across = np.lexsort((file, nth, hashes))
    same = (hashes[across][1:] == hashes[across][:-1]) & (nth[across][1:] == nth[across][:-1])
    yield across[:-1][same], across[1:][same]
    size = np.repeat(count, count)
    for step in (np.ones_like(size), (size + 1) // 2):
        first = np.flatnonzero((nth + step < size) & (step > 0))
        yield first, first + step[first]


def duplicated_lines(found: pd.DataFrame, lines: pd.Series) -> pd.DataFrame:
    """Compute per file with clones: their number, the duplicated lines, and their share of its lines."""
    sides = [
        found[[f"path_{s}", f"start_{s}", f"end_{s}"]].set_axis(["path", "start", "end"], axis=1)
        for s in "ab"
    ]
    ranges = pd.concat(sides).sort_values(["path", "start"])
    rows = []
    for path, group in ranges.groupby("path", sort=True):
        reached = covered = 0
        for start, end in zip(group["start"].tolist(), group["end"].tolist(), strict=True):
            covered += max(end - max(start - 1, reached), 0)
            reached = max(reached, end)
        rows.append((path, len(group), covered, covered / max(int(lines[path]), 1)))
    frame = pd.DataFrame(rows, columns=["path", "clones", "duplicated_lines", "ratio"])
    return frame.astype({"clones": "int64", "duplicated_lines": "int64"}) if len(frame) else frame
