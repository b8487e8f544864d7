"""Answers on configuration and dependencies: environment variables with their defaults, packages of manifests.

Belongs here: what is read from the environment, by the calls of each language that do it, and what manifests require.
Does not belong here: a single name in the code (`code_answers`), other facts of manifests (`project_answers`).
"""

import json
import re
import tomllib

from qflow_dagster.knowledge import git_facts, lookups
from qflow_dagster.knowledge.evidence import (
    Evidence,
    QuestionContext,
    UnansweredError,
    count,
    listed,
)
from qflow_dagster.knowledge.project_answers import line_of

# Of variables, and of the packages of a manifest, this many are named.
MAX_NAMES = 40
# The call that reads a variable, in the basic syntax of git grep and as what follows it.
_READS = (
    r"os\.environ|os\.getenv|getenv|Getenv|LookupEnv|env::var|env::var_os|env!|option_env!|process\.env|"
    r"import\.meta\.env|System\.getProperty|System\.getenv|ENV\[|ENV\.fetch|GetEnvironmentVariable|_ENV\[|envvar *="
)
_NAME = re.compile(
    rf"(?:{_READS})(?:\.get|\.setdefault|\.fetch|_os)?(?:\?)?\s?[.(\[]?[(\[]?\s?"
    r"(?:[\"'](?P<literal>[\w.:-]{1,80})[\"']|(?P<name>[A-Za-z_][\w.]{1,80}))"
)
_DEFAULT = re.compile(
    r"^[\"']?\s?(?:,\s?(?P<argument>[^,()]{1,60})|[\])]*\s?(?:\|\||\?\?|\bor\b)\s?(?P<otherwise>[^\s;,)]{1,60})"
    r"|[\])]*\.unwrap_or(?:_else)?\((?P<rust>[^()]{1,60}))"
)
# Objects and methods, not names of variables.
_NO_VARIABLES = frozenset({"get", "copy", "items", "update", "pop", "keys", "values", "setdefault"})


def configuration(context: QuestionContext) -> tuple[str, list[Evidence]]:
    """List the environment variables that the code reads, where, and with which default."""
    lines = git_facts.lines_matching(context.objects(), context.snapshot.commit_oid, _READS)
    paths = [row.path for row in lines]
    code = lookups.code_paths(context.connection, context.snapshot, paths)
    # Scripts of build tools.
    unread = lookups.unread_paths(context.connection, context.snapshot, paths, own=True)
    code |= {path: (False, False, path) for path in unread}
    variables: dict[str, tuple[str, git_facts.Line]] = {}
    for row in sorted((row for row in lines if row.path in code), key=lambda row: code[row.path]):
        for match in _NAME.finditer(row.text[:1_000]):
            name = match["literal"] or match["name"]
            if name not in _NO_VARIABLES and name not in variables:
                variables[name] = default_of(row.text[match.end() :]), row
    own = {name: found for name, found in variables.items() if not code[found[1].path][0]}
    shown = own or variables
    if not shown:
        raise UnansweredError("no code reads an environment variable by a call that is understood")
    items = [
        f"{name} ({row.path}:{row.line}{f', default {default}' if default else ''})"
        for name, (default, row) in shown.items()
    ]
    context.limit(
        "what frameworks, wrappers and configuration files read was not looked for, only calls that read a variable"
    )
    verb = "read" if own else "read, by tests alone"
    more = f" and {len(items) - MAX_NAMES} more" if len(items) > MAX_NAMES else ""
    sentence = f"{count(len(shown), 'environment variable')} {verb}: {', '.join(items[:MAX_NAMES])}{more}"
    if own and len(own) < len(variables):
        sentence += f"; tests read {len(variables) - len(own):,} more"
    return sentence, [context.at(row.path, row.line, row.text) for _, row in list(shown.values())[:MAX_NAMES]]


