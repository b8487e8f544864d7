"""Answers on configuration and dependencies: environment variables with their defaults, packages of manifests.

Belongs here: what is read from the environment, by the calls of each language that do it, and what manifests require:
packages, and versions of languages and tools. Does not belong here: the formats of manifests (`manifests`,
`runtime_versions`), other facts of them (`project_answers`), a single name in the code (`code_answers`).
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import NamedTuple

from qflow_dagster.knowledge import (
    environment_names,
    git_facts,
    graph,
    lookups,
    manifests,
    package_names,
    runtime_versions,
)
from qflow_dagster.knowledge.environment_names import Name
from qflow_dagster.knowledge.evidence import (
    MAX_ROWS,
    Evidence,
    QuestionContext,
    UnansweredError,
    count,
    counted,
    is_in,
    listed,
)
from qflow_dagster.knowledge.project_answers import line_of

# Of variables, and of the packages of a manifest, this many are named.
MAX_NAMES = 40
# So many manifests are named.
MAX_MANIFESTS = 3
# The parts of a manifest that require packages, in the formats that have such parts.
_REQUIRING = re.compile(
    r"^\[[^\]\n]{0,99}dependenc(?:ies|y-groups)[^\]\n]{0,99}\](?:\r?\n(?!\[)[^\n]*+){0,2000}+|"
    r"^dependencies\s{0,9}=\s{0,9}\[(?:\r?\n(?!\])[^\n]*+){0,2000}+|"
    r"^install_requires\b[^\n]*+(?:\r?\n[ \t][^\n]*+){0,2000}+|"
    r"\"(?:\w{0,20}dependencies|require(?:-dev)?)\"\s{0,9}:\s{0,9}\{[^{}]*+|"
    r"\.add_\w{0,20}dependency\b[^\n]*+",
    re.MULTILINE | re.IGNORECASE,
)
# Of files that read variables, the text of so many is looked at for names in variables.
MAX_FILES = 200
# The call that reads a variable, in the basic syntax of git grep and as what follows it.
_READS = (
    r"os\.environ|os\.getenv|getenv|Getenv|LookupEnv|env::var|env::var_os|env!|option_env!|process\.env|"
    r"import\.meta\.env|System\.getProperty|System\.getenv|processInfo\.environment|"
    r"ENV\[|ENV\.fetch|GetEnvironmentVariable|_ENV\[|envvar *="
)
_CALL = re.compile(
    rf"(?:{_READS})(?:\.get|\.setdefault|\.fetch|_os)?(?:\?)?\s?(?P<opening>[.(\[]?[(\[]?\s?&?)"
)
_VARIABLE = re.compile(r"[A-Za-z_][\w.]{1,80}")
_COMMENT = re.compile(r"//|#(?!\[|define|if)|/?\*|--|;")
_DEFAULT = re.compile(
    r"^[\"']?\s?(?:,\s?(?P<argument>[^,()]{1,60})|[\])]*\s?(?:\|\||\?\?|\bor\b)\s?(?P<otherwise>[^\s;,)]{1,60})"
    r"|[\])]*\.unwrap_or(?:_else)?\((?P<rust>[^()]{1,60}))"
)
_WITH_DOTS = re.compile(r"process\.env|import\.meta\.env")
# Objects and methods, not names of variables.
_NO_VARIABLES = frozenset({"get", "copy", "items", "update", "pop", "keys", "values", "setdefault"})


def configuration(context: QuestionContext) -> tuple[str, list[Evidence]]:
    """List the environment variables that the code, or a file or folder, reads, where, and with which default.

    Raises:
        UnansweredError: None is read by a call that is understood.
    """
    place = _place(context)
    lines = git_facts.lines_matching(context.objects(), context.snapshot.commit_oid, _READS)
    paths = [row.path for row in lines if is_in(row.path, place)]
    code = lookups.code_paths(context.connection, context.snapshot, paths)
    # Scripts of build tools.
    unread = lookups.unread_paths(context.connection, context.snapshot, paths, own=True)
    code |= {path: (False, False, path) for path in unread}
    variables: dict[str, dict[git_facts.Line, str]] = {}
    composed: dict[str, git_facts.Line] = {}
    texts = context.texts(sorted(code)[:MAX_FILES])
    rows = [row for row in lines if row.path in code and not _COMMENT.match(row.text)]
    for row in sorted(rows, key=lambda row: code[row.path]):
        for name, rest in _names(row, texts.get(row.path, "")):
            if name.composed:
                composed.setdefault(name.words, row)
            variables.setdefault(name.words, {}).setdefault(row, default_of(rest))
    own = {
        name: program
        for name, reads in variables.items()
        if (program := {row: default for row, default in reads.items() if not code[row.path][0]})
    }
    shown = own or variables
    if not shown:
        who = f"nothing in {place}" if place else "no code"
        raise UnansweredError(f"{who} reads an environment variable by a call that is understood")
    items = [f"{name} ({_read_at(reads)})" for name, reads in shown.items()]
    context.limit(
        "what frameworks, wrappers and configuration files read was not looked for, only calls that read a variable"
    )
    if found := {name: row for name, row in composed.items() if name in shown}:
        items_of = listed([f"{name} ({row.path}:{row.line})" for name, row in found.items()])
        context.limit(
            f"each of these is composed, or what has the name, and may be several variables: {items_of}"
        )
    verb = "read" if own else "read, by tests alone"
    verb += f", in {place}" if place else ""
    more = f" and {len(items) - MAX_NAMES} more" if len(items) > MAX_NAMES else ""
    sentence = f"{count(len(shown), 'environment variable')} {verb}: {', '.join(items[:MAX_NAMES])}{more}"
    if own and len(own) < len(variables):
        sentence += f"; tests read {len(variables) - len(own):,} more"
    return sentence, [
        context.at(row.path, row.line, row.text)
        for reads in list(shown.values())[:MAX_NAMES]
        for row in list(reads)[:MAX_ROWS]
    ]


def _place(context: QuestionContext) -> str:
    """Return the file or folder that is asked about; '' if none is."""
    return (context.file() or context.folder() or "") if context.subject else ""


def _read_at(reads: Mapping[git_facts.Line, str]) -> str:
    """Say where a variable is read, each with its default."""
    first, *others = [
        f"{row.path}:{row.line}{f', default {default}' if default else ''}" for row, default in reads.items()
    ]
    return f"{first}; also {listed(others)}" if others else first


def _names(row: git_facts.Line, content: str) -> Iterator[tuple[Name, str]]:
    """Yield the names of the variables that a line reads, each with what follows it; one may be what has the name."""
    text = row.text[:1_000]
    for call in _CALL.finditer(text):
        if name := environment_names.read(text[call.end() :]):
            yield name, text[call.end() + name.end :]
        elif (match := _VARIABLE.match(text, call.end())) and match[0] not in _NO_VARIABLES:
            rest = text[match.end() :]
            if call["opening"].startswith("."):
                # "process.env.PORT", but not "reads os.environ. This is ...".
                if call["opening"] == "." and _WITH_DOTS.match(call[0]):
                    yield Name(match[0].partition(".")[0], False, 0), rest
            elif held := environment_names.assigned(content, row.line, match[0]):
                yield held[0], rest
            else:
                yield Name(match[0], True, 0), rest


def default_of(rest: str) -> str:
    """Return the default in what follows the name of a variable that is read; '' if there is none."""
    match = _DEFAULT.match(rest[:200])
    if match is None:
        return ""
    return next(value for value in match.groups() if value).strip()


# What reading a manifest raises that is not as its format says.
NOT_READ = (ValueError, TypeError, AttributeError, RecursionError)


class _Manifest(NamedTuple):
    """A manifest that was read, and what it requires, at run time before development."""

    path: str
    content: str
    requirements: list[manifests.Requirement]


def dependencies(context: QuestionContext) -> tuple[str, list[Evidence]]:
    """List the packages that the manifests require, those for development apart; name manifests that are not read.

    Of a package that is named, also the files that import it; of a language or runtime, the versions that are needed.
    """
    wanted = context.subject
    runtime = runtime_versions.runtime_of(wanted)
    needed, versions = _versions(context, runtime) if runtime or not wanted else ("", [])
    if runtime and needed:
        context.limit(
            "what continuous integration, containers and documents say of versions was not looked at"
        )
        return needed, versions
    found, unread = _read(context)
    if wanted:
        found = _requiring(found, wanted)
    parts, evidence = [], []
    # Few are named: first those that require something.
    for manifest in sorted(found, key=lambda each: not each.requirements):
        path = manifest.path
        if manifest.requirements:
            said, line = _required(manifest)
            if wanted:
                said += f" ({path}:{line}: {manifest.content.splitlines()[line - 1].strip()[:200]})"
            # Of a manifest that is named, each package; of another one, the first.
            lines = _lines(manifest) if len(parts) < MAX_MANIFESTS else [line]
            rows = manifest.content.splitlines()
            parts.append(said)
            evidence.append(context.at(path, line, said))
            evidence += [context.at(path, each, rows[each - 1]) for each in lines if each != line]
        elif "/" not in path and not wanted and path not in unread:
            parts.append(f"{path}: nothing")
            evidence.append(context.at(path, 1, "requires nothing"))
    if unread:
        context.limit(f"manifests that are not read, or not completely: {listed(unread)}")
    if not parts:
        if versions:
            return needed, versions
        name = context.subject or "dependencies"
        also = f"; not read, or not completely: {listed(unread)}" if unread else ""
        raise UnansweredError(f"no manifest that is understood names {name}{also}")
    sentence = listed(parts[:MAX_MANIFESTS], len(parts))
    if wanted:
        if not any(package_names.is_equal(package, wanted) for package in _packages(found)):
            sentence = f"no package is called {wanted}, but these have it in their names: {sentence}"
        said, importing = _importing(context, found)
        return f"{sentence}; {said}" if said else sentence, evidence + importing
    return f"{sentence}; {needed}" if needed else sentence, evidence + versions


def of_manifest(context: QuestionContext, path: str) -> tuple[str, list[Evidence]] | None:
    """List the packages that one manifest requires; None if the file is none.

    Raises:
        UnansweredError: It is a manifest of a kind that is not read.
    """
    name = path.rpartition("/")[2]
    if not re.search(f"(?i){manifests.MANIFESTS}", name):
        if re.search(f"(?i){manifests.OTHER_MANIFESTS}", name):
            raise UnansweredError(f"{path} is a manifest of a kind that is not read")
        return None
    read, unread = _read(context, path)
    manifest = next((each for each in read if each.path == path), None)
    if manifest is None:
        raise UnansweredError(f"{path} is not written as manifests of its kind are")
    if path in unread:
        context.limit(f"what {path} requires is not read completely")
    if adding := [each.path for each in read if each.path != path and _adds(each, path)]:
        context.limit(f"what {listed(adding)} adds to it is not listed")
    if not manifest.requirements:
        return f"{path} requires no packages", [context.at(path, 1, "requires nothing")]
    said, _ = _required(manifest)
    rows = manifest.content.splitlines()
    return f"{path} requires {said.removeprefix(f'{path}: ')}", [
        context.at(path, each, rows[each - 1]) for each in _lines(manifest)
    ]


def _adds(manifest: _Manifest, path: str) -> bool:
    """Return whether a file of properties of C# adds packages to a project below it."""
    folder, _, name = manifest.path.rpartition("/")
    projects = name.endswith(".props") and path.endswith(".csproj") and is_in(path, folder)
    return projects and bool(manifest.requirements)


