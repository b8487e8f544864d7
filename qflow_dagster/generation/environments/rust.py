"""The environment of a Rust project: the sources of its crates, as `cargo vendor` lays them down.

Cargo sees manifests, the lock file and empty source files, so no build script and no configuration of the repository.
Does not belong here: the download itself (`fetching`).
"""

import posixpath
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from qflow_dagster import sandbox
from qflow_dagster.generation.environments.cache import Cache, key_of
from qflow_dagster.generation.environments.fetching import fetch
from qflow_dagster.generation.environments.protocol import (
    INSIDE,
    MAX_LOCK,
    Environment,
    Manifests,
    NotAvailableError,
    some,
    strings,
    table,
)
from qflow_dagster.safety.folders import work_folder

MAX_SOURCES = 20_000
_VENDOR = "vendor"
_SOURCE = re.compile(r'^source = "(?P<source>[^"\n]*)"', re.M)
_REGISTRY = "registry+https://github.com/rust-lang/crates.io-index"
# Cargo reads it on the way from the checkout to the root folder.
_CONFIGURATION_INSIDE = "/.cargo/config.toml"
_CONFIGURATION = f"""[source.crates-io]
replace-with = "packages"
[source.packages]
directory = "{INSIDE}/rust"
"""


def environment(manifests: Manifests, cache: Cache) -> Environment:
    """Return the crates of a Rust project; see `environments`."""
    paths = sorted(path for path in manifests.paths if posixpath.basename(path) == "Cargo.toml")
    if "Cargo.toml" not in paths:
        raise NotAvailableError("there is no Cargo.toml in the root folder")
    names = {
        name
        for path in paths
        for name, stated in _dependencies(manifests.toml(path), path)
        if not (isinstance(stated, dict) and ("path" in stated or stated.get("workspace")))
    }
    if not names:
        return Environment("Cargo.toml names no crates")
    lock = manifests.texts(["Cargo.lock"], limit=MAX_LOCK).get("Cargo.lock", "")
    for found in _SOURCE.finditer(lock):
        if found["source"] != _REGISTRY:
            raise NotAvailableError(f"Cargo.lock: a crate comes from {some([found['source']])}")
    texts = manifests.texts(paths)
    key = key_of([text for item in sorted(texts.items()) for text in item], lock)
    folder, notes = cache.kept(key, partial(_make, manifests, texts, lock))
    packages = sandbox.Packages(
        ((str(folder / _VENDOR), f"{INSIDE}/rust"), (str(folder / "config.toml"), _CONFIGURATION_INSIDE))
    )
    source = "Cargo.lock" if lock else "Cargo.toml, the newest that fit"
    return Environment(f"{notes['packages']} crates from {source}", key, packages)


def _dependencies(manifest: dict[str, Any], path: str) -> Iterator[tuple[str, Any]]:
    """Yield the dependencies that a manifest names, with what it states of them.

    Raises:
        NotAvailableError: one is not a crate of the registry, or lies outside of the repository.
    """
    tables = [manifest, table(manifest, "workspace"), *map(table, table(manifest, "target").values())]
    groups = [table(part, kind) for part in tables for kind in _KINDS]
    groups += [table(patch) for patch in table(manifest, "patch").values()]
    groups.append(table(manifest, "replace"))
    for name, stated in (item for group in groups for item in group.items()):
        about = table(stated)
        outside = [key for key in ("git", "registry", "registry-index", "base") if key in about]
        if outside or _leaves(about.get("path"), path):
            raise NotAvailableError(f"{path}: {some([name])} is not a crate of the registry")
        yield name, stated
    members = strings(table(manifest, "workspace").get("members"))
    for folder in (*members, table(manifest, "package").get("workspace")):
        if _leaves(folder, path):
            raise NotAvailableError(f"{path}: {some([str(folder)])} lies outside of the repository")


_KINDS = ("dependencies", "dev-dependencies", "build-dependencies", "dev_dependencies", "build_dependencies")


def _leaves(stated: Any, path: str) -> bool:
    """Return whether a path that a manifest states leads out of the repository."""
    if stated is None:
        return False
    folder = posixpath.normpath(posixpath.join(posixpath.dirname(path), str(stated)))
    return folder.startswith(("/", "../")) or folder == ".."


def _make(manifests: Manifests, texts: dict[str, str], lock: str, folder: Path) -> dict[str, Any]:
    sources = [path for path in manifests.paths if path.endswith(".rs")]
    if len(sources) > MAX_SOURCES:
        raise NotAvailableError(f"it has more than {MAX_SOURCES} source files")
    with work_folder("qflow-fetch-") as work:
        for path in (*texts, *sources):
            (work / path).parent.mkdir(parents=True, exist_ok=True)
            (work / path).write_text(texts.get(path, ""))
        if lock:
            (work / "Cargo.lock").write_text(lock)
        command = ["cargo", "vendor", "--quiet", "--versioned-dirs", "--respect-source-config"]
        command += ["--locked"] if lock else []
        fetch([*command, str(folder / _VENDOR)], work, into=folder)
    (folder / _VENDOR).mkdir(exist_ok=True)
    (folder / "config.toml").write_text(_CONFIGURATION)
    return {"packages": sum(1 for _ in (folder / _VENDOR).iterdir())}
