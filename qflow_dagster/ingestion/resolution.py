"""Resolution of imports to files of the repository, from their text and the set of all paths.

Belongs here: the module systems of languages, as far as paths and manifests show. Imports from
outside the repository (packages, system headers) resolve to nothing. Does not belong here:
reading imports (``extraction.imports``). No code is executed and no file system is read.

A `Resolver` is built once per snapshot. Where a package of several files is imported (Go, wildcard
imports of the JVM), each of its files is a target, up to `MAX_TARGETS`.
"""

import posixpath
import re
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from typing import Any

from qflow_dagster.ingestion.facts import ImportFact
from qflow_dagster.ingestion.module_manifests import ModuleManifests, join_path

Targets = tuple[str, ...]
MAX_TARGETS = 50
SCRIPT_SUFFIXES = (
    ".ts",
    ".tsx",
    ".d.ts",
    ".js",
    ".jsx",
    ".mjs",
    ".cjs",
    ".mts",
    ".cts",
    ".vue",
    ".svelte",
    ".json",
)
JVM_SUFFIXES = (".java", ".kt", ".scala", ".groovy")


class Resolver:
    """Resolves the imports of one snapshot; `manifests` is content by path, for paths that are manifests."""

    def __init__(self, paths: Collection[str], manifests: Mapping[str, bytes]) -> None:
        self.paths = frozenset(paths)
        self.folders: dict[str, list[str]] = defaultdict(list)
        self.by_name: dict[str, list[str]] = defaultdict(list)
        for path in sorted(self.paths):
            folder, name = posixpath.split(path)
            self.folders[folder].append(path)
            self.by_name[name].append(path)
        self.python_roots = self._python_roots()
        self.jvm_packages = self._jvm_packages()
        self.manifests = ModuleManifests(manifests)
        self._cache: dict[tuple[Any, ...], Targets] = {}

    def resolve(self, source: str, language: str, imported: ImportFact) -> Targets:
        """Return the files that an import in `source` refers to; empty if they are external or unknown."""
        reader = READERS.get(language)
        if reader is None:
            return ()
        context: tuple[str, ...] = ()
        if language not in ABSOLUTE:
            context = posixpath.split(source) if language == "Rust" else (posixpath.dirname(source),)
        key = (context, language, imported.module, tuple(imported.names), imported.level, imported.kind)
        if key not in self._cache:
            targets = reader(self, source, imported)
            self._cache[key] = tuple(dict.fromkeys(targets))[:MAX_TARGETS]
        return tuple(path for path in self._cache[key] if path != source)

    # Python: any folder from which the top package of a module is reached is a source root.

    def _python_roots(self) -> list[str]:
        roots = {"", "src", "lib"}
        for path in self.by_name.get("__init__.py", ()):
            package = posixpath.dirname(path)
            above = posixpath.dirname(package)
            if f"{above}/__init__.py".lstrip("/") not in self.paths:
                roots.add(above)
        return sorted(roots, key=lambda root: (root.count("/"), root))

    def _python(self, source: str, imported: ImportFact) -> list[str]:
        parts = imported.module.split(".") if imported.module else []
        if imported.level:
            base = posixpath.dirname(source)
            for _ in range(imported.level - 1):
                base = posixpath.dirname(base)
            return self._python_module(base, parts, imported.names)
        own = posixpath.dirname(source)
        # A script imports from its own folder first, then from the source roots, nearest first.
        roots = [own] if f"{own}/__init__.py".lstrip("/") not in self.paths else []
        roots += sorted(self.python_roots, key=lambda root: not _inside(source, root))
        for root in roots:
            targets = self._python_module(root, parts, imported.names)
            if targets:
                return targets
        return []

    def _python_module(self, root: str, parts: list[str], names: list[str]) -> list[str]:
        base = join_path(root, *parts)
        targets = [
            path
            for name in names
            for path in (join_path(base, f"{name}.py"), join_path(base, name, "__init__.py"))
            if path in self.paths
        ]
        itself = [
            path
            for path in (f"{base}.py", join_path(base, "__init__.py"), f"{base}.pyi")
            if path in self.paths
        ]
        if targets and len(targets) >= len(names):
            return targets
        return targets + itself[:1]

    # JavaScript and TypeScript.

    def _script(self, source: str, imported: ImportFact) -> list[str]:
        module = imported.module.partition("?")[0]
        if module.startswith("."):
            return self._script_file(join_path(posixpath.dirname(source), module))
        for prefix, bases in self.manifests.script_aliases:
            if module == prefix.rstrip("/") or (prefix[-1:] in ("", "/") and module.startswith(prefix)):
                for base in bases:
                    targets = self._script_file(join_path(base, module[len(prefix) :]))
                    if targets:
                        return targets
        package, _, inside = module.partition("/")
        if module.startswith("@"):
            second, _, inside = inside.partition("/")
            package = f"{package}/{second}"
        folder = self.manifests.packages.get(package)
        if folder is None:
            return []
        alias_targets = (
            [inside, f"src/{inside}"]
            if inside
            else [self.manifests.package_main.get(package, ""), "src/index", "index"]
        )
        for target in filter(None, alias_targets):
            targets = self._script_file(join_path(folder, target))
            if targets:
                return targets
        return []

    def _script_file(self, base: str) -> list[str]:
        # A file written in TypeScript is imported by the name it is compiled to.
        stem = re.sub(r"\.[cm]?js$", "", base)
        candidates = [base, *(base + suffix for suffix in SCRIPT_SUFFIXES)]
        candidates += [stem + suffix for suffix in (".ts", ".tsx", ".mts", ".cts")] if stem != base else []
        candidates += [join_path(base, f"index{suffix}") for suffix in SCRIPT_SUFFIXES]
        return next(([path] for path in candidates if path in self.paths), [])

    # Go: an import is a package, a package is a folder.

    def _go(self, source: str, imported: ImportFact) -> list[str]:
        for module, folder in self.manifests.go_modules:
            if imported.module == module or imported.module.startswith(f"{module}/"):
                package = join_path(folder, imported.module[len(module) + 1 :])
                files = self.folders.get(package, ())
                return [path for path in files if path.endswith(".go") and not path.endswith("_test.go")]
        return []

    # Rust.

    def _rust(self, source: str, imported: ImportFact) -> list[str]:
        folder, name = posixpath.split(source)
        own = (
            folder if name in ("mod.rs", "lib.rs", "main.rs") else join_path(folder, name.removesuffix(".rs"))
        )
        parts = imported.module.removeprefix("::").split("::")
        if imported.kind == "mod":
            return self._rust_module(own, parts) or self._rust_module(folder, parts)
        first = parts[0]
        if first == "crate":
            return self._rust_module(self._crate_source(source), parts[1:])
        if first in ("self", "super"):
            base = own
            while parts and parts[0] in ("self", "super"):
                base = posixpath.dirname(base) if parts[0] == "super" else base
                parts = parts[1:]
            return self._rust_module(base, parts)
        crate = self.manifests.crates.get(first)
        if crate is not None:
            return self._rust_module(crate, parts[1:])
        return self._rust_module(own, parts, exact=True)

    def _rust_module(self, base: str, parts: list[str], *, exact: bool = False) -> list[str]:
        """Return the file of the longest prefix of `parts` that is a module below `base`, else that of `base`."""
        for length in range(len(parts), 0, -1):
            module = join_path(base, *parts[:length])
            for path in (f"{module}.rs", f"{module}/mod.rs"):
                if path in self.paths:
                    return [path]
        if exact:
            return []
        candidates = (
            join_path(base, "lib.rs"),
            join_path(base, "main.rs"),
            join_path(base, "mod.rs"),
            f"{base}.rs",
        )
        return next(([path] for path in candidates if path in self.paths), [])

    def _crate_source(self, source: str) -> str:
        folder = posixpath.dirname(source)
        while folder and join_path(folder, "Cargo.toml") not in self.paths:
            folder = posixpath.dirname(folder)
        inside = join_path(folder, "src")
        return inside if _inside(source, inside) else posixpath.dirname(source)

    # Java, Kotlin, Scala: a package is a folder path below some source root.

    def _jvm_packages(self) -> dict[str, list[str]]:
        packages: dict[str, list[str]] = defaultdict(list)
        for folder, files in self.folders.items():
            if any(path.endswith(JVM_SUFFIXES) for path in files):
                parts = folder.split("/")
                # Every suffix of the folder may be the package; the source root is not known.
                for start in range(max(len(parts) - 8, 0), len(parts)):
                    packages[".".join(parts[start:])].append(folder)
        return packages

    def _jvm(self, source: str, imported: ImportFact) -> list[str]:
        wildcard = imported.module.endswith(".*")
        parts = imported.module.removesuffix(".*").split(".")
        if wildcard and imported.kind != "import_static" and ".".join(parts) in self.jvm_packages:
            return self._jvm_files(".".join(parts), None)
        # Names after the class (members, nested classes) are dropped until a file is found.
        names = [[*parts, name] for name in imported.names] or [parts]
        targets: list[str] = []
        for name in names:
            for length in range(len(name), 1, -1):
                package, simple = ".".join(name[: length - 1]), name[length - 1]
                files = self._jvm_files(package, simple)
                if files:
                    targets += files
                    break
        return targets

    def _jvm_files(self, package: str, simple: str | None) -> list[str]:
        folders = self.jvm_packages.get(package, ())
        if simple is None:
            return [p for folder in folders for p in self.folders[folder] if p.endswith(JVM_SUFFIXES)]
        if not folders:
            return []
        names = [f"{simple}{suffix}" for suffix in JVM_SUFFIXES]
        return [
            path for folder in folders for name in names if (path := join_path(folder, name)) in self.paths
        ][:1]

    # C and C++: relative to the file, then any unique path of the repository with this ending.

    def _include(self, source: str, imported: ImportFact) -> list[str]:
        beside = join_path(posixpath.dirname(source), imported.module)
        if imported.kind == "include" and beside in self.paths:
            return [beside]
        candidates = self.by_name.get(posixpath.basename(imported.module), ())
        ending = f"/{imported.module.lstrip('./')}"
        matching = [path for path in candidates if f"/{path}".endswith(ending)]
        if len(matching) > 1:
            nearest = max(len(posixpath.commonpath([path, source])) for path in matching)
            matching = [p for p in matching if len(posixpath.commonpath([p, source])) == nearest]
        return matching if len(matching) == 1 else []

    # Other languages: a short rule each.

    def _ruby(self, source: str, imported: ImportFact) -> list[str]:
        name = imported.module.removesuffix(".rb") + ".rb"
        if imported.kind == "require_relative" or imported.module.startswith("."):
            return self._existing(join_path(posixpath.dirname(source), name))
        return self._ending(name, ("lib", "app", "spec", "test"))

    def _php(self, source: str, imported: ImportFact) -> list[str]:
        if imported.kind == "require":
            return self._existing(join_path(posixpath.dirname(source), imported.module), imported.module)
        for prefix, folder in self.manifests.php_namespaces:
            if imported.module.startswith(prefix):
                inside = imported.module[len(prefix) :].replace("\\", "/")
                targets = self._existing(join_path(folder, f"{inside}.php"))
                if targets:
                    return targets
        return []

    def _elixir(self, source: str, imported: ImportFact) -> list[str]:
        parts = [
            re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", p).lower()
            for p in imported.module.split(".")
        ]
        return self._ending("/".join(parts) + ".ex", ("lib",))

    def _shell(self, source: str, imported: ImportFact) -> list[str]:
        if "$" in imported.module:
            after_variable = imported.module.rpartition("$")[2].partition("/")[2]
            return self._ending(after_variable.strip("\"'"), ())
        return self._existing(join_path(posixpath.dirname(source), imported.module), imported.module)

    def _existing(self, *candidates: str) -> list[str]:
        return next(([path] for path in candidates if path in self.paths), [])

    def _ending(self, ending: str, roots: tuple[str, ...]) -> list[str]:
        """Return the unique path that is `ending` below the top or below a folder named in `roots` (empty: any)."""
        matching = [
            path
            for path in self.by_name.get(posixpath.basename(ending), ())
            if f"/{path}".endswith(f"/{ending}")
        ]
        if roots:
            rooted = [
                p for p in matching if posixpath.basename(p[: -len(ending)].rstrip("/")) in (*roots, "")
            ]
            matching = rooted or matching
        return matching if len(matching) == 1 else []


READERS: dict[str, Callable[[Resolver, str, ImportFact], list[str]]] = {
    "Python": Resolver._python,
    **dict.fromkeys(("JavaScript", "TypeScript", "TSX"), Resolver._script),
    "Go": Resolver._go,
    "Rust": Resolver._rust,
    **dict.fromkeys(("Java", "Kotlin", "Scala"), Resolver._jvm),
    **dict.fromkeys(("C", "C++"), Resolver._include),
    "Ruby": Resolver._ruby,
    "PHP": Resolver._php,
    "Elixir": Resolver._elixir,
    "Shell": Resolver._shell,
}


# Imports of these languages do not depend on the importing file.
ABSOLUTE = frozenset({"Java", "Kotlin", "Scala", "Go", "Elixir"})


def _inside(path: str, folder: str) -> bool:
    return not folder or path.startswith(f"{folder}/")
