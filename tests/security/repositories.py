"""Attempts by a repository: names, links, bombs and patches that reach out of their folder, or fill the machine."""

import os
import resource
from pathlib import Path
from unittest import mock

from qflow_dagster.generation import patches
from qflow_dagster.ingestion import checkouts, git, remotes
from qflow_dagster.settings import settings
from tests.security.corpus import attempt
from tests.security.raw_git import FILE, FOLDER, LINK, PROGRAM, RawRepository

PATCH = "diff --git a/{0} b/{0}\nindex 1111111..2222222 100644\n--- a/{0}\n+++ b/{0}\n@@ -1 +1 @@\n-a\n+b\n"


def check_out(repository: RawRepository, folder: Path) -> Path:
    """Export the newest commit; nothing but the folder may have changed."""
    target = folder / "work"
    target.mkdir()
    before = set(outside(folder, target))
    try:
        with checkouts.scratch(repository.path) as store:
            checkouts.export(store, "HEAD", target)
    finally:
        assert set(outside(folder, target)) == before, "something was written outside the checkout"
        assert not Path("/pwned").exists()
    for path in target.rglob("*"):
        real = Path(os.path.realpath(path))
        assert real == target or target in real.parents, f"{path} leads to {real}"
    return target


def outside(folder: Path, target: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if target not in path.parents and "objects" not in path.parts]


NAMES = {
    "absolute": b"/pwned",
    "two slashes": b"//pwned",
    "parent": b"../pwned",
    "parents": b"a/../../pwned",
    "dot dot": b"..",
    "dot": b".",
    "dot slash": b"./x",
    "empty part": b"a//b",
    "trailing slash": b"a/",
    "git": b".git",
    "git in a folder": b"a/.git/hooks/post-checkout",
    "GIT": b".GIT",
    "gIt": b".gIt/config",
    "HFS zero width": b".g\xe2\x80\x8cit",
    "HFS joiner": b".gi\xe2\x80\x8dt/config",
    "HFS mark": b".git\xef\xbb\xbf",
    "HFS direction": b"\xe2\x80\xae.git",
    "NTFS short": b"git~1",
    "NTFS short in capitals": b"GIT~1/config",
    "NTFS dot": b".git.",
    "NTFS space": b".git ",
    "NTFS dots and spaces": b".git . . /config",
    "NTFS stream": b".git::$INDEX_ALLOCATION/config",
    "NTFS stream of a file": b".git:x",
    "backslash": b"a\\..\\b",
    "backslash git": b".git\\config",
    "newline": b"a\nb",
    "escape": b"a\x1b[31m",
    "bell": b"a\x07",
    "delete": b"a\x7f",
    "return": b"a\rb",
    "long part": b"x" * 256,
    "long path": b"/".join([b"x" * 200] * 25),
}


@attempt("names in trees", *NAMES)
def name_of_a_tree_entry(folder: Path, name: str) -> None:
    repository = RawRepository(folder / "evil.git")
    entries = sorted(
        [(FILE, NAMES[name], b"out\n"), (FILE, b"ok.py", b"x = 1\n")], key=lambda entry: entry[1]
    )
    repository.files(*entries)
    check_out(repository, folder)
    raise AssertionError("git refuses such a name, and we do not")


@attempt("names in trees", "nested parent", "nested git", "nested absolute")
def name_in_a_folder(folder: Path, name: str) -> None:
    repository = RawRepository(folder / "evil.git")
    part = {"nested parent": b"..", "nested git": b".GIT", "nested absolute": b"/pwned"}[name]
    inner = repository.tree((FILE, b"pwned", repository.blob(b"out\n")))
    middle = repository.tree((FOLDER, part, inner))
    repository.commit(repository.tree((FOLDER, b"a", middle)))
    check_out(repository, folder)
    raise AssertionError("git refuses such a name, and we do not")


LINKS = {
    "absolute": [(b"esc", b"/etc/shadow")],
    "parents": [(b"esc", b"../../../../etc/shadow")],
    "parent itself": [(b"esc", b"..")],
    "chain": [(b"d1/d2/d3/l", b"../../../x"), (b"esc", b"d1/d2/d3/l/../../../../etc/shadow")],
    "chain of links to folders": [
        (b"a/l", b"../b"),
        (b"b/m", b"../a/l/.."),
        (b"esc", b"b/m/../../etc/shadow"),
    ],
    "chain over the folder itself": [(b"here", b"."), (b"esc", b"here/here/../../etc")],
    "loop": [(b"one", b"two"), (b"two", b"one")],
    "itself": [(b"self", b"self")],
    "dangling out": [(b"esc", b"x/../../gone")],
    "into git": [(b"esc", b".git/config")],
    "long": [(b"esc", b"x/" * 3000 + b"y")],
    "NUL": [(b"esc", b"/etc/pass\0wd")],
    "process": [(b"esc", b"/proc/self/cwd/../../etc/shadow")],
}


