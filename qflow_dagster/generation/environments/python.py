"""The environment of a Python project: wheels of what its manifests name, for the sandbox's own `python3`.

The wheels are downloaded outside by pip, which only reads their metadata; what installs them runs in the sandbox. The
project itself is not built: its checkout is on the path, with metadata of ours. Does not belong here: what manifests
state (`python_requirements`), that metadata (`python_metadata`).
"""

import importlib.util
import json
import re
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from packaging.utils import canonicalize_name

from qflow_dagster import sandbox
from qflow_dagster.generation.environments import python_metadata
from qflow_dagster.generation.environments.cache import Cache, key_of
from qflow_dagster.generation.environments.fetching import FetchError, fetch
from qflow_dagster.generation.environments.protocol import (
    INSIDE,
    Environment,
    Manifests,
    NotAvailableError,
    some,
)
from qflow_dagster.generation.environments.python_requirements import PythonRequirements
from qflow_dagster.safety.folders import remove, work_folder

# Each attempt leaves out one requirement, or the version that a lock file states, for which there is no wheel.
MAX_ATTEMPTS = 12
_BASE, _PROJECT, _PIP, _WHEELS = f"{INSIDE}/python", f"{INSIDE}/project", f"{INSIDE}/pip", "wheels"
_ABSENT = re.compile(r"No matching distribution found for (?P<name>[A-Za-z0-9][\w.-]*)")
_PROBE = """
import json, os, platform, site, sys
version = platform.python_version()
print(json.dumps({"executable": sys.executable, "user_site": site.ENABLE_USER_SITE and site.getusersitepackages(),
"prefix": sys.prefix, "markers": {"os_name": os.name, "sys_platform": sys.platform, "python_full_version": version,
"platform_machine": platform.machine(), "platform_python_implementation": platform.python_implementation(),
"platform_release": "", "platform_system": platform.system(), "platform_version": "",
"python_version": ".".join(platform.python_version_tuple()[:2]), "implementation_name": sys.implementation.name,
"implementation_version": version}}))
"""


class _Interpreter(NamedTuple):
    """The sandbox's `python3`: its program, where it looks for packages of ours, its values of markers."""

    executable: str
    packages: str
    markers: dict[str, str]

    @property
    def version(self) -> str:
        return self.markers["python_full_version"]


def environment(manifests: Manifests, cache: Cache) -> Environment:
    """Return the packages of a Python project; see `environments`."""
    interpreter = _interpreter()
    requirements = PythonRequirements(manifests, interpreter.markers)
    if requirements.refuses(interpreter.version):
        raise NotAvailableError(
            f"the project needs Python {requirements.python}; in the sandbox it is {interpreter.version}"
        )
    requirements.wanted.setdefault("pytest", "pytest")
    markers = [f"{name}={value}" for name, value in interpreter.markers.items()]
    pins = [f"{name}=={version}" for name, version in sorted(requirements.pins.items())]
    folders = python_metadata.source_folders(manifests, requirements)
    own = python_metadata.metadata(manifests, requirements)
    key = key_of(sorted(requirements.wanted), pins, markers, [text for item in own.items() for text in item])
    folder, notes = cache.kept(key, partial(_make, own, requirements, interpreter))
    parts = [f"{notes['packages']} packages for Python {interpreter.version}"]
    if requirements.sources:
        parts.append(f"from {some(list(requirements.sources))}")
    for reason, names in (
        ("no wheel for", notes["absent"]),
        ("versions of the lock file left out", notes["unlocked"]),
        ("not followed", list(requirements.not_followed)),
    ):
        if names:
            parts.append(f"({reason}: {some(names)})")
    python_path = [_PROJECT, *(f"{sandbox.INSIDE}/{folder}".rstrip("/") for folder in folders)]
    packages = sandbox.Packages(
        mounts=((str(folder / "python"), _BASE), (str(folder / "project"), _PROJECT)),
        variables={"PYTHONUSERBASE": _BASE, "PYTHONPATH": ":".join(python_path)},
        programs=(f"{interpreter.packages}/bin",),
    )
    return Environment(" ".join(parts), key, packages)


