"""How many imports of a repository's own modules resolve: `python -m benchmarks.import_resolution REPOSITORY ...`.

An import is counted as one of an own module by its text and by what is in the repository (a relative path, a
package, namespace or module with that beginning), by a rule other than the one that resolves it. "Named" are those
of which a target has the imported name in its path or text: the others may have resolved to the wrong file.
Vendored files are left out. Nothing is stored: HEAD is read and resolved in this process. `--show` prints imports
that do not resolve or are not named.
"""

import argparse
import posixpath
import re
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.table import Table

from qflow_dagster.ingestion import git, languages, module_manifests, trees
from qflow_dagster.ingestion.classify import classify
from qflow_dagster.ingestion.declarations import FAMILIES, FileDeclarations
from qflow_dagster.ingestion.extraction import extract
from qflow_dagster.ingestion.extraction.grammars import GRAMMARS
from qflow_dagster.ingestion.facts import BlobFacts, ImportFact
from qflow_dagster.ingestion.resolution import READERS, TEMPLATES, Resolver


def facts_of(repository: Path) -> tuple[dict[str, BlobFacts], dict[str, bytes]]:
    """Return the facts of each file of HEAD whose language has imports, and all contents, by path."""
    files = [e for e in git.list_tree(repository, "HEAD") if e.mode.startswith("100") and e.size is not None]
    contents = trees.read_texts(repository, [(e.path, e.oid) for e in files])
    facts = {}
    for path, data in contents.items():
        language = languages.detect(path, data[: languages.HEAD_BYTES])
        if language in GRAMMARS and language in READERS:
            facts[path] = extract(data, language)
    return facts, contents


def declared(path: str, facts: BlobFacts) -> FileDeclarations:
    """Return what a file declares, as `store.declarations` reads it."""
    symbols = facts.symbols
    names = [
        # As written, with scopes: what follows the name of the module around it.
        s.qualified_name.removeprefix(f"{symbols[s.parent_seq or 0].qualified_name}.")
        for s in symbols[1:]
        if s.kind != "module" and symbols[s.parent_seq or 0].kind == "module"
    ]
    modules = [s.qualified_name for s in symbols[1:] if s.kind == "module"]
    return FileDeclarations(path, facts.language, facts.namespaces, [*names, *facts.constants], modules)


class Own:
    """Whether an import is of a module of the repository."""

    def __init__(self, resolver: Resolver, facts: dict[str, BlobFacts]) -> None:
        self.resolver = resolver
        files = [declared(path, file) for path, file in facts.items()]
        self.namespaces: dict[str, set[str]] = defaultdict(set)
        for file in files:
            for name in file.modules if file.language == "Elixir" else file.namespaces:
                parts = name.replace("\\", ".").split(".")
                known = self.namespaces[FAMILIES.get(file.language, "")]
                known |= {".".join(parts[:n]) for n in range(2, len(parts) + 1)} | {name.replace("\\", ".")}
        folders = self.resolver.folders
        self.tops = {part for folder in folders for part in folder.split("/")[:1]}
        self.tops |= {folder.split("/")[1] for folder in folders if folder.startswith(("src/", "lib/"))}
        self.tops |= {path.removesuffix(".py") for path in folders.get("", ())}
        # What other names are below is a namespace; where no file declares it, a package of others.
        modules = [fact.module for file in facts.values() if file.language == "PHP" for fact in file.imports]
        self.others = {module.rpartition("\\")[0].replace("\\", ".") for module in modules}
        self.others -= self.namespaces["PHP"]
        swift = [path.split("/") for path in resolver.paths if path.endswith(".swift")]
        self.swift_folders = {
            parts[i + 1] for parts in swift for i in range(len(parts) - 2) if parts[i] in ("Sources", "Tests")
        }
        self.rules: dict[str, Callable[[ImportFact], bool]] = {
            "Python": lambda fact: bool(fact.level) or fact.module.split(".")[0] in self.tops,
            "Go": lambda fact: any(
                fact.module == m or fact.module.startswith(f"{m}/") for m, _ in resolver.manifests.go_modules
            ),
            "Rust": lambda fact: (
                fact.kind in ("mod", "mod_path")
                or fact.module.removeprefix("::").split("::")[0]
                in {"crate", "self", "super", *resolver.manifests.crates}
            ),
            **dict.fromkeys(("JavaScript", "TypeScript", "TSX"), self._script),
            # A header that is neither there nor made from a template that is there belongs to others.
            **dict.fromkeys(("C", "C++"), lambda fact: fact.kind == "include" and self._file(fact.module)),
            "Ruby": lambda fact: fact.kind == "require_relative" or fact.module.split("/")[0] in self.tops,
            **dict.fromkeys(("Java", "Kotlin", "Scala"), lambda fact: self._in("JVM", fact.module)),
            "C#": lambda fact: fact.module in self.namespaces["C#"] and fact.module.split(".")[0] != "System",
            "PHP": lambda fact: fact.kind != "require" and self._in("PHP", fact.module.replace("\\", ".")),
            "Swift": lambda fact: (
                fact.module.partition(".")[0] in {*resolver.manifests.swift_targets, *self.swift_folders}
            ),
            "Shell": lambda fact: self._file(fact.module),
            "Elixir": lambda fact: ".".join(fact.module.split(".")[:2]) in self.namespaces["Elixir"],
        }

    def __call__(self, language: str, fact: ImportFact) -> bool:
        """Return whether the import is of a module of the repository; false in other languages."""
        rule = self.rules.get(language)
        return rule is not None and rule(fact)

    def _in(self, family: str, module: str) -> bool:
        """Whether what is before the last name, or before the first that looks like a type, is declared."""
        parts = module.removesuffix(".*").split(".")
        package = [part for part in parts if part[:1].islower()]
        names = {".".join(parts[:-1]), ".".join(package)} if family == "JVM" else {".".join(parts[:-1])}
        if family == "PHP" and ".".join(parts) in self.others:
            return False
        return bool(names & self.namespaces[family])

    def _file(self, name: str) -> bool:
        """Whether the repository has a file of that name, or its template, in any folder."""
        last = posixpath.basename(name)
        return "$" not in last and any(last + ending in self.resolver.by_name for ending in ("", *TEMPLATES))

    def _script(self, fact: ImportFact) -> bool:
        if fact.module.startswith("."):
            return True
        parts = fact.module.split("/")
        package = "/".join(parts[: 2 if fact.module.startswith("@") else 1])
        aliases = [prefix for each in self.resolver.manifests.script_aliases.values() for prefix, _ in each]
        return package in self.resolver.manifests.packages or any(
            prefix and fact.module.startswith(prefix) for prefix in aliases
        )


