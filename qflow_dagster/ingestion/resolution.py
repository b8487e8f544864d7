"""Resolution of imports to files of the repository, from their text, all paths, and what files declare.

Belongs here: the module systems of languages, as far as paths, manifests and declarations show. Imports from
outside the repository (packages, system headers) resolve to nothing. Does not belong here:
reading imports (``extraction.imports``). No code is executed and no file system is read.

A `Resolver` is built once per snapshot. Where a package of several files is imported (Go, wildcard
imports of the JVM), each of its files is a target, up to `MAX_TARGETS`.
"""

import posixpath
import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from qflow_dagster.ingestion.declarations import Declarations, FileDeclarations, nearest
from qflow_dagster.ingestion.facts import ImportFact
from qflow_dagster.ingestion.module_manifests import ModuleManifests, join_path
from qflow_dagster.ingestion.rust_modules import RustModules

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

# Endings of templates from which a configuration step (Autoconf, CMake) makes a header.
TEMPLATES = (".in", ".cmake", ".cmake.in")
# Shell expressions for the folder of the script itself.
OWN_FOLDER = re.compile(r"dirname|BASH_SOURCE|\$0|\$\{0")
# Folders of compiled scripts.
# What the router of React makes of a module for its types.
_GENERATED_TYPES = re.compile(r"/\+types(?=/[^/]+$)")
_BUILT = re.compile(r"^(?:\./)?(?:dist|lib|build|out|esm|cjs)/(?:(?:esm|cjs|es|types)/)?")