def default_of(rest: str) -> str:
    """Return the default in what follows the name of a variable that is read; '' if there is none."""
    match = _DEFAULT.match(rest[:200])
    if match is None:
        return ""
    return next(value for value in match.groups() if value).strip()


def dependencies(context: QuestionContext) -> tuple[str, list[Evidence]]:
    """List the packages that the manifests require, those for development apart; name manifests that are not read."""
    paths = lookups.named(context.connection, context.snapshot, _MANIFESTS)
    parts, evidence = [], []
    wanted = context.subject.lower()
    unread = lookups.named(context.connection, context.snapshot, _OTHER_MANIFESTS)
    for path, content in context.texts(paths).items():
        try:
            required, development = _required(path, content)
        except (ValueError, TypeError, AttributeError, RecursionError):
            unread.append(path)
            continue
        if _ELSEWHERE.search(content) and path.endswith((".toml", ".json", ".xml")):
            unread.append(path)
        if wanted:
            required, development = (
                [name for name in names if name.lower().partition(" ")[0] == wanted]
                for names in (required, development)
            )
        if required or development:
            said = f"{path}: {', '.join(required[:MAX_NAMES]) or 'nothing at run time'}"
            said += f"; for development {', '.join(development[:MAX_NAMES])}" if development else ""
            more = max(len(required) - MAX_NAMES, 0) + max(len(development) - MAX_NAMES, 0)
            line = line_of(content, (required or development)[0].partition(" ")[0])
            if wanted:
                said += f" ({path}:{line}: {content.splitlines()[line - 1].strip()[:200]})"
            parts.append(said + (f" and {more} more" if more else ""))
            evidence.append(context.at(path, line, said))
        elif "/" not in path and not wanted and path not in unread:
            parts.append(f"{path}: nothing")
            evidence.append(context.at(path, 1, "requires nothing"))
    if unread:
        context.limit(f"manifests that are not read, or not completely: {listed(unread)}")
    if not parts:
        name = context.subject or "dependencies"
        also = f"; not read, or not completely: {listed(unread)}" if unread else ""
        raise UnansweredError(f"no manifest that is understood names {name}{also}")
    return listed(parts[:3], len(parts)), evidence


_MANIFESTS = (
    r"^(?:pyproject\.toml|setup\.cfg|requirements\.txt|Cargo\.toml|package\.json|composer\.json|"
    r"go\.mod|pom\.xml|Gemfile|.*\.csproj|.*\.gemspec|Package\.swift|Podfile|mix\.exs|build\.gradle(?:\.kts)?)$"
)
_OTHER_MANIFESTS = (
    r"^(?:setup\.py|libs\.versions\.toml|Directory\.\w+\.props|packages\.config|"
    r"CMakeLists\.txt|conanfile\.(?:py|txt)|vcpkg\.json|rebar\.config|build\.sbt|deno\.jsonc?|"
    r"configure\.ac|meson\.build|MODULE\.bazel|requirements[-_].*\.txt|environment\.ya?ml)$"
)
# A manifest that takes what it requires from elsewhere, or in further ways that are not read.
_ELSEWHERE = re.compile(
    r"\bdynamic\s*=\s*\[[^\]]*dependencies|\bworkspace\s*=\s*true|<parent>|<dependencyManagement>|"
    r"\"(?:optionalDependencies|bundledDependencies)\"|(?:implementation|api)[ (]+(?:libs\.|project\b)",
    re.MULTILINE,
)
# What packages stand after, at run time and for development, in manifests that are programs.
_AFTER = {
    ".gemspec": (r"\.add_(?:runtime_)?dependency", r"\.add_development_dependency"),
    "Gemfile": (r"^\s?gem", None),
    "Podfile": (r"^\s{0,8}pod", None),
    "Package.swift": (r"\burl:", None),
    "mix.exs": (r"^\s{0,12}\{:(?=\w{1,100}, ?[\"~a-z])", None),
    "build.gradle": (
        r"^\s{0,12}(?:implementation|api|runtimeOnly|compileOnly|compile)\b",
        r"^\s{0,12}(?:test|androidTest|debug)\w{1,30}",
    ),
}
_PACKAGE = re.compile(r"[A-Za-z0-9@][\w./@-]*")