def _required(manifest: _Manifest) -> tuple[str, int]:
    """Say what a manifest requires, at run time with versions, and for development; and the first line that does."""
    required = [str(entry) for entry in manifest.requirements if not entry.development]
    development = [str(entry._replace(constraint="")) for entry in manifest.requirements if entry.development]
    said = f"{manifest.path}: {', '.join(required[:MAX_NAMES]) or 'nothing at run time'}"
    said += f"; for development {', '.join(development[:MAX_NAMES])}" if development else ""
    more = max(len(required) - MAX_NAMES, 0) + max(len(development) - MAX_NAMES, 0)
    said += f" and {more} more" if more else ""
    return said, line_of_package(manifest.content, manifest.requirements[0].package)


def _lines(manifest: _Manifest) -> list[int]:
    """Return the lines of the packages that are named of a manifest, at run time before development, each once."""
    shown: list[str] = []
    for development in (False, True):
        kind = [entry.package for entry in manifest.requirements if entry.development == development]
        shown += kind[:MAX_NAMES]
    return list(dict.fromkeys(line_of_package(manifest.content, package) for package in shown))


def _versions(context: QuestionContext, runtime: str | None) -> tuple[str, list[Evidence]]:
    """Say which versions of a language or runtime are needed, and where that is said; of all that are, without one."""
    paths = lookups.named(context.connection, context.snapshot, runtime_versions.FILES)
    found = [
        (path, each)
        for path, content in context.texts(paths).items()
        for each in runtime_versions.read(path, content)
        if runtime in (None, each.runtime)
    ]
    if len(paths) == lookups.MAX_ROWS:
        context.limit(f"only the first {lookups.MAX_ROWS} manifests and build files were read for versions")
    items = [f"{each.words} ({path}:{each.line})" for path, each in found]
    return f"needs {listed(items)}" if items else "", [
        context.at(path, each.line, item)
        for (path, each), item in zip(found[: 2 * MAX_ROWS], items[: 2 * MAX_ROWS], strict=True)
    ]


