"""Read the packages that manifests require: under their own names, also where a manifest gives them another one.

Belongs here: the formats of manifests. Does not belong here: which packages a question means, answers
(`configuration_answers`), how packages and modules are named (`package_names`).
"""

import json
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

MANIFESTS = (
    r"^(?:pyproject\.toml|setup\.cfg|requirements\.txt|Cargo\.toml|package\.json|composer\.json|"
    r"go\.mod|Directory\.(?:Build|Packages)\.props|libs\.versions\.toml|pom\.xml|Gemfile|.*\.csproj|.*\.gemspec|"
    r"Package\.swift|Podfile|mix\.exs|build\.gradle(?:\.kts)?)$"
)
OTHER_MANIFESTS = (
    r"^(?:setup\.py|packages\.config|"
    r"CMakeLists\.txt|conanfile\.(?:py|txt)|vcpkg\.json|rebar\.config|build\.sbt|deno\.jsonc?|"
    r"configure\.ac|meson\.build|MODULE\.bazel|requirements[-_].*\.txt|environment\.ya?ml)$"
)
# A manifest that takes what it requires from elsewhere, or in further ways that are not read.
ELSEWHERE = re.compile(r"\bdynamic\s*=\s*\[[^\]]*dependencies|<parent>|<dependencyManagement>", re.MULTILINE)
# Extras and groups of these names are for those who develop the package.
_FOR_DEVELOPMENT = re.compile(
    r"(?:^|[-_])(?:dev|develop|development|tests?|testing|docs?|lint|typing|typecheck|mypy|bench\w*)(?:$|[-_])"
)
# What manifests of some packages define for others: the packages of a Cargo workspace, of a version catalog.
Shared = Mapping[str, str]


def shared(path: str, content: str) -> dict[str, str]:
    """Return the packages that a manifest names for others, by the names that these use."""
    if path.endswith("Cargo.toml"):
        named = (tomllib.loads(content).get("workspace") or {}).get("dependencies") or {}
        return {f"cargo {key}": _package_of(key, entry) for key, entry in named.items()}
    if not path.endswith("libs.versions.toml"):
        return {}
    catalog = tomllib.loads(content)
    libraries: dict[str, str] = {}
    for key, entry in (catalog.get("libraries") or {}).items():
        if isinstance(entry, str):
            libraries[key] = entry.rpartition(":")[0]
        else:
            libraries[key] = entry.get("module") or f"{entry.get('group')}:{entry.get('name')}"
    found = {f"libs.{_dotted(key)}": module for key, module in libraries.items()}
    for key, parts in (catalog.get("bundles") or {}).items():
        found[f"libs.bundles.{_dotted(key)}"] = " ".join(
            libraries[part] for part in parts if part in libraries
        )
    return found


def _dotted(key: str) -> str:
    return re.sub(r"[-_]", ".", key)


def _package_of(key: str, entry: object) -> str:
    return str(entry.get("package") or key) if isinstance(entry, dict) else key


def required(path: str, content: str, others: Shared) -> tuple[list[str], list[str]]:
    """Return the packages that a manifest requires at run time, and for development.

    `others`: what other manifests name for this one. An entry is the package, and in parentheses what is said of it.
    """
    name = path.rpartition("/")[2]
    for ending, read in _READERS.items():
        if name.removesuffix(".kts").endswith(ending):
            run, development = read(content, others)
            return list(dict.fromkeys(run)), [e for e in dict.fromkeys(development) if e not in run]
    return _required(name, content)


def is_complete(content: str, run: list[str], development: list[str]) -> bool:
    """Return whether a manifest says all it requires: nothing elsewhere, no name that no other manifest explains."""
    unknown = any("(workspace" in entry or entry.startswith("libs.") for entry in (*run, *development))
    return not unknown and not ELSEWHERE.search(content)


def _said(package: str, *words: str) -> str:
    """Return an entry: the package with what is said of it."""
    said = ", ".join(word for word in words if word)
    return f"{package} ({said})" if said else package


def _cargo(content: str, others: Shared) -> tuple[list[str], list[str]]:
    manifest = tomllib.loads(content)
    found: tuple[list[str], list[str]] = [], []
    for table in (manifest, *(manifest.get("target") or {}).values()):
        for kind in ("dependencies", "dev-dependencies", "build-dependencies"):
            for key, entry in (table.get(kind) or {}).items():
                options = entry if isinstance(entry, dict) else {}
                package, word = _package_of(key, entry), ""
                if options.get("workspace"):
                    package = others.get(f"cargo {key}", key)
                    word = "" if f"cargo {key}" in others else "workspace"
                alias = f"as {key}" if package != key else ""
                optional = "optional" if options.get("optional") else ""
                found[kind != "dependencies"].append(_said(package, alias, optional, word))
    return found


def _npm(content: str, _: Shared) -> tuple[list[str], list[str]]:
    manifest = json.loads(content)
    meta = manifest.get("peerDependenciesMeta") or {}
    found: tuple[list[str], list[str]] = [], []
    for kind, words in _NPM_KINDS.items():
        for key, version in (manifest.get(kind) or {}).items():
            # "old": "npm:@scope/new@1.0"
            alias = re.match(r"npm:(@?[^@]+)", str(version))
            optional = "optional" if kind.startswith("peer") and (meta.get(key) or {}).get("optional") else ""
            entry = _said(alias[1] if alias else key, f"as {key}" if alias else "", words, optional)
            found[kind == "devDependencies"].append(entry)
    return found


_NPM_KINDS = {
    "dependencies": "",
    "peerDependencies": "peer",
    "optionalDependencies": "optional",
    "devDependencies": "",
}


