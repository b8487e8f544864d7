"""Resolution of `use` and `mod` of Rust to files: crates, their roots, modules, and what a root exports again.

Belongs here: where the modules of a crate lie. Does not belong here: other languages (``resolution``), reading
`Cargo.toml` (``module_manifests``). Definitions and exports of conditional compilation are all taken for there.
"""

import posixpath
from collections import defaultdict
from collections.abc import Collection

from qflow_dagster.ingestion.declarations import Declarations
from qflow_dagster.ingestion.facts import ImportFact
from qflow_dagster.ingestion.module_manifests import ModuleManifests, join_path

FOLDER_FILES = ("mod.rs", "lib.rs", "main.rs")


class RustModules:
    """The modules of the crates of one snapshot."""

    def __init__(
        self, paths: Collection[str], manifests: ModuleManifests, declarations: Declarations
    ) -> None:
        self._paths = paths
        self._manifests = manifests
        self._declarations = declarations
        # By the last part of the module's name: its name with the folders above, and its file.
        self._by_name: dict[str, list[tuple[str, str]]] = defaultdict(list)
        for path in sorted(path for path in paths if path.endswith(".rs")):
            module = path.removesuffix("/mod.rs").removesuffix(".rs")
            self._by_name[posixpath.basename(module)].append((module, path))

    def resolve(self, source: str, imported: ImportFact) -> list[str]:
        """Return the file that declares what is imported in `source`, or exports it again."""
        folder, name = posixpath.split(source)
        root = self._root(source)
        # Modules of a crate's root lie beside it, those of another file in a folder of its name.
        beside = name in FOLDER_FILES or source == root
        own = folder if beside else join_path(folder, name.removesuffix(".rs"))
        parts = imported.module.removeprefix("::").split("::")
        if imported.kind == "mod_path":
            return self._existing(join_path(folder, imported.module))
        if imported.kind == "mod":
            return self._module(own, parts) or self._module(folder, parts)
        if parts[0] == "crate":
            return self._in_crate(root, parts[1:])
        if parts[0] in ("self", "super"):
            rest = [part for part in parts if part not in ("self", "super")]
            # A module inside the file is left first.
            outer = parts.count("super") - imported.level
            if outer < 0:
                return [source]
            base = own
            for _ in range(outer):
                base = posixpath.dirname(base)
            files = [f"{base}.rs", *(join_path(base, file) for file in FOLDER_FILES), root]
            if base == posixpath.dirname(root):
                files.insert(0, root)
            return self._module(base, rest) or self._existing(*(files if outer else [source]))
        library = self._manifests.crates.get(parts[0])
        if imported.kind == "crate":
            return self._existing(library or "")
        if library:
            return self._in_crate(library, parts[1:])
        # Before the edition of 2018, paths began at the root of the crate.
        return self._module(own, parts) or self._module(posixpath.dirname(root), parts)

    def _in_crate(self, root: str, parts: list[str]) -> list[str]:
        """Return the file of a module by its path from the root of a crate, else the root itself.

        What the root exports again lies deeper: the only module of that name, or the least deep, or the only file
        that declares the name, as of macros.
        """
        folder = posixpath.dirname(root)
        direct = self._module(folder, parts)
        if direct:
            return direct
        for length in range(len(parts), 0, -1):
            ending = "/" + "/".join(parts[:length])
            deeper = [
                path
                for module, path in self._by_name.get(parts[length - 1], ())
                if module.endswith(ending) and path.startswith(f"{folder}/")
            ]
            least = min((path.count("/") for path in deeper), default=0)
            nearest = [path for path in deeper if path.count("/") == least]
            if len(nearest) == 1:
                return nearest
        declared = self._declarations.of_name("Rust", parts[0], root) if parts else []
        inside = [path for path in declared if path.startswith(f"{folder}/") and path != root]
        return inside if len(inside) == 1 == len(declared) else self._existing(root)

    def _module(self, base: str, parts: list[str]) -> list[str]:
        """Return the file of the longest prefix of `parts` that is a module below `base`."""
        for length in range(len(parts), 0, -1):
            module = join_path(base, *parts[:length])
            targets = self._existing(f"{module}.rs", f"{module}/mod.rs")
            if targets:
                return targets
        return []

    def _root(self, source: str) -> str:
        """Return the root file of the crate of `source`: of the library, of the program, or a file of tests."""
        folder, name = posixpath.split(source)
        if name == "main.rs" or posixpath.basename(folder) == "bin":
            return source
        while folder and join_path(folder, "Cargo.toml") not in self._paths:
            folder = posixpath.dirname(folder)
        roots = [self._manifests.crate_roots.get(folder, ""), join_path(folder, "src/lib.rs")]
        for root in [*roots, join_path(folder, "src/main.rs")]:
            if root in self._paths and source.startswith(f"{posixpath.dirname(root)}/".lstrip("/")):
                return root
        return source

    def _existing(self, *candidates: str) -> list[str]:
        return next(([path] for path in candidates if path in self._paths), [])