def is_named(fact: ImportFact, targets: tuple[str, ...], contents: dict[str, bytes]) -> bool:
    """Whether a target has what is imported, the last name of the module or one of the names, in its path or text."""
    module = re.sub(
        r"\.\*$|\.\w+$" if fact.kind.startswith(("include", "mod_path")) else r"\.\*$", "", fact.module
    )
    last = [part for part in re.split(r"\W+", module) if part not in ("", "super", "self", "crate")][-1:]
    words = {name.rpartition(" ")[2] for name in (*fact.names, *last)}
    return not words or any(
        words & set(re.split(r"\W+", path)) or any(word.encode() in contents.get(path, b"") for word in words)
        for path in targets
    )


def main() -> None:
    """Print a row per repository and language."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("repositories", nargs="+", type=Path)
    parser.add_argument("--show", type=int, default=0, help="print so many unresolved imports per language")
    options = parser.parse_args()
    table = Table("repository", "language", "imports", "of own modules", "resolved", "%", "named %")
    for repository in options.repositories:
        facts, contents = facts_of(repository)
        files = [declared(path, file) for path, file in facts.items()]
        paths = git.list_tree(repository, "HEAD")
        manifests = trees.read_texts(
            repository, [(e.path, e.oid) for e in paths if module_manifests.is_manifest(e.path)]
        )
        resolver = Resolver([entry.path for entry in paths], manifests, files)
        own = Own(resolver, facts)
        total: Counter[str] = Counter()
        owned: Counter[str] = Counter()
        missed: dict[str, list[str]] = defaultdict(list)
        unnamed: dict[str, list[str]] = defaultdict(list)
        for path, file in facts.items():
            for fact in () if classify(path).vendored else file.imports:
                total[file.language] += 1
                if own(file.language, fact):
                    owned[file.language] += 1
                    targets = resolver.targets(path, file.language, fact)
                    if not targets or not is_named(fact, targets, contents):
                        kind = unnamed if targets else missed
                        kind[file.language].append(f"{path}:{fact.line} {fact.module} {fact.names} {targets}")
        folder = repository.parent if repository.name == ".git" else repository
        name = folder.parent.name if folder.name == "repo" else folder.name
        for language, count in owned.most_common():
            found = count - len(missed[language])
            named = found - len(unnamed[language])
            shares = (f"{100 * found / count:.1f}", f"{100 * named / count:.1f}")
            row = (name, language, total[language], count, found, *shares)
            table.add_row(*map(str, row))
            for lines in (missed[language], unnamed[language]):
                for line in lines[:: max(len(lines) // max(options.show, 1), 1)][: options.show]:
                    print(language, line)
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