@attempt("links", *LINKS)
def link_that_leaves(folder: Path, name: str) -> None:
    repository = RawRepository(folder / "evil.git")
    entries: dict[bytes, tuple[bytes, bytes]] = {path: (LINK, target) for path, target in LINKS[name]}
    entries[b"x/f"] = (FILE, b"f\n")
    repository.commit(nested(repository, entries))
    check_out(repository, folder)


def nested(repository: RawRepository, entries: dict[bytes, tuple[bytes, bytes]]) -> str:
    """A tree of paths with slashes; its id."""
    here, below = [], {}
    for path, (mode, content) in entries.items():
        top, slash, rest = path.partition(b"/")
        if slash:
            below.setdefault(top, {})[rest] = (mode, content)
        else:
            here.append((mode, top, repository.blob(content)))
    here += [(FOLDER, top, nested(repository, inner)) for top, inner in below.items()]
    return repository.tree(*sorted(here, key=lambda entry: entry[1]))


@attempt("entries that clash")
def file_written_through_a_link_of_the_same_name(folder: Path) -> None:
    repository = RawRepository(folder / "evil.git")
    out = folder / "outside"
    out.mkdir()
    (out / "pwned").write_text("mine\n")
    link = (LINK, b"d", repository.blob(str(out).encode()))
    repository.commit(
        repository.tree(link, (FOLDER, b"d", repository.tree((FILE, b"pwned", repository.blob(b"out\n")))))
    )
    try:
        check_out(repository, folder)
    finally:
        assert (out / "pwned").read_text() == "mine\n"


@attempt("entries that clash")
def file_that_is_a_folder_too(folder: Path) -> None:
    repository = RawRepository(folder / "evil.git")
    inner = repository.tree((FILE, b"x", repository.blob(b"x\n")))
    repository.commit(repository.tree((FILE, b"d", repository.blob(b"d\n")), (FOLDER, b"d", inner)))
    check_out(repository, folder)


@attempt("entries that clash")
def entry_that_is_there_twice(folder: Path) -> None:
    repository = RawRepository(folder / "evil.git")
    repository.files((FILE, b"a", b"1\n"), (FILE, b"a", b"2\n"))
    check_out(repository, folder)


@attempt("entries that clash")
def program_with_a_set_user_id_mode(folder: Path) -> None:
    repository = RawRepository(folder / "evil.git")
    repository.files((b"104755", b"su", b"#!/bin/sh\n"), (PROGRAM, b"ok", b"#!/bin/sh\n"))
    target = check_out(repository, folder)
    assert not any(path.stat().st_mode & 0o7000 for path in target.iterdir())


@attempt("bombs", *(f"{10**depth:,} paths" for depth in (7, 10)))
def tree_that_multiplies(folder: Path, name: str) -> None:
    repository = RawRepository(folder / "bomb.git")
    depth = len(name.split()[0].replace(",", "")) - 1
    oid, mode = repository.blob(b"x=1\n"), FILE
    for _ in range(depth):
        oid = repository.tree(*((mode, b"f%d" % number, oid) for number in range(10)))
        mode = FOLDER
    repository.commit(oid)
    limits = settings().ingestion
    # The larger one by the limit that is the default; to get there takes its time.
    most = 100_000 if depth < 9 else limits.tree_paths
    try:
        with mock.patch.object(limits, "tree_paths", most):
            git.list_tree(repository.path, "HEAD")
    finally:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        assert peak < 2 * 1024**3, f"{peak:,} bytes"
    raise AssertionError("all of its paths were read")


@attempt("bombs")
def blob_larger_than_a_checkout_may_be(folder: Path) -> None:
    repository = RawRepository(folder / "bomb.git")
    oid = repository.blob(bytes(100_000_000))
    repository.commit(repository.tree(*((FILE, b"big%d" % number, oid) for number in range(200))))
    check_out(repository, folder)
    raise AssertionError("20 GB were written")


