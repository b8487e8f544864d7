"""The environment of a Go module: the modules it requires, downloaded by `go mod download` from a proxy.

Go sees go.mod and go.sum alone, and no version control system is used. Does not belong here: the download itself
(`fetching`).
"""

import posixpath
import re
from functools import partial
from pathlib import Path
from typing import Any

from qflow_dagster import sandbox
from qflow_dagster.generation.environments.cache import Cache, key_of
from qflow_dagster.generation.environments.fetching import fetch
from qflow_dagster.generation.environments.protocol import (
    INSIDE,
    Environment,
    Manifests,
    NotAvailableError,
    some,
)
from qflow_dagster.safety.folders import work_folder

# Files of a proxy, below the folder of modules: inside, Go unpacks what it needs.
_MODULES, _DOWNLOADED = "modules", "modules/cache/download"
_REQUIRE = re.compile(r"^(require[ \t]+[^(\s]|[ \t]+[\w.~-]+\.[\w./~-]+[ \t]+v\d)", re.M)
_REPLACED_BY = re.compile(r"=>[ \t]*(?P<target>\S+)[ \t]*$", re.M)


def environment(manifests: Manifests, cache: Cache) -> Environment:
    """Return the modules of a Go project; see `environments`."""
    texts = manifests.texts(
        path for path in manifests.paths if posixpath.basename(path) in ("go.mod", "go.sum")
    )
    if "go.mod" not in texts:
        raise NotAvailableError("there is no go.mod in the root folder")
    if "go.work" in manifests.paths:
        raise NotAvailableError("go.work joins several modules")
    if "vendor/modules.txt" in manifests.paths:
        return Environment("the repository has its own vendor folder")
    if not _REQUIRE.search(texts["go.mod"]):
        return Environment("go.mod names no modules")
    for replaced in _REPLACED_BY.finditer(texts["go.mod"]):
        target = posixpath.normpath(replaced["target"])
        if target.startswith(("..", "/", '"', "`")):
            raise NotAvailableError(f"go.mod: {some([replaced['target']])} lies outside of the repository")
    key = key_of([text for item in sorted(texts.items()) for text in item])
    folder, notes = cache.kept(key, partial(_make, texts))
    packages = sandbox.Packages(
        ((str(folder / _DOWNLOADED), f"{INSIDE}/go"),), {"GOPROXY": f"file://{INSIDE}/go", "GOSUMDB": "off"}
    )
    return Environment(f"{notes['packages']} modules from go.mod", key, packages)


def _make(texts: dict[str, str], folder: Path) -> dict[str, Any]:
    variables = {
        "GOMODCACHE": str(folder / _MODULES),
        "GOFLAGS": "-mod=mod -modcacherw",
        "GOTOOLCHAIN": "local",
        "GOVCS": "*:off",
        "GOWORK": "off",
    }
    with work_folder("qflow-fetch-") as work:
        for path, text in texts.items():
            (work / path).parent.mkdir(parents=True, exist_ok=True)
            (work / path).write_text(text)
        # `direct` would run git and its like on addresses that modules name.
        stated = re.split(r"[,|]", fetch(["go", "env", "GOPROXY"], work, into=folder).strip())
        proxies = ",".join(proxy for proxy in stated if proxy not in ("", "direct"))
        fetch(
            ["go", "mod", "download"], work, into=folder, variables={**variables, "GOPROXY": proxies or "off"}
        )
    return {"packages": sum(1 for _ in (folder / _DOWNLOADED).glob("**/*.zip"))}
