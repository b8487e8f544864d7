"""The environment of a Node.js project: `node_modules`, installed by npm outside the sandbox without any script.

npm unpacks archives of its registry whose digests the lock file states; scripts of packages do not run, so packages
that compile something when they are installed do not work. Does not belong here: the download itself (`fetching`).
"""

import json
import platform
import re
import shutil
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from qflow_dagster import sandbox
from qflow_dagster.generation.environments.cache import Cache, key_of
from qflow_dagster.generation.environments.fetching import fetch
from qflow_dagster.generation.environments.protocol import (
    MAX_LOCK,
    Environment,
    Manifests,
    NotAvailableError,
    some,
    table,
)
from qflow_dagster.safety.folders import work_folder

FOLDER = "node_modules"
_WRITABLE = "/tmp"  # noqa: S108  (inside)
_DEPENDENCIES = ("dependencies", "devDependencies", "optionalDependencies", "peerDependencies")
# A range of versions or a tag; no address, path or other name.
_VERSIONS = re.compile(r"[\w.^~<>=|*+ -]{0,200}")
_NAME = re.compile(r"(@[\w.~-]{1,100}/)?[\w.~-]{1,200}")
# Git would be the client of an address that a package names; npm is given a program that is none.
_NPM = (
    "--ignore-scripts",
    "--no-audit",
    "--no-fund",
    "--no-update-notifier",
    "--git=false",
    "--loglevel=error",
)


def environment(manifests: Manifests, cache: Cache) -> Environment:
    """Return the packages of a Node.js project; see `environments`."""
    stated = manifests.json("package.json")
    if any(path.startswith(f"{FOLDER}/") for path in manifests.paths):
        raise NotAvailableError(f"the repository has its own {FOLDER}")
    if "workspaces" in stated:
        raise NotAvailableError("package.json has workspaces")
    package = _package(stated)
    names = {name for kind in _DEPENDENCIES for name in package[kind]}
    if not names:
        return Environment("package.json names no packages")
    lock = manifests.json("package-lock.json")
    locked = isinstance(table(lock).get("packages"), dict)
    if locked:
        check_lock(lock)
    key = key_of(json.dumps(package), json.dumps(lock if locked else {}), platform.machine())
    folder, notes = cache.kept(key, partial(_make, package, lock if locked else None))
    source = "package-lock.json" if locked else "package.json, the newest that fit"
    inside = f"{sandbox.INSIDE}/{FOLDER}"
    packages = sandbox.Packages(((str(folder / FOLDER), inside),), {}, (f"{inside}/.bin",))
    evidence = f"{notes['packages']} packages of npm from {source}, their scripts not run"
    return Environment(evidence, key, packages, (FOLDER,))


def _package(stated: dict[str, Any]) -> dict[str, Any]:
    """Return of package.json what npm needs.

    Raises:
        NotAvailableError: a dependency is not a version of a package of the registry.
    """
    package: dict[str, Any] = {"name": "project", "version": "0.0.0"}
    for kind in _DEPENDENCIES:
        package[kind] = table(stated, kind)
        _check_versions(package[kind])
    if overrides := table(stated, "overrides"):
        _check_versions(overrides)
        package["overrides"] = overrides
    package["peerDependenciesMeta"] = table(stated, "peerDependenciesMeta")
    return package


def _check_versions(versions: dict[str, Any]) -> None:
    waiting = [versions]
    while waiting:
        for name, version in waiting.pop().items():
            if isinstance(version, dict):
                waiting.append(version)
            elif not (isinstance(version, str) and _VERSIONS.fullmatch(version.removeprefix("$"))):
                raise NotAvailableError(
                    f"package.json: {some([f'{name}: {version}'])} is not a version of a package of the registry"
                )


def check_lock(lock: dict[str, Any]) -> None:
    """Refuse a lock file that names anything but archives with their digests.

    Raises:
        NotAvailableError: it does.
    """
    for path, entry in table(lock, "packages").items():
        about = table(entry)
        if path == "" or about.get("inBundle") is True:
            continue
        resolved = about.get("resolved", "https:")
        problem = ""
        if not path.startswith(f"{FOLDER}/") or ".." in path.split("/") or about.get("link"):
            problem = "is outside of node_modules"
        elif not (isinstance(resolved, str) and resolved.startswith("https:")):
            problem = f"comes from {some([str(resolved)])}"
        elif not isinstance(about.get("integrity"), str):
            problem = "has no digest"
        elif not (
            _VERSIONS.fullmatch(str(about.get("version"))) and _NAME.fullmatch(str(about.get("name", "a")))
        ):
            problem = "has no plain version"
        if problem:
            raise NotAvailableError(f"package-lock.json: {some([path or 'a package'])} {problem}")


def _make(package: dict[str, Any], lock: dict[str, Any] | None, folder: Path) -> dict[str, Any]:
    with work_folder("qflow-fetch-") as work:
        (work / "package.json").write_text(json.dumps(package))
        file = work / "package-lock.json"
        if lock is None:
            fetch(["npm", "install", "--package-lock-only", *_NPM], work, into=work)
            if file.stat().st_size > MAX_LOCK:
                raise NotAvailableError("package.json needs too many packages")
            lock = json.loads(file.read_text())
            check_lock(lock or {})
        # Its first entry must agree with package.json, of which some is left out. Without addresses, npm takes every
        # package from the operator's registry, and compares the digest.
        root = {"name": package["name"], "version": package["version"]}
        root |= {kind: package[kind] for kind in _DEPENDENCIES if package[kind]}
        entries = {
            path: {key: value for key, value in table(entry).items() if key != "resolved"}
            for path, entry in table(lock, "packages").items()
        }
        file.write_text(json.dumps({"lockfileVersion": 3, **root, "packages": {**entries, "": root}}))
        fetch(["npm", "ci", "--include=dev", *_NPM], work, into=work)
        shutil.move(work / FOLDER, folder / FOLDER)
    # Many tools write there; inside, it leads to a folder that can be written.
    with suppress(FileExistsError):
        (folder / FOLDER / ".cache").symlink_to(_WRITABLE)
    return {"packages": len(table(lock, "packages")) - 1}