BAD_PATCHES = {
    "parent": PATCH.format("../x"),
    "absolute": PATCH.format("/etc/passwd"),
    "git": PATCH.format(".git/config"),
    "GIT": PATCH.format(".GIT/config"),
    "HFS": PATCH.format(".g\u200cit/config"),
    "NTFS": PATCH.format("git~1/config"),
    "backslash": PATCH.format("a\\..\\b"),
    "modules": PATCH.format(".gitmodules"),
    "dot": PATCH.format("a/./b"),
    "rename": "diff --git a/x b/y\nsimilarity index 100%\nrename from x\nrename to y\n",
    "new file": PATCH.format("x").replace(
        "index 1111111..2222222 100644", "new file mode 100755\nindex 0000000..2222222"
    ),
    "deleted file": "diff --git a/x b/x\ndeleted file mode 100644\nindex 1111111..0000000\n--- a/x\n+++ /dev/null\n@@ -1 +0,0 @@\n-a\n",
    "mode": "diff --git a/x b/x\nold mode 100644\nnew mode 100755\n",
    "link": PATCH.format("x").replace("100644", "120000"),
    "submodule": PATCH.format("x").replace("100644", "160000"),
    "binary": "diff --git a/x b/x\nGIT binary patch\nliteral 1\nIc$@\n",
    "two files": PATCH.format("x").replace("+++ b/x", "+++ b/y"),
    "twice": PATCH.format("x") * 2,
    "trailer": PATCH.format("x") + "diff --git a/y b/y\nnew file mode 120000\n",
    "huge": "x" * 3_000_000,
    "quoted": PATCH.format('"\\056\\056/x"'),
    "untracked": PATCH.format("never"),
}


@attempt("patches", *BAD_PATCHES)
def patch_that_does_more_than_change_lines(folder: Path, name: str) -> None:
    repository = RawRepository(folder / "repo.git")
    repository.files((FILE, b"x", b"a\n"))
    with checkouts.scratch(repository.path) as store:
        patches.apply(store, "HEAD", patches.read(BAD_PATCHES[name]))
    raise AssertionError("it was applied")


CONFIGURATIONS = {
    "path": '[remote "origin"]\n\turl = {evil}\n',
    "file": '[remote "origin"]\n\turl = file://{evil}\n',
    "ext": '[remote "origin"]\n\turl = ext::sh -c touch% {ran}\n[protocol "ext"]\n\tallow = always\n',
    "fd": '[remote "origin"]\n\turl = fd::17\n[protocol]\n\tallow = always\n',
    "insteadOf": '[remote "origin"]\n\turl = https://example.invalid/x\n[url "{evil}"]\n\tinsteadOf = https://example.invalid/x\n',
    "pushInsteadOf": '[remote "origin"]\n\turl = https://example.invalid/x\n[url "{evil}"]\n\tpushInsteadOf = https://example.invalid/x\n',
    "pushurl": '[remote "origin"]\n\turl = https://example.invalid/x\n\tpushurl = {evil}\n',
    "receivepack": '[remote "origin"]\n\turl = {evil}\n\treceivepack = touch {ran};\n',
    "sshCommand": '[core]\n\tsshCommand = touch {ran};\n[remote "origin"]\n\turl = ssh://example.invalid/x\n',
    "option": '[remote "origin"]\n\turl = --receive-pack=touch {ran}\n',
    "askpass": '[core]\n\taskpass = touch {ran};\n[remote "origin"]\n\turl = https://localhost:1/x\n',
    "proxy": '[http]\n\tproxy = http://localhost:1\n[core]\n\tgitProxy = touch {ran}\n[remote "origin"]\n\turl = git://localhost:1/x\n',
}


@attempt("configuration on push", *CONFIGURATIONS)
def remote_of_a_hostile_configuration(folder: Path, name: str) -> None:
    ran = folder / "HOOK_RAN"
    evil = RawRepository(folder / "evil.git")
    hook = evil.path / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\nid > {ran}\n")
    hook.chmod(0o755)
    repository = RawRepository(folder / "repo.git")
    repository.files((FILE, b"app.py", b"x = 1\n"))
    with (repository.path / "config").open("a") as file:
        file.write(CONFIGURATIONS[name].format(evil=evil.path, ran=ran))
    try:
        remotes.push(repository.path, "origin", "main")
    finally:
        assert not ran.exists(), f"it ran: {ran.read_text()}"
    raise AssertionError("it was pushed")


@attempt("configuration on push")
def hook_of_a_target_on_this_machine(folder: Path) -> None:
    ran = folder / "HOOK_RAN"
    target = RawRepository(folder / "target.git")
    for name in (
        "pre-receive",
        "update",
        "post-receive",
        "post-update",
        "reference-transaction",
        "proc-receive",
    ):
        hook = target.path / "hooks" / name
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(f"#!/bin/sh\necho {name} >> {ran}\n")
        hook.chmod(0o755)
    (target.path / "config").write_text(
        f"[core]\n\tbare = true\n\thooksPath = {target.path}/hooks\n\tfsmonitor = touch {ran}\n"
    )
    repository = RawRepository(folder / "repo.git")
    repository.files((FILE, b"app.py", b"x = 1\n"))
    try:
        remotes.push(repository.path, str(target.path), "main")
    finally:
        assert not ran.exists(), f"it ran: {ran.read_text()}"
