"""The repository's own formatters, and running them: which one formats a file, with which configuration.

Ruff (also in place of Black and isort, where both agree on the file), gofmt, and google-java-format only read a text
and print it. Rustfmt and prettier may load what the repository names: they run in the sandbox. Does not belong
here: what formatting does to a change (`formatting`).
"""

import json
import re
import shutil
import subprocess
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ruff.__main__ import find_ruff_bin  # type: ignore[import-untyped]

from qflow_dagster import sandbox
from qflow_dagster.evolution.project_linters.protocol import ini, table, texts
from qflow_dagster.evolution.project_linters.ruff_configuration import (
    ConfigurationError,
    configuration_of,
    tools_of,
)
from qflow_dagster.safety.folders import work_folder

# Seconds.
TIMEOUT = 60
# Ruff accepts no longer lines.
MAX_LINE_LENGTH = 320
_IMPORT = re.compile(r"^[ \t]*(?:from|import)[ \t].*$", re.MULTILINE)
_PRETTIER_FILES = (".prettierrc*", "prettier.config.*", ".prettierignore", ".editorconfig", "package.json")
_RUSTFMT_FILES = ("rustfmt.toml", ".rustfmt.toml")
_JAVA_BUILDS = ("pom.xml", "build.gradle", "build.gradle.kts", ".pre-commit-config.yaml")
# In the file's folder, so that its configuration applies.
_SCRIPT = """
out="$PWD/qflow-formatted" in="$PWD/$1" PATH="$PWD/node_modules/.bin:$PATH"
cd -- "$(dirname -- "$1")" || exit 1
shift
"$@" < "$in" > "$out"
"""
# Options of isort that ruff has under the same name.
_ISORT_OPTIONS = (
    "force-single-line",
    "force-sort-within-sections",
    "combine-as-imports",
    "lines-after-imports",
)


class FormatterMissingError(Exception):
    """The formatter cannot be run here; the message is what is needed."""


class Formatter(NamedTuple):
    """A formatter of the repository: its name, and formatting a text of a path; None: it cannot read the text."""

    name: str
    format: Callable[[str, str], str | None]
    # The formatter that this one is used instead of: what it calls clean, both do; else nothing is known.
    instead_of: str | None = None
    # Whether a change from one text to another is its concern.
    concerns: Callable[[str, str], bool] = lambda before, after: True


def formatters_of(path: str, language: str, folder: Path) -> list[Formatter]:
    """Return the formatters that a repository (a checkout in `folder`) uses for a file, in order.

    Raises:
        FormatterMissingError: One is not installed here.
        ConfigurationError: A configuration is not used.
    """
    match language:
        case "python":
            return [_python(path, folder), *_isort(path, folder)]
        case "go":
            # It has no configuration, and Go code is expected to be formatted with it.
            program = _program("gofmt")
            return [Formatter("gofmt", lambda path, text: _run([program], text, folder))]
        case "rust":
            _program("rustfmt")
            return [Formatter("rustfmt", lambda path, text: _rustfmt(path, text, folder))]
        case "java":
            return _google_java_format(folder)
        case "javascript" | "typescript" | "tsx" if _has_prettier(path, folder):
            return [Formatter("prettier", lambda path, text: _prettier(path, text, folder))]
    return []


def _python(path: str, folder: Path) -> Formatter:
    configuration = configuration_of(path, folder)
    pyproject = folder / "pyproject.toml"
    black = tools_of(pyproject).get("black") if pyproject.is_file() else None
    ruff = [str(find_ruff_bin()), "format", "--no-cache", "--force-exclude"]
    if isinstance(black, dict):
        length = black.get("line-length", 88)
        if not isinstance(length, int) or not 1 <= length <= MAX_LINE_LENGTH:
            raise ConfigurationError("pyproject.toml: tool.black.line-length is no length of lines")
        ruff += ["--isolated", "--line-length", str(length)]
        if black.get("skip-string-normalization"):
            ruff += ["--config", "format.quote-style='preserve'"]
    else:
        ruff += ["--isolated"] if configuration is None else ["--config", str(configuration)]
    # Without any configuration, a file that ruff leaves as it is counts as formatted too.
    return Formatter(
        "ruff format",
        lambda path, text: _run([*ruff, "--stdin-filename", str(folder / path), "-"], text, folder),
        "black" if isinstance(black, dict) else None,
    )


def _isort(path: str, folder: Path) -> list[Formatter]:
    """Return ruff's sorting of imports with isort's settings, where a repository configures isort."""
    options = _isort_options(folder)
    if options is None:
        return []
    settings = [f"lint.isort.{name}={_toml(options[name])}" for name in _ISORT_OPTIONS if name in options]
    settings += [
        f"lint.isort.{name}={json.dumps(texts(options[name]))}"
        for name in ("known-first-party", "known-third-party")
        if name in options
    ]
    length = str(options.get("line-length", 88 if options.get("profile") == "black" else 79))
    if not length.isdecimal() or not 1 <= int(length[:4]) <= MAX_LINE_LENGTH:
        raise ConfigurationError("isort's line_length is no length of lines")
    command = [
        str(find_ruff_bin()),
        "check",
        "--isolated",
        "--no-cache",
        "--quiet",
        "--select",
        "I",
        "--fix-only",
    ]
    command += ["--line-length", str(int(length))]
    command += [argument for setting in settings for argument in ("--config", setting)]
    sort = Formatter(
        "ruff's sorting of imports",
        lambda path, text: _run([*command, "--stdin-filename", str(folder / path), "-"], text, folder),
        "isort",
        lambda before, after: _IMPORT.findall(before) != _IMPORT.findall(after),
    )
    return [sort]


