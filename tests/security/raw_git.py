"""A bare git repository whose objects are written byte by byte: git itself refuses to make what an attacker makes."""

import hashlib
import subprocess
import zlib
from pathlib import Path

FILE, PROGRAM, LINK, FOLDER, SUBMODULE = b"100644", b"100755", b"120000", b"40000", b"160000"
Entry = tuple[bytes, bytes, str]


class RawRepository:
    """Objects go in as they are given, and come out as git reads them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        subprocess.run(["git", "init", "-q", "--bare", str(path)], check=True)

    def put(self, kind: str, data: bytes) -> str:
        """Write an object; its id."""
        raw = f"{kind} {len(data)}\0".encode() + data
        oid = hashlib.sha1(raw).hexdigest()
        file = self.path / "objects" / oid[:2] / oid[2:]
        file.parent.mkdir(exist_ok=True)
        if not file.exists():
            file.write_bytes(zlib.compress(raw, 1))
        return oid

    def blob(self, content: bytes) -> str:
        return self.put("blob", content)

    def tree(self, *entries: Entry) -> str:
        """A tree of (mode, name, id), in the order given."""
        return self.put(
            "tree", b"".join(b"%s %s\0%s" % (mode, name, bytes.fromhex(oid)) for mode, name, oid in entries)
        )

    def commit(self, tree: str, *, message: bytes = b"x\n", author: bytes = b"a <a@b>") -> str:
        """A commit of that tree, on the branch main."""
        who = author + b" 1700000000 +0000\n"
        oid = self.put(
            "commit", b"tree " + tree.encode() + b"\nauthor " + who + b"committer " + who + b"\n" + message
        )
        (self.path / "refs" / "heads" / "main").write_text(f"{oid}\n")
        (self.path / "HEAD").write_text("ref: refs/heads/main\n")
        return oid

    def files(self, *entries: tuple[bytes, bytes, bytes]) -> str:
        """A commit of one flat tree of (mode, name, content)."""
        return self.commit(self.tree(*((mode, name, self.blob(content)) for mode, name, content in entries)))