class Resolver:
    """Resolves the imports of one snapshot; `manifests` is content by path, for paths that are manifests."""

    def __init__(
        self,
        paths: Collection[str],
        manifests: Mapping[str, bytes],
        declared: Iterable[FileDeclarations] = (),
    ) -> None:
        self.paths = frozenset(paths)
        self.folders: dict[str, list[str]] = defaultdict(list)
        self.by_name: dict[str, list[str]] = defaultdict(list)
        for path in sorted(self.paths):
            folder, name = posixpath.split(path)
            self.folders[folder].append(path)
            self.by_name[name].append(path)
        self.python_roots = self._python_roots()
        self.manifests = ModuleManifests(manifests)
        self.declarations = Declarations(declared)
        self.rust = RustModules(self.paths, self.manifests, self.declarations)
        self._cache: dict[tuple[Any, ...], Targets] = {}

    def resolve(self, source: str, language: str, imported: ImportFact) -> Targets:
        """Return the other files that an import in `source` refers to; empty if they are external or unknown."""
        return tuple(path for path in self.targets(source, language, imported) if path != source)

    def targets(self, source: str, language: str, imported: ImportFact) -> Targets:
        """Return what `resolve` does, with `source` itself where it declares what is imported."""
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
        return self._cache[key]

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
            beside = join_path(posixpath.dirname(source), module)
            return self._script_file(beside) or self._script_file(_GENERATED_TYPES.sub("", beside))
        for prefix, bases in self.manifests.aliases_for(posixpath.dirname(source)):
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
        exported = []
        for subpath, target in self.manifests.package_exports[package]:
            prefix, star, suffix = subpath.partition("*")
            if star and len(inside) >= len(subpath) and inside.startswith(prefix) and inside.endswith(suffix):
                exported.append(target.replace("*", inside[len(prefix) : len(inside) - len(suffix)]))
            elif subpath == inside:
                exported.append(target)
        for target in [*exported, inside or "index", f"src/{inside or 'index'}"]:
            # What is built is not in the repository; its source lies beside, by the same name.
            for file in (target, _BUILT.sub("src/", target)):
                targets = self._script_file(join_path(folder, file))
                if targets:
                    return targets
        return []

    def _script_file(self, base: str) -> list[str]:
        # A file written in TypeScript is imported by the name it is compiled to.
        stem = re.sub(r"(?:\.d)?\.[cm]?[jt]s$", "", base)
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

    def _rust(self, source: str, imported: ImportFact) -> list[str]:
        return self.rust.resolve(source, imported)

    # Java, Kotlin, Scala, C#, PHP, Elixir: by what files declare.

    def _jvm(self, source: str, imported: ImportFact) -> list[str]:
        wildcard = imported.module.endswith(".*")
        parts = imported.module.removesuffix(".*").split(".")
        package = self.declarations.in_namespace("Java", ".".join(parts))
        if wildcard and imported.kind != "import_static" and package:
            return package
        targets: list[str] = []
        for name in [[*parts, name] for name in imported.names] or [parts]:
            targets += self._declared("Java", name, source) or self._only_file("Java", name)
        return targets

    def _csharp(self, source: str, imported: ImportFact) -> list[str]:
        return self.declarations.in_namespace("C#", imported.module) or self._declared(
            "C#", imported.module.split("."), source
        )

    def _php(self, source: str, imported: ImportFact) -> list[str]:
        if imported.kind == "require":
            return self._existing(join_path(posixpath.dirname(source), imported.module), imported.module)
        parts = imported.module.split("\\")
        name = ".".join(parts)
        return (
            self.declarations.of_name("PHP", name, source)
            or self.declarations.in_namespace("PHP", name)
            or self._named_file("PHP", parts)
        )

    def _elixir(self, source: str, imported: ImportFact) -> list[str]:
        return self.declarations.of_name("Elixir", imported.module, source)

    def _declared(self, language: str, parts: list[str], source: str) -> list[str]:
        """Return the file of the longest prefix that is declared; the rest are members and nested types."""
        for length in range(len(parts), 0, -1):
            targets = self.declarations.of_name(language, ".".join(parts[:length]), source)
            if targets:
                return targets
        return []

    def _only_file(self, language: str, parts: list[str]) -> list[str]:
        """Return the file of the package with that name, or its only one: aliases are not recorded."""
        files = self.declarations.in_namespace(language, ".".join(parts[:-1]))
        return self._named_file(language, parts) or (files if len(files) == 1 else [])

    def _named_file(self, language: str, parts: list[str]) -> list[str]:
        """Return the file of the package with that name.

        To Java, the functions of a Kotlin file are in a class named after it.
        """
        files = self.declarations.in_namespace(language, ".".join(parts[:-1]))
        stems = (parts[-1], parts[-1].removesuffix("Kt"))
        return [path for path in files if posixpath.basename(path).partition(".")[0] in stems]

    # Swift: a module is a target of the package, by default a folder of its name in Sources or Tests.

    def _swift(self, source: str, imported: ImportFact) -> list[str]:
        module = imported.module.partition(".")[0]
        located = self.manifests.swift_targets.get(module, ())
        inside = [
            path
            for folder, files in self.folders.items()
            if any(_inside(f"{folder}/", target) for target in located)
            for path in files
            if path.endswith(".swift")
        ]
        return inside or [
            path
            for folder, files in self.folders.items()
            if f"/{folder}/".rpartition(f"/{module}/")[0].rpartition("/")[2] in ("Sources", "Tests", "Source")
            for path in files
            if path.endswith(".swift")
        ]

    # C and C++: relative to the file, then any unique path of the repository with this ending, then its template.

    def _include(self, source: str, imported: ImportFact) -> list[str]:
        beside = join_path(posixpath.dirname(source), imported.module)
        if imported.kind == "include" and beside in self.paths:
            return [beside]
        for suffix in ("", *TEMPLATES):
            candidates = self.by_name.get(posixpath.basename(imported.module) + suffix, ())
            ending = f"/{imported.module.lstrip('./')}{suffix}"
            matching = nearest([path for path in candidates if f"/{path}".endswith(ending)], source)
            if matching:
                return matching if len(matching) == 1 else []
        return []

    # Other languages: a short rule each.

    def _ruby(self, source: str, imported: ImportFact) -> list[str]:
        name = imported.module.removesuffix(".rb") + ".rb"
        if imported.kind == "require_relative" or imported.module.startswith("."):
            return self._existing(join_path(posixpath.dirname(source), name))
        return self._ending(name, ("lib", "app", "spec", "test"))

    def _shell(self, source: str, imported: ImportFact) -> list[str]:
        if "$" in imported.module:
            after_variable = re.split(r"[\"'`)}]|\$\w+", imported.module)[-1].lstrip("/")
            beside = join_path(posixpath.dirname(source), after_variable)
            if after_variable and OWN_FOLDER.search(imported.module) and beside in self.paths:
                return [beside]
            # Where nothing ends so, it is a path after installation.
            name = posixpath.basename(after_variable)
            installed = self._existing(join_path(posixpath.dirname(source), name)) or self._ending(name, ())
            return self._ending(after_variable.lstrip("./"), ()) or installed if name else []
        beside = join_path(posixpath.dirname(source), imported.module)
        # The folder in which a script runs, and `PATH`, are not in the repository.
        return self._existing(beside, imported.module) or self._ending(imported.module.lstrip("./"), ())

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
    "C#": Resolver._csharp,
    "Swift": Resolver._swift,
    "Shell": Resolver._shell,
}


# Imports of these languages do not depend on the importing file.
ABSOLUTE = frozenset({"Go", "Swift"})


def _inside(path: str, folder: str) -> bool:
    return not folder or path.startswith(f"{folder}/")