def _isort_options(folder: Path) -> dict[str, Any] | None:
    """Return isort's settings, named with hyphens; None if it is not configured."""
    found: dict[str, Any] | None = None
    pyproject = folder / "pyproject.toml"
    if pyproject.is_file() and "isort" in tools_of(pyproject):
        found = table(tools_of(pyproject), "isort")
    for name, section in (
        (".isort.cfg", "settings"),
        ("setup.cfg", "isort"),
        ("setup.cfg", "tool:isort"),
        ("tox.ini", "isort"),
    ):
        file = folder / name
        if (
            found is None
            and file.is_file()
            and f"[{section}]" in (content := file.read_text(errors="replace"))
        ):
            found = dict(ini(name, content)[section])
    return None if found is None else {name.replace("_", "-"): value for name, value in found.items()}


def _toml(value: Any) -> str:
    text = str(value).strip().lower()
    return text if text in ("true", "false") or text.isdecimal() else "false"


def _google_java_format(folder: Path) -> list[Formatter]:
    builds = [folder / name for name in _JAVA_BUILDS if (folder / name).is_file()]
    configured = " ".join(build.read_text(errors="replace") for build in builds).lower()
    if not re.search(r"google-?java-?format|fmt-maven-plugin", configured):
        return []
    program = _program("google-java-format")
    style = ["--aosp"] if "aosp" in configured else []
    return [Formatter("google-java-format", lambda path, text: _run([program, *style, "-"], text, folder))]


def _run(command: Sequence[str], text: str, folder: Path) -> str | None:
    """Run a formatter that only reads: it gets the text, and returns the formatted one."""
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            input=text.encode(),
            capture_output=True,
            timeout=TIMEOUT,
            env={"PATH": "/usr/local/bin:/usr/bin:/bin"},
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.decode(errors="replace") if done.returncode == 0 else None


def _rustfmt(path: str, text: str, folder: Path) -> str | None:
    return _in_sandbox(["rustfmt", "--edition", _edition(path, folder)], path, text, folder, _RUSTFMT_FILES)


def _prettier(path: str, text: str, folder: Path) -> str | None:
    command = ["prettier", "--stdin-filepath", Path(path).name]
    return _in_sandbox(command, path, text, folder, _PRETTIER_FILES)


def _in_sandbox(
    command: Sequence[str], path: str, text: str, folder: Path, configuration: Sequence[str]
) -> str | None:
    """Run a formatter in the sandbox, on the text and the configuration files above it alone."""
    with work_folder("qflow-format-") as outer:
        work = outer / "work"
        (work / path).parent.mkdir(parents=True)
        for parent in Path(path).parents:
            for pattern in configuration:
                for file in (folder / parent).glob(pattern):
                    if file.is_file() and not file.is_symlink():
                        shutil.copyfile(file, work / parent / file.name)
        # A repository may hold its formatter; none is fetched.
        modules = folder / "node_modules"
        if command[0] == "prettier" and modules.is_dir() and not modules.is_symlink():
            shutil.copytree(modules, work / "node_modules", symlinks=True)
        (work / path).write_bytes(text.encode())
        ran = sandbox.run(["sh", "-c", _SCRIPT, "sh", path, *command], work)
        if ran.code in (126, 127) or "is not installed" in ran.output:
            raise FormatterMissingError(f"needs {command[0]}")
        formatted = work / "qflow-formatted"
        if ran.code != 0 or formatted.is_symlink() or not formatted.is_file():
            return None
        return formatted.read_text(encoding="utf-8", errors="replace")


def _edition(path: str, folder: Path) -> str:
    for parent in Path(path).parents:
        manifest = folder / parent / "Cargo.toml"
        if manifest.is_file():
            try:
                edition = tomllib.loads(manifest.read_text(encoding="utf-8"))["package"]["edition"]
            except (ValueError, KeyError, TypeError):
                continue
            if edition in ("2015", "2018", "2021", "2024"):
                return edition
    return "2021"


def _has_prettier(path: str, folder: Path) -> bool:
    for parent in Path(path).parents:
        if any((folder / parent).glob(".prettierrc*")) or any((folder / parent).glob("prettier.config.*")):
            return True
        manifest = folder / parent / "package.json"
        if manifest.is_file():
            try:
                package = json.loads(manifest.read_text(encoding="utf-8"))
            except ValueError:
                continue
            if isinstance(package, dict) and (
                "prettier" in package or "prettier" in (package.get("devDependencies") or {})
            ):
                return True
    return False


def _program(name: str) -> str:
    program = shutil.which(name)
    if program is None:
        raise FormatterMissingError(f"needs {name}")
    return program
