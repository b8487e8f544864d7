"""Names of packages: which one of the manifests a name means, and which modules that code imports are of a package.

Belongs here: comparing names, by the rules of each ecosystem. Does not belong here: reading manifests
(`configuration_answers`), looking imports up (`graph`).
"""

import re
from collections.abc import Collection
from typing import NamedTuple

# Shorter ones are part of too many names.
MIN_PART = 3


class Ecosystem(NamedTuple):
    """What the code that a manifest is for looks like, and how the modules of a package are named."""

    manifests: re.Pattern[str]
    # The endings of files that may import a package.
    files: str
    # A module has the name of its package, or one that goes on after it.
    exact: bool = False
    # The name of the package may stand after others: org.apache.commons.codec.
    anywhere: bool = False
    # What imports a package by its name is all code that uses it.
    complete: bool = False


ECOSYSTEMS = tuple(
    Ecosystem(re.compile(pattern), files, **kinds)
    for pattern, files, kinds in (
        (r"go\.mod$", r"\.go$", {"exact": True, "complete": True}),
        (r"package\.json$", r"\.([cm]?[jt]sx?|vue|svelte|astro)$", {"exact": True, "complete": True}),
        (r"Cargo\.toml$", r"\.rs$", {"exact": True}),
        (r"(?:pyproject\.toml|setup\.cfg|requirements\.txt)$", r"\.pyi?$", {}),
        (r"(?:pom\.xml|build\.gradle(?:\.kts)?)$", r"\.(java|kts?|scala|groovy)$", {"anywhere": True}),
        (r"\.csproj$", r"\.(cs|fs|vb)$", {}),
        (r"(?:Gemfile|\.gemspec)$", r"\.rb$", {}),
        (r"composer\.json$", r"\.php$", {"anywhere": True}),
        (r"(?:Package\.swift|Podfile)$", r"\.(swift|mm?)$", {}),
    )
)


def ecosystem_of(manifest: str) -> Ecosystem | None:
    """Return the ecosystem of a manifest, by its path; None if imports of it are not understood."""
    return next((each for each in ECOSYSTEMS if each.manifests.search(manifest)), None)


def matching(packages: Collection[str], wanted: str) -> list[str]:
    """Return the packages that a name means: equal but for case and separators, else those that have it as a part."""
    for name in dict.fromkeys((wanted, wanted.rpartition(":")[2])):
        ranks = {package: rank for package in packages if (rank := _rank(package, name)) is not None}
        if ranks:
            return [package for package in ranks if ranks[package] == min(ranks.values())]
    return []


def _rank(package: str, name: str) -> int | None:
    """Return how well a name fits that of a package, 0 is best; None if it does not."""
    plain = _plain(name)
    if len(plain) < 2:
        return None
    if plain == _plain(package):
        return 0
    if plain == _plain(_last_part(package)):
        return 1
    if len(plain) >= MIN_PART and _has_run(_words(package), _words(name)):
        return 2
    return 3 if len(plain) > MIN_PART and plain in _plain(package) else None


def is_equal(package: str, wanted: str) -> bool:
    """Return whether a name is that of a package, or its last part, but for case and separators."""
    names = {_plain(wanted), _plain(wanted.rpartition(":")[2])}
    return bool(names & {_plain(package), _plain(_last_part(package))})


def is_of(module: str, package: str, ecosystem: Ecosystem) -> bool:
    """Return whether a module that code imports is one of a package."""
    if ecosystem.exact:
        name = package.replace("-", "_") if "rs" in ecosystem.files else package
        return re.match(rf"{re.escape(name)}(?:/|::|$)", module) is not None
    segments = [_plain(segment) for segment in re.split(r"[./\\:]", module.strip("\\")) if segment]
    for name in _names_in_code(package):
        plain = _plain(name)
        for first in range(len(segments) if ecosystem.anywhere else 1):
            joined = ""
            for segment in segments[first:]:
                joined += segment
                if joined == plain:
                    return True
    return False


def is_of_group(module: str, group: str) -> bool:
    """Return whether a module is one of a group of packages, as Java has them: org.mockito of mockito-core."""
    return group.count(".") > 0 and f"{module}.".startswith(f"{group}.")


def group_of(manifest: str, package: str) -> str:
    """Return the group that a manifest names with a package of Java; '' if there is none, or others are of it, too."""
    group, _, name = package.rpartition(":")
    blocks = re.findall(
        r"<groupId>([^<]{1,200})</groupId>\s{0,200}<artifactId>([^<]{1,200})</artifactId>", manifest
    )
    group = group or next((each for each, artifact in blocks if artifact == name), "")
    alone = manifest.count(f">{group}<") + len(re.findall(rf"[\"']{re.escape(group)}:", manifest)) == 1
    return group if group and alone else ""


def _names_in_code(package: str) -> list[str]:
    """Return the names that code may know a package by: without its group, language or vendor."""
    last = _last_part(package)
    bare = re.sub(
        r"^(?:python|py|swift|ruby)[-_]|[-_.](?:python|py|swift|rb)$", "", last, flags=re.IGNORECASE
    )
    return [package, last, bare]


def _last_part(package: str) -> str:
    return re.sub(r"/v\d+$", "", package).replace(":", "/").rpartition("/")[2]


def _plain(name: str) -> str:
    return re.sub(r"[\W_]", "", name).lower()


def _words(name: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", name.lower())


def _has_run(words: list[str], run: list[str]) -> bool:
    return any(words[first : first + len(run)] == run for first in range(len(words) - len(run) + 1))