def _interpreter() -> _Interpreter:
    """Ask the sandbox's `python3`, in an empty folder, what it is.

    Raises:
        NotAvailableError: there is none, or it does not look for packages beside its own.
    """
    with work_folder("qflow-python-") as outer:
        (outer / "work").mkdir()
        packages = sandbox.Packages(variables={"PYTHONUSERBASE": _BASE})
        ran = sandbox.run(["python3", "-c", _PROBE], outer / "work", packages=packages)
    try:
        answer: dict[str, Any] = json.loads(ran.output)
    except ValueError:
        raise NotAvailableError("needs python3 in the sandbox") from None
    if not answer["user_site"]:
        raise NotAvailableError(
            f"python3 of the sandbox is the environment {answer['prefix']}, used as it is"
        )
    return _Interpreter(answer["executable"], answer["user_site"], answer["markers"])


def _make(
    own: Mapping[str, str], requirements: PythonRequirements, interpreter: _Interpreter, folder: Path
) -> dict[str, Any]:
    (folder / "project").mkdir()
    for path, text in own.items():
        (folder / "project" / path).parent.mkdir(exist_ok=True)
        (folder / "project" / path).write_text(text)
    base = folder / "python"
    (base / _WHEELS).mkdir(parents=True)
    absent, unlocked = _download(requirements, interpreter, base / _WHEELS)
    wheels = sorted(path.name for path in (base / _WHEELS).glob("*.whl"))
    _install(wheels, interpreter, base)
    return {"packages": len(wheels), "absent": absent, "unlocked": unlocked}


def _download(
    requirements: PythonRequirements, interpreter: _Interpreter, wheels: Path
) -> tuple[list[str], list[str]]:
    """Download the wheels; return the requirements and the locked versions that were left out."""
    if importlib.util.find_spec("pip") is None:
        raise NotAvailableError("needs pip")
    wanted, pins = dict(requirements.wanted), dict(requirements.pins)
    command = [sys.executable, "-m", "pip", "--python", interpreter.executable, "download", "--quiet"]
    command += ["--only-binary", ":all:", "--no-input", "--dest", str(wheels)]
    command += ["--requirement", "requirements.txt", "--constraint", "constraints.txt"]
    for _ in range(MAX_ATTEMPTS):
        with work_folder("qflow-fetch-") as empty:
            (empty / "requirements.txt").write_text("".join(f"{line}\n" for line in wanted))
            (empty / "constraints.txt").write_text("".join(f"{name}=={pins[name]}\n" for name in pins))
            try:
                fetch(command, empty, into=wheels)
            except FetchError as error:
                name = (match := _ABSENT.search(error.output)) and str(canonicalize_name(match["name"]))
                if name in pins:
                    del pins[name]
                elif name in wanted.values():
                    wanted = {line: of for line, of in wanted.items() if of != name}
                elif pins and "ResolutionImpossible" in error.output:
                    pins = {}
                else:
                    raise
                continue
        absent = [line for line in requirements.wanted if line not in wanted]
        return absent, [name for name in requirements.pins if name not in pins]
    raise NotAvailableError(f"there is no wheel for more than {MAX_ATTEMPTS - 1} requirements")


def _install(wheels: Sequence[str], interpreter: _Interpreter, base: Path) -> None:
    """Install the wheels in the sandbox: what is in them is not trusted either."""
    pip = importlib.util.find_spec("pip")
    assert pip is not None  # noqa: S101  (it has downloaded them)
    assert pip.origin is not None  # noqa: S101
    packages = sandbox.Packages(
        mounts=((str(Path(pip.origin).parent), f"{_PIP}/pip"),),
        variables={
            "PYTHONPATH": _PIP,
            "PIP_ROOT_USER_ACTION": "ignore",
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        },
    )
    target = f"{sandbox.INSIDE}/{Path(interpreter.packages).relative_to(_BASE)}"
    command = ["python3", "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--target", target]
    ran = sandbox.run([*command, *(f"./{_WHEELS}/{name}" for name in wheels)], base, packages=packages)
    if ran.code != 0:
        raise NotAvailableError(f"the wheels cannot be installed: {' '.join(ran.output[-300:].split())}")
    remove(base / _WHEELS)
