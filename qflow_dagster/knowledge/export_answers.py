"""What a file of JavaScript or TypeScript exports, with where each name is declared, through others that export it.

Does not belong here: how exports are written (`exports`), what a file declares (`member_answers`).
"""

from collections.abc import Collection
from typing import NamedTuple

from qflow_dagster.knowledge import exports
from qflow_dagster.knowledge.declarations import Declarations, bound
from qflow_dagster.knowledge.evidence import Evidence, QuestionContext, count
from qflow_dagster.knowledge.exports import ALL, DEFAULT, MODULE, Export

MAX_DEPTH = 8


class _Place(NamedTuple):
    """Where what is exported is declared: a file and line, or a module that is not of the repository."""

    path: str
    line: int = 0

    def __str__(self) -> str:
        return f"{self.path}:{self.line}" if self.line else f"'{self.path}'"


def exported(context: QuestionContext, path: str) -> tuple[str, list[Evidence]]:
    """Name what a file exports, with where it is declared; no evidence if it exports nothing.

    Nothing is said of a file of another language.
    """
    if not path.endswith(exports.ENDINGS):
        return "", []
    files = _Files(context)
    items: list[str] = []
    evidence: list[Evidence] = []
    total = 0
    own = {export.name for export in files.exports(path)}
    for export in files.exports(path):
        evidence.append(context.at(path, export.line, f"exports {export.name}"))
        if export.name == ALL:
            # What a file exports itself has precedence.
            names = {name: place for name, place in files.all_of(path, export).items() if name not in own}
            items.append(
                f"all of {export.source or export.local} (line {export.line}{': ' if names else ''}{_listed(names)})"
            )
            total += len(names)
            evidence += [
                context.at(place.path, place.line, name) for name, place in names.items() if place.line
            ]
            continue
        place = files.declared(path, export)
        total += 1
        renamed = f", {export.local}" if export.local not in ("", ALL, export.name) else ""
        elsewhere = f", from {place}" if place.path != path else ""
        line = place.line if place.path == path else export.line
        items.append(f"{export.name} (line {line}{renamed}{elsewhere})")
        if place.line:
            evidence.append(context.at(place.path, place.line, export.local or export.name))
    if not items:
        return f"{path} exports nothing", []
    return f"{path} exports {count(total, 'name')}: {', '.join(items)}", list(dict.fromkeys(evidence))


def _listed(names: dict[str, _Place]) -> str:
    return ", ".join(f"{name} from {place}" for name, place in names.items())


class _Files:
    """Reads the exports of files, and follows them to where what they name is declared."""

    def __init__(self, context: QuestionContext) -> None:
        self._context = context
        self._declarations = Declarations(context.connection, context.snapshot)
        self._exports: dict[str, list[Export]] = {}
        self._all: dict[tuple[str, str], dict[str, _Place]] = {}

    def exports(self, path: str) -> list[Export]:
        """Return what a file exports."""
        self._load([path])
        return self._exports[path]

    def all_of(self, path: str, export: Export, depth: int = 0) -> dict[str, _Place]:
        """Return the names that a file exports because it exports all of another one, but for its default."""
        key = path, export.source or export.local
        if key in self._all:
            return self._all[key]
        # Files that export all of each other end here.
        names = self._all[key] = {}
        targets = self._targets(path, export.source)
        if not targets:
            self._context.limit(f"what {key[1]} has is not known ({path}:{export.line})")
        for target in targets if depth < MAX_DEPTH else ():
            for each in self.exports(target):
                if each.name == ALL:
                    names |= self.all_of(target, each, depth + 1)
                elif each.name != DEFAULT:
                    names[each.name] = self.declared(target, each, depth + 1)
        return names

    def declared(self, path: str, export: Export, depth: int = 0) -> _Place:
        """Return where what a file exports by a name is declared."""
        here = _Place(path, export.line)
        if export.source:
            return self._of_module(path, export.source, export.local, here, depth)
        if not export.local:
            return here
        for symbol in self._declarations.definitions(export.local):
            if symbol.path == path and not symbol.owner:
                return _Place(path, symbol.line)
        for imported in self._declarations.imports(path):
            for name, original in bound(imported, "TypeScript"):
                if name == export.local and imported.kind != "export":
                    return self._of_module(path, imported.module, original or ALL, here, depth)
        return here

    def _of_module(self, path: str, module: str, name: str, here: _Place, depth: int) -> _Place:
        """Return where what a module exports by a name is declared; the module, if it is not of the repository."""
        targets = self._targets(path, module)
        if not targets:
            return _Place(module)
        for target in targets if depth < MAX_DEPTH and name != ALL else ():
            for each in self.exports(target):
                if each.name == name or (name == DEFAULT and each.name == MODULE):
                    return self.declared(target, each, depth + 1)
                if each.name == ALL and (place := self.all_of(target, each, depth + 1).get(name)):
                    return place
        return _Place(targets[0], 1) if name in (ALL, DEFAULT) else here

    def _load(self, paths: Collection[str]) -> None:
        """Read the exports of several files, and of what they export from, at once."""
        missing = [path for path in paths if path not in self._exports]
        for path, content in self._context.texts(missing).items():
            self._exports[path] = exports.read(path, content) if path.endswith(exports.ENDINGS) else []
        self._exports |= {path: [] for path in missing if path not in self._exports}
        self._declarations.load_files(missing)
        self._declarations.load_names({each.local for path in missing for each in self._exports[path]})
        sources = {(path, each.source) for path in missing for each in self._exports[path] if each.source}
        if sources:
            self._load({target for path, source in sources for target in self._targets(path, source)})

    def _targets(self, path: str, module: str) -> list[str]:
        """Return the files that a module is which a file imports, or exports from."""
        imports = self._declarations.imports(path)
        return list(
            dict.fromkeys(target for each in imports if each.module == module for target in each.targets)
        )