def _required(path: str, content: str) -> tuple[list[str], list[str]]:
    """Return the packages that a manifest requires at run time, and for development."""
    name = path.rpartition("/")[2]
    if name == "pyproject.toml":
        manifest = tomllib.loads(content)
        project = manifest.get("project") or {}
        extras = [*(project.get("optional-dependencies") or {}).values()]
        extras += [*(manifest.get("dependency-groups") or {}).values()]
        poetry = ((manifest.get("tool") or {}).get("poetry") or {}).get("dependencies") or {}
        named = [entry for entry in project.get("dependencies") or [*poetry] if entry != "python"]
        return _names(named), _names([e for group in extras for e in group if isinstance(e, str)])
    if name == "Cargo.toml":
        manifest = tomllib.loads(content)
        development = [*(manifest.get("dev-dependencies") or {}), *(manifest.get("build-dependencies") or {})]
        tables = [manifest, *(manifest.get("target") or {}).values()]
        return list(dict.fromkeys(name for t in tables for name in t.get("dependencies") or {})), development
    if name in ("package.json", "composer.json"):
        manifest = json.loads(content)
        run, development = (
            ("dependencies", "devDependencies") if name == "package.json" else ("require", "require-dev")
        )
        peers = manifest.get("peerDependencies") or {}
        return [*(manifest.get(run) or {}), *(f"{name} (peer)" for name in peers)], [
            *(manifest.get(development) or {})
        ]
    if name == "go.mod":
        rows = [line.split() for line in content.replace("require ", "").splitlines()]
        return [row[0] for row in rows if len(row) >= 2 and row[1][:1] == "v" and "." in row[0]], []
    if name == "pom.xml":
        blocks = [block.partition("</dependency>")[0] for block in content.split("<dependency>")[1:]]
        artifacts = [
            (re.search(r"<artifactId>([^<]{1,100})<", block), "<scope>test" in block) for block in blocks
        ]
        return (
            list(dict.fromkeys(found[1] for found, test in artifacts if found and not test)),
            list(dict.fromkeys(found[1] for found, test in artifacts if found and test)),
        )
    if name.endswith(".csproj"):
        blocks = [
            re.split("/>|</Pack", block, maxsplit=1)[0] for block in content.split("<PackageReference ")[1:]
        ]
        packages = [
            (found[1], "PrivateAssets" in block)
            for block in blocks
            if (found := re.search(r"\bInclude=\"([^\"]{1,100})\"", block))
        ]
        tests = any(package == "Microsoft.NET.Test.Sdk" for package, _ in packages)
        return (
            list(dict.fromkeys(package for package, private in packages if not (private or tests))),
            list(dict.fromkeys(package for package, private in packages if private or tests)),
        )
    for ending, (run, development) in _AFTER.items():
        if name.removesuffix(".kts").endswith(ending):
            return _after(run, content), _after(development, content) if development else []
    if name == "requirements.txt":
        return _names([line for line in content.splitlines() if line[:1].isalnum()]), []
    _, _, required = content.partition("install_requires")
    return _names(
        [line.strip() for line in required.split("\n[")[0].splitlines()[1:] if line[:1].isspace()]
    ), []


def _after(words: str, content: str) -> list[str]:
    """Return the packages that stand in quotes or as a symbol after words; of an address, its last part."""
    found = re.findall(rf"(?:{words})[ (]{{0,4}}[\"']?([\w./:@-]{{2,300}})", content, re.MULTILINE)
    names = [re.sub(r"\.git$|:[\d.]+$", "", name) for name in found]
    return list(dict.fromkeys(name.rpartition("/")[2] if "://" in name else name for name in names))


def _names(requirements: list[str]) -> list[str]:
    return [match[0] for entry in requirements if (match := _PACKAGE.match(entry))]