def _go(content: str, _: Shared) -> tuple[list[str], list[str]]:
    block, run, replaced = "", [], {}
    for line in content.splitlines():
        words = line.partition("//")[0].split()
        if words and words[0] in ("require", "replace", "exclude", "retract", "tool") and words[1:]:
            block, words = (words[0], []) if words[1] == "(" else ("", [words[0], *words[1:]])
        elif words[:1] == [")"]:
            block = ""
        elif block:
            words = [block, *words]
        if words[:1] == ["require"] and len(words) > 2:
            run.append((words[1], "indirect" if "// indirect" in line else ""))
        if words[:1] == ["replace"] and "=>" in words[:-1]:
            replaced[words[1]] = f"replaced by {words[words.index('=>') + 1]}"
    return [_said(package, word, replaced.get(package, "")) for package, word in run], []


def _pyproject(content: str, _: Shared) -> tuple[list[str], list[str]]:
    manifest = tomllib.loads(content)
    project, tools = manifest.get("project") or {}, manifest.get("tool") or {}
    poetry = tools.get("poetry") or {}
    run = _names(project.get("dependencies") or [])
    run += [
        _said(key, "optional" if isinstance(entry, dict) and entry.get("optional") else "")
        for key, entry in (poetry.get("dependencies") or {}).items()
        if key != "python"
    ]
    development = [*(poetry.get("dev-dependencies") or {})]
    for group in (poetry.get("group") or {}).values():
        development += group.get("dependencies") or {}
    for entries in (manifest.get("dependency-groups") or {}).values():
        development += _names([entry for entry in entries if isinstance(entry, str)])
    for name, entries in (project.get("optional-dependencies") or {}).items():
        # An extra may name others of the package itself.
        packages = [package for package in _names(entries) if package != project.get("name")]
        if _FOR_DEVELOPMENT.search(name):
            development += packages
        else:
            run += [_said(package, f"extra {name}") for package in packages if package not in run]
    return run, development


def _gemfile(content: str, _: Shared) -> tuple[list[str], list[str]]:
    found: tuple[list[str], list[str]] = [], []
    blocks: list[bool] = []
    for line in content.splitlines():
        development = bool(
            re.search(r"\bgroups?:? ?\(?[^#]{0,200}\b(?:development|test|doc|ci)\b", line[:500])
        )
        if re.search(r"\bdo ?(?:\|\w{1,40}\|)?$", line.rstrip()) or re.match(
            r"\s*(?:if|unless|case)\b", line
        ):
            blocks.append(development)
        elif line.strip() == "end" and blocks:
            blocks.pop()
        elif match := re.match(r"\s*gem[ (]+[\"']([\w./-]+)", line):
            found[development or any(blocks)].append(match[1])
    return found


def _msbuild(content: str, _: Shared) -> tuple[list[str], list[str]]:
    found: list[tuple[str, bool]] = []
    for block in re.split(r"<(?=(?:Global)?PackageReference\s)", content)[1:]:
        block = re.split("/>|</(?:Global)?Pack", block, maxsplit=1)[0]
        if match := re.search(r"\bInclude=\"([^\"]{1,100})\"", block):
            found.append((match[1], "PrivateAssets" in block or block.startswith("Global")))
    tests = any(package == "Microsoft.NET.Test.Sdk" for package, _ in found)
    return (
        [package for package, private in found if not (private or tests)],
        [package for package, private in found if private or tests],
    )


def _gradle(content: str, others: Shared) -> tuple[list[str], list[str]]:
    run, development = (
        [package for entry in _after(words, content) for package in _of_catalog(entry, others)]
        for words in _GRADLE
    )
    return run, development


def _of_catalog(entry: str, others: Shared) -> Iterator[str]:
    """Yield the packages that an entry of Gradle means: of a catalog, those of a bundle; none for another project."""
    if entry.startswith("libs."):
        yield from others.get(entry.removesuffix(".get"), entry).split()
    elif ":" in entry:
        yield entry


_GRADLE = (
    r"^\s{0,12}(?:implementation|api|runtimeOnly|compileOnly|compile)\b",
    r"^\s{0,12}(?:test|androidTest|debug)\w{1,30}\b",
)
_READERS: dict[str, Callable[[str, Shared], tuple[list[str], list[str]]]] = {
    "Cargo.toml": _cargo,
    "package.json": _npm,
    "go.mod": _go,
    "pyproject.toml": _pyproject,
    "Gemfile": _gemfile,
    ".csproj": _msbuild,
    ".props": _msbuild,
    "build.gradle": _gradle,
    # Its packages are required by what uses it.
    "libs.versions.toml": lambda content, others: ([], []),
}

# What packages stand after, at run time and for development, in manifests that are programs.
_AFTER = {
    ".gemspec": (r"\.add_(?:runtime_)?dependency", r"\.add_development_dependency"),
    "Podfile": (r"^\s{0,8}pod", None),
    "Package.swift": (r"\burl:", None),
    "mix.exs": (r"^\s{0,12}\{:(?=\w{1,100}, ?[\"~a-z])", None),
}
_PACKAGE = re.compile(r"[A-Za-z0-9@][\w./@-]*")


def _required(name: str, content: str) -> tuple[list[str], list[str]]:
    """Return the packages that a manifest requires at run time, and for development."""
    if name == "composer.json":
        manifest: dict[str, Any] = json.loads(content)
        return [*(manifest.get("require") or {})], [*(manifest.get("require-dev") or {})]
    if name == "pom.xml":
        blocks = [block.partition("</dependency>")[0] for block in content.split("<dependency>")[1:]]
        artifacts = [
            (re.search(r"<artifactId>([^<]{1,100})<", block), "<scope>test" in block) for block in blocks
        ]
        return (
            list(dict.fromkeys(found[1] for found, test in artifacts if found and not test)),
            list(dict.fromkeys(found[1] for found, test in artifacts if found and test)),
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
