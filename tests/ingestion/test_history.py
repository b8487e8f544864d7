"""Commits and changes: each once, renames followed, people as .mailmap names them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qflow_dagster.ingestion import commit_log, history
from qflow_dagster.ingestion.paths import broken_rule, quote_path
from tests.ingestion.conftest import BOB, GitRepository, Ingested

CHANGES = """
    SELECT c.subject, f.kind, f.path, f.previous_path, f.added_lines, f.deleted_lines
    FROM file_changes f JOIN commits c ON c.id = f.commit_id ORDER BY c.id, f.path
"""


def test_commits_are_stored_parents_first_with_what_git_says_of_them(
    repository: GitRepository, ingested: Ingested
) -> None:
    first = repository.commit({"a.py": "x = 1\n"}, "First\n\nA body\nof two lines.")
    second = repository.commit({"a.py": "x = 2\n"}, "Second", author=BOB)
    ingested(repository)
    rows = ingested.rows(
        "SELECT oid, parents, author_name, author_email, subject, body, authored_at, committed_at "
        "FROM commits ORDER BY id"
    )
    assert [row[:6] for row in rows] == [
        (first, [], "Ann", "ann@example.com", "First", "A body\nof two lines."),
        (second, [first], "Bob", "bob@example.com", "Second", ""),
    ]
    assert int(rows[0][6].timestamp()) == int(repository.git("log", "-1", "--format=%at", first))


def test_every_kind_of_change_with_its_lines(repository: GitRepository, ingested: Ingested) -> None:
    text = "".join(f"line {n}\n" for n in range(20))
    repository.commit(
        {"keep.py": text, "old.py": text.upper(), "gone.py": "x\n", "b.bin": b"\0\1", "t": "x\n"}, "1"
    )
    repository.git("mv", "old.py", "new name.py")
    (repository.path / "gone.py").unlink()
    (repository.path / "t").unlink()
    (repository.path / "t").symlink_to("keep.py")
    repository.commit(
        {"keep.py": text + "more\n", "b.bin": b"\0\2", "new name.py": text.upper() + "z\n"}, "2"
    )
    ingested(repository)
    assert [row[1:] for row in ingested.rows(CHANGES) if row[0] == "2"] == [
        ("modified", "b.bin", None, None, None),
        ("deleted", "gone.py", None, 0, 1),
        ("modified", "keep.py", None, 1, 0),
        ("renamed", "new name.py", "old.py", 1, 0),
        ("type_changed", "t", None, 1, 1),
    ]


def test_names_git_would_quote_are_the_names_of_the_snapshot(
    repository: GitRepository, ingested: Ingested
) -> None:
    repository.commit({'tab\there "q".py': "x\n", "é.py": "y\n"})
    ingested(repository)
    assert {row[2] for row in ingested.rows(CHANGES)} == set(ingested.files())


def test_mailmap_is_honoured_for_authors_committers_and_co_authors(
    repository: GitRepository, ingested: Ingested
) -> None:
    repository.commit(
        {"a.py": "x\n", ".mailmap": "Robert B <robert@example.com> <bob@example.com>\n"},
        "Work\n\nText.\n\nCo-authored-by: Bobby <bob@example.com>\nCo-authored-by: no address\n"
        "co-authored-by: Cy <cy@example.com>",
        author=BOB,
    )
    ingested(repository)
    [row] = ingested.rows("SELECT author_name, author_email, committer_name, co_authors FROM commits")
    assert row[:3] == ("Robert B", "robert@example.com", "Robert B")
    assert row[3] == ["Robert B <robert@example.com>", "no address", "Cy <cy@example.com>"]


def test_only_new_commits_are_read(repository: GitRepository, ingested: Ingested, monkeypatch) -> None:
    repository.commit({"a.py": "1\n"})
    ingested(repository)
    asked: list[int] = []
    read = history.read_commits
    monkeypatch.setattr(
        history,
        "read_commits",
        lambda objects, oids, *rest: asked.append(len(oids)) or read(objects, oids, *rest),
    )
    repository.commit({"a.py": "2\n"})
    repository.commit({"a.py": "3\n"})
    ingested(repository)
    ingested(repository)
    assert asked == [2]
    assert ingested.rows("SELECT count(*) FROM commits WHERE reachable") == [(3,)]


def test_commits_that_a_branch_returns_to_are_reachable_again(
    repository: GitRepository, ingested: Ingested
) -> None:
    first = repository.commit({"a.py": "1\n"}, "1")
    second = repository.commit({"a.py": "2\n"}, "2")
    reachable = "SELECT subject FROM commits WHERE reachable ORDER BY id"
    for revision, subjects in ((second, ["1", "2"]), (first, ["1"]), (second, ["1", "2"])):
        ingested(repository, revision)
        assert [row[0] for row in ingested.rows(reachable)] == subjects


def write_history(repository: GitRepository, dates: list[int], message: bytes = b"x") -> None:
    """Commit a.py once at each date, in seconds, each commit the child of the one before."""
    stream = b"".join(
        b"commit refs/heads/main\nmark :%d\ncommitter Ann <ann@example.com> %d +0000\ndata %d\n%s\n%s"
        b"M 100644 inline a.py\ndata %d\n%s\n"
        % (n + 1, date, len(message), message, b"from :%d\n" % n if n else b"", n + 2, b"x" * (n + 1) + b"\n")
        for n, date in enumerate(dates)
    )
    repository.git("fast-import", "--quiet", stdin=stream)


YEAR = 365 * 86_400


def test_lines_of_old_commits_are_counted_afterwards(
    repository: GitRepository, ingested: Ingested, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commit_log, "BATCH_COMMITS", 2)
    write_history(repository, [1_500_000_000 + n * YEAR // 2 for n in range(8)])
    ingested(repository)
    counts = "SELECT c.line_counts, f.added_lines FROM commits c JOIN file_changes f ON f.commit_id = c.id ORDER BY c.id"
    assert ingested.rows(counts) == [("pending", None)] * 5 + [("complete", 1)] * 3
    [(repository_id,)] = ingested.rows("SELECT id FROM repositories")
    assert history.count_lines(ingested.engine, repository_id) == (5, 0)
    assert ingested.rows(counts) == [("complete", 1)] * 8
    assert history.count_lines(ingested.engine, repository_id) == (0, 0)


def test_long_messages_are_cut_while_they_are_read(
    repository: GitRepository, ingested: Ingested, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commit_log, "LOG_BYTES", 1_000_000)
    write_history(repository, [1_500_000_000 + n for n in range(8)], b"subject\n\n" + b"word " * 200_000)
    ingested(repository)
    assert set(ingested.rows("SELECT subject, length(body), line_counts FROM commits")) == {
        ("subject", commit_log.MAX_BODY_LENGTH, "complete")
    }


def test_a_merge_has_no_changes_of_its_own_and_both_sides_are_there(
    repository: GitRepository, ingested: Ingested
) -> None:
    repository.commit({"a.py": "1\n"}, "base")
    repository.git("checkout", "--quiet", "-b", "side")
    repository.commit({"b.py": "1\n"}, "side")
    repository.git("checkout", "--quiet", "main")
    repository.commit({"c.py": "1\n"}, "main")
    repository.git("merge", "--quiet", "--no-edit", "side")
    ingested(repository)
    assert ingested.rows("SELECT count(*), max(cardinality(parents)) FROM commits") == [(4, 2)]
    assert [row[0] for row in ingested.rows(CHANGES)] == ["base", "side", "main"]


def test_a_rewritten_branch_leaves_its_old_commits_marked(
    repository: GitRepository, ingested: Ingested
) -> None:
    repository.commit({"a.py": "1\n"}, "base")
    repository.commit({"a.py": "2\n"}, "gone")
    ingested(repository)
    repository.git("reset", "--quiet", "--hard", "HEAD~1")
    repository.commit({"a.py": "3\n"}, "new")
    ingested(repository)
    reachable = "SELECT subject FROM commits WHERE reachable = :flag ORDER BY id"
    assert ingested.rows(reachable, flag=True) == [("base",), ("new",)]
    assert ingested.rows(reachable, flag=False) == [("gone",)]
    repository.git("reset", "--quiet", "--hard", "HEAD@{2}")
    ingested(repository)
    assert ingested.rows(reachable, flag=True) == [("base",), ("gone",)]


def test_strange_commits_do_no_harm(repository: GitRepository, ingested: Ingested) -> None:
    """Times before 1970 and after 9999, names with separators, bytes that are no text."""
    tree = repository.git("write-tree")
    for author, time in (("A\x01\x02\x03B", "1"), ("", "99999999999"), ("\udcff", "0")):
        commit = (
            f"tree {tree}\nauthor {author} <a@b> {time} +0000\ncommitter x <> {time} +0000\n\n"
            "\x01\x02 s\x03b\n\nCo-authored-by: :100644\nCo-authored-by: :000000 x <y@z>\n"
        )
        oid = repository.git(
            "hash-object",
            "-t",
            "commit",
            "-w",
            "--stdin",
            "--literally",
            stdin=commit.encode("utf-8", "surrogateescape"),
        )
        repository.git("update-ref", "refs/heads/main", oid)
        ingested(repository)
    assert ingested.rows("SELECT count(*) FROM commits") == [(3,)]


def test_many_commits_in_several_batches(repository: GitRepository, ingested: Ingested, monkeypatch) -> None:
    monkeypatch.setattr(commit_log, "BATCH_COMMITS", 7)
    oids = [repository.commit({"a.py": f"{n}\n"}, f"{n}") for n in range(30)]
    ingested(repository)
    assert [row[0] for row in ingested.rows("SELECT oid FROM commits ORDER BY id")] == oids
    assert ingested.rows("SELECT count(*) FROM file_changes") == [(30,)]


@pytest.mark.parametrize("interrupted_after", [1, 2])
def test_an_interrupted_history_is_continued(
    repository: GitRepository, ingested: Ingested, monkeypatch, interrupted_after: int
) -> None:
    monkeypatch.setattr(commit_log, "BATCH_COMMITS", 5)
    for n in range(18):
        repository.commit({"a.py": f"{n}\n"}, f"{n}")
    store, calls = history.store_commits, iter(range(interrupted_after))

    def stop(*arguments) -> int:
        if next(calls, None) is None:
            raise KeyboardInterrupt
        return store(*arguments)

    monkeypatch.setattr(history, "store_commits", stop)
    with pytest.raises(KeyboardInterrupt):
        ingested(repository)
    assert ingested.rows("SELECT count(*) FROM commits") == [(5 * interrupted_after,)]
    assert ingested.rows("SELECT history_tip FROM repositories") == [(None,)]
    monkeypatch.setattr(history, "store_commits", store)
    ingested(repository)
    assert ingested.rows("SELECT count(*), count(DISTINCT oid) FROM commits") == [(18, 18)]


PATHS = st.binary(min_size=1, max_size=12).filter(lambda path: b"\0" not in path)
CHANGES_OF_PATHS = st.lists(
    st.tuples(PATHS, st.sampled_from("AMDT"), st.integers(0, 99)),
    max_size=5,
    unique_by=lambda change: change[0],
)


@given(CHANGES_OF_PATHS)
def test_any_path_survives_gits_separators(changes: list[tuple[bytes, str, int]]) -> None:
    raw = b"".join(
        b":100644 100644 " + b"0" * 40 + b" " + b"1" * 40 + b" " + kind.encode() + b"\0" + path + b"\0"
        for path, kind, _ in changes
    )
    numbers = b"".join(b"%d\t%d\t%s\0" % (lines, lines + 1, path) for path, _, lines in changes)
    parsed, _ = commit_log.parse_changes((raw + numbers).split(b"\0"), 0)
    assert [(c.path, c.added_lines, c.deleted_lines) for c in parsed] == [
        (quote_path(path), lines, lines + 1) for path, _, lines in changes if not broken_rule(path)
    ]