def _read(context: QuestionContext, path: str = "") -> tuple[list[_Manifest], list[str]]:
    """Return the manifests, `path` among them, and the paths of those that are not read, or not completely."""
    paths = lookups.named(context.connection, context.snapshot, manifests.MANIFESTS)
    paths += [path] if path and path not in paths else []
    unread = lookups.named(context.connection, context.snapshot, manifests.OTHER_MANIFESTS)
    found = []
    others: dict[str, manifests.Definition] = {}
    texts = context.texts(paths)
    for path, content in texts.items():
        with suppress(*NOT_READ):
            others = manifests.shared(path, content) | others
    for path, content in texts.items():
        try:
            requirements = manifests.read(path, content, others)
        except NOT_READ:
            unread.append(path)
            continue
        found.append(_Manifest(path, content, requirements))
        if not manifests.is_complete(content, requirements):
            unread.append(path)
    return found, unread


def _packages(found: list[_Manifest]) -> dict[str, None]:
    """Return the packages that manifests require, each once."""
    return dict.fromkeys(entry.package for each in found for entry in each.requirements)


def line_of_package(content: str, package: str) -> int:
    """Return the line of a manifest that requires a package: where it is a key, a value, else named at all.

    The parts that require come first: features, scripts and plugins have names of packages, too.
    """
    name = re.escape(package)
    patterns = [
        re.compile(pattern, re.MULTILINE)
        for pattern in (
            rf"^\[[\w.-]*dependencies\.{name}\]",
            rf"^[ \t]{{0,40}}[\"']?{name}[\"']? ?[:=]",
            rf"<artifactId>{name}<",
            rf"(?:[\"']|\{{:){name}(?![\w./-])",
            rf"^[ \t]{{0,40}}(?:require[ \t]{{1,9}})?{name}(?![\w./-])",
            rf"/{name}(?:\.git)?[\"']",
            rf"(?<![\w@/.-]){name}(?![\w/-])",
        )
    ]
    for part in [*_REQUIRING.finditer(content), None]:
        start, end = part.span() if part else (0, len(content))
        for pattern in patterns[: -1 if part else None]:
            if match := pattern.search(content, start, end):
                return content.count("\n", 0, match.end()) + 1
    return line_of(content, package)


def _requiring(found: list[_Manifest], wanted: str) -> list[_Manifest]:
    """Return the manifests with the packages that a name means, and no others."""
    meant = package_names.matching(_packages(found), wanted)
    return [
        each._replace(requirements=[entry for entry in each.requirements if entry.package in meant])
        for each in found
    ]


def _importing(context: QuestionContext, requiring: list[_Manifest]) -> tuple[str, list[Evidence]]:
    """Say which files import the packages of manifests, those of tests last; '' if that is not understood."""
    packages: dict[package_names.Ecosystem, dict[str, str]] = {}
    for each in requiring:
        ecosystem = package_names.ecosystem_of(each.path)
        if ecosystem and each.requirements:
            groups = {name: package_names.group_of(each.content, name) for name in _packages([each])}
            packages.setdefault(ecosystem, {}).update(groups)
    if not packages:
        return "", []
    found: dict[str, tuple[list[int], str, bool]] = {}
    for ecosystem, names in packages.items():
        rows = graph.imports_of_code(context.connection, context.snapshot, ecosystem.files)
        named = [
            row for row in rows if any(package_names.is_of(row.module, name, ecosystem) for name in names)
        ]
        named = named or [
            row
            for row in rows
            if any(package_names.is_of_group(row.module, group) for group in names.values())
        ]
        for row in named:
            lines = sorted({*found.get(row.path, ([],))[0], *row.lines})
            found[row.path] = lines, found.get(row.path, ((), row.module))[1], row.test
    if not all(ecosystem.complete for ecosystem in packages):
        context.limit("a package may have modules of other names, and code may use it without an import")
    if not found:
        return "no file imports a module of that name", []
    groups = [[path for path in found if found[path][2] == tests] for tests in (False, True)]
    parts = [
        f"{counted(len(paths), what, 'import')} it: {listed([f'{path}:{found[path][0][0]}' for path in paths])}"
        for paths, what in zip(groups, ("file", "test file"), strict=True)
        if paths
    ]
    return "; ".join(parts), [
        item
        for paths in groups
        for path in paths[: 2 * MAX_ROWS]
        for item in context.at_each(path, found[path][0], f"imports {found[path][1]}")
    ]
