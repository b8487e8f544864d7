"""Which rules the repository's ruff or flake8 has on, for each file: ruff itself is asked.

Ruff runs with the repository's configuration on files that hold nothing but a `noqa` comment. Of such a comment
it reports the codes that are not enabled for the file, so that no resolution of settings is repeated here. It
loads no code. Flake8's settings are written as settings of ruff.
"""

import json
import re
import subprocess
from collections.abc import Collection, Iterable
from configparser import ConfigParser
from functools import cache
from pathlib import Path

from ruff.__main__ import find_ruff_bin  # type: ignore[import-untyped]

from qflow_dagster.errors import QflowError
from qflow_dagster.evolution.embedded import notebooks
from qflow_dagster.evolution.project_linters import ruff_configuration
from qflow_dagster.evolution.project_linters.protocol import (
    MAX_CHARACTERS,
    Files,
    UnreadableError,
    ini,
    names_of,
    table,
    texts,
    toml,
)
from qflow_dagster.evolution.rules import Rule
from qflow_dagster.safety.folders import work_folder

# Seconds.
TIMEOUT = 60
# Ruff accepts no longer lines.
MAX_LINE_LENGTH = 320
FLAKE8_FILES = (".flake8", "setup.cfg", "tox.ini")
FLAKE8_EXCLUDED = (".svn", "CVS", ".bzr", ".hg", ".git", "__pycache__", ".tox", ".nox", ".eggs", "*.egg")
FLAKE8_SELECTED = ("C90", "E", "F", "W")
FLAKE8_IGNORED = ("E121", "E123", "E126", "E226", "E24", "E704", "W503", "W504")
_ENDINGS = (".py", ".pyi", notebooks.ENDING)
_CODE = re.compile(r"(?<![A-Z])[A-Z]+[0-9]+")
_NOT_ENABLED = re.compile(r"non-enabled: ([^;)]*)")
# Another version of ruff than ours answers the same here.
_REQUIRED_VERSION = re.compile(r"^[ \t]*required-version[ \t]*=.*$", re.MULTILINE)


class RuffLinter:
    """The answers of ruff: the codes that are on, by file, and what a configuration names to be ignored."""

    def __init__(
        self,
        name: str,
        enabled: dict[str, set[str]],
        selected: dict[str, set[str]],
        ignored: dict[str, tuple[str, ...]],
        excluded: set[str],
        notes: list[str],
    ) -> None:
        self.name, self.notes = name, notes
        self._enabled, self._selected, self._ignored, self._excluded = enabled, selected, ignored, excluded

    def state(self, rule: Rule, path: str) -> bool | None:
        """Return whether one of the rule's codes is on for a file; false if the configuration ignores one."""
        codes = codes_of(rule)
        if path not in self._enabled or not codes:
            return None
        if not self._enabled[path].isdisjoint(codes):
            return True
        # Selected, and not on for this file.
        if not self._selected[path].isdisjoint(codes):
            return False
        ignored = self._ignored[path]
        return False if any(code.startswith(ignored) for code in codes) and ignored else None

    def excludes(self, path: str) -> bool:
        """Return whether the linter leaves out that file."""
        return path in self._excluded


def codes_of(rule: Rule) -> tuple[str, ...]:
    """Return the complete codes of a rule."""
    own = (rule.matcher.ruff,) if rule.matcher.ruff else ()
    names = (*own, *names_of(rule, "ruff", "flake8"))
    return tuple(name for name in names if name in known_codes())


def read_ruff(files: Files, paths: Collection[str], codes: Iterable[str]) -> RuffLinter | None:
    """Return what ruff says of these files; None if the repository does not configure it.

    Raises:
        UnreadableError: Ruff does not accept its configuration.
    """
    own = {path: text for path, text in files.items() if path.endswith(".toml")}
    names = {
        Path(path).name for path, text in own.items() if Path(path).name != "pyproject.toml" or "ruff" in text
    }
    if names.isdisjoint(ruff_configuration.NAMES):
        return None
    return _ask("ruff", own, paths, codes)


def read_flake8(files: Files, paths: Collection[str], codes: Iterable[str]) -> RuffLinter | None:
    """Return what flake8 says of these files, as far as ruff knows its rules; None if it is not configured.

    Raises:
        UnreadableError: The configuration cannot be read.
    """
    configuration = flake8_as_ruff(files)
    return None if configuration is None else _ask("flake8", {"ruff.toml": configuration}, paths, codes)


def flake8_as_ruff(files: Files) -> str | None:
    """Return the repository's configuration of flake8 as one of ruff; None if there is none.

    Raises:
        UnreadableError: It cannot be read.
    """
    for name in FLAKE8_FILES:
        if "[flake8" in files.get(name, ""):
            parser = ini(name, files[name])
            if parser.has_section("flake8"):
                return _as_ruff(parser)
    return None


@cache
def known_codes() -> frozenset[str]:
    """Return the codes of all rules of ruff."""
    command = [str(find_ruff_bin()), "rule", "--all", "--output-format", "json"]
    done = subprocess.run(command, capture_output=True, timeout=TIMEOUT, env={}, check=True)
    return frozenset(rule["code"] for rule in json.loads(done.stdout) if rule["code"])


def _as_ruff(parser: ConfigParser) -> str:
    def option(name: str) -> list[str]:
        underscored = parser.get("flake8", name.replace("-", "_"), fallback="")
        return texts(parser.get("flake8", name, fallback=underscored))

    excluded = [*(option("exclude") or FLAKE8_EXCLUDED), *option("extend-exclude")]
    selected = [*(option("select") or FLAKE8_SELECTED), *option("extend-select")]
    ignored = [*(option("ignore") or FLAKE8_IGNORED), *option("extend-ignore")]
    lines = [
        f"exclude = {_list(pattern.removeprefix('./').rstrip('/') for pattern in excluded)}",
        "[lint]",
        f"select = {_list(_known(selected))}",
        f"ignore = {_list(_known(ignored))}",
        "[lint.per-file-ignores]",
        *(
            f"{_text(pattern)} = {_list(_known(names))}"
            for pattern, names in _per_file(option("per-file-ignores")).items()
        ),
    ]
    length = "".join(option("max-line-length"))[:4]
    if length.isdecimal() and 1 <= int(length) <= MAX_LINE_LENGTH:
        lines.insert(0, f"line-length = {int(length)}")
    return "\n".join(lines) + "\n"


def _per_file(parts: Iterable[str]) -> dict[str, list[str]]:
    """Return the codes by pattern of flake8's `per-file-ignores`: patterns, a colon, codes, and so on."""
    ignores: dict[str, list[str]] = {}
    patterns: list[str] = []
    complete = True
    for part in parts:
        pattern, colon, code = part.rpartition(":")
        if not colon and complete and re.fullmatch(r"[A-Z]+[0-9]*", part):
            code = part
        else:
            patterns = [] if complete else patterns
            patterns += [pattern if colon else part] if pattern or not colon else []
            code, complete = (code, True) if colon else ("", False)
        for name in patterns if code else ():
            ignores.setdefault(name.removeprefix("./"), []).append(code)
    return ignores


def _known(prefixes: Iterable[str]) -> list[str]:
    """Return the prefixes of codes that ruff accepts; a code of several letters and digits, or letters alone."""
    return [
        prefix
        for prefix in prefixes
        if re.fullmatch(r"[A-Z]+[0-9]*", prefix)
        and any(code.startswith(prefix) for code in known_codes())
        # Letters alone name a whole linter: `E`, not the first letter of a longer name.
        and (not prefix.isalpha() or any(re.fullmatch(rf"{prefix}[0-9]+", code) for code in known_codes()))
    ]


def _list(values: Iterable[str]) -> str:
    return f"[{', '.join(_text(value) for value in values)}]"


def _text(value: str) -> str:
    # Text of JSON is text of TOML, except for what a pattern of paths has no use for.
    return json.dumps(
        "".join(character for character in value if character.isprintable()), ensure_ascii=False
    )


def _ask(name: str, files: Files, paths: Collection[str], codes: Iterable[str]) -> RuffLinter:
    chosen = frozenset(codes)
    comment = f"# noqa: {', '.join(sorted(chosen))}\n"
    with work_folder("qflow-linter-") as outer:
        # Whatever lies above the folder does not count.
        (outer / "ruff.toml").write_text("")
        folder = outer / "work"
        folder.mkdir()
        for path, text in files.items():
            _write(folder, path, _REQUIRED_VERSION.sub("", text))
        # Of a broken configuration, such as one in the tests of a tool, ruff would read none of the others.
        notes = _remove_broken(folder, files)
        governed: dict[str, Path] = {}
        for path in paths:
            if path.endswith(_ENDINGS):
                configuration = ruff_configuration.configuration_of(path, folder)
                text = comment
                if path.endswith(notebooks.ENDING):
                    text, _ = notebooks.as_notebook(f"{notebooks.CELL}\n{comment}")
                if configuration is not None and _write(folder, path, text):
                    governed[path] = configuration
        enabled = _enabled(folder, chosen)
        # Where a whole family is ignored for a file, ruff says nothing of the comment; without the ignores of
        # single files it does, unless the file is left out.
        anywhere = _enabled(folder, chosen, "--config", "lint.per-file-ignores={}")
        ignored = {file: _ignored(file, folder) for file in set(governed.values())}
    selected: dict[Path, set[str]] = {}
    for path, configuration in governed.items():
        selected.setdefault(configuration, set()).update(anywhere.get(path, set()), enabled.get(path, set()))
    linted = [path for path in governed if path in anywhere or path in enabled]
    return RuffLinter(
        name,
        {path: enabled.get(path, set()) for path in linted},
        {path: selected[governed[path]] for path in linted},
        {path: ignored[governed[path]] for path in linted},
        set(governed) - set(linted),
        notes,
    )


def _remove_broken(folder: Path, files: Files) -> list[str]:
    """Remove configurations that cannot be read, or lead out of the repository; return why."""
    notes = []
    for path in sorted(path for path in files if Path(path).name in ruff_configuration.NAMES):
        file = folder / path
        try:
            if len(files[path]) > MAX_CHARACTERS:
                raise UnreadableError(f"{path} has more than {MAX_CHARACTERS:,} characters")
            ruff_configuration.chain(file, folder)
        except QflowError as error:
            notes.append(str(error))
            file.unlink(missing_ok=True)
    return notes


def _write(folder: Path, path: str, text: str) -> bool:
    try:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
    except (OSError, ValueError):
        # A name that this system does not know.
        return False
    return True


def _enabled(folder: Path, codes: frozenset[str], *arguments: str) -> dict[str, set[str]]:
    """Return the codes that are enabled, by file; files of which ruff says nothing are missing."""
    command = [str(find_ruff_bin()), "check", "--no-cache", "--no-fix", "--exit-zero", "--quiet"]
    command += ["--extend-select", "RUF100", "--config", "lint.external=[]", "--output-format", "json"]
    try:
        done = subprocess.run(
            [*command, *arguments, "."], cwd=folder, capture_output=True, timeout=TIMEOUT, env={}, check=True
        )
        reported = json.loads(done.stdout or b"[]")
    except (OSError, subprocess.SubprocessError, ValueError):
        # Its message may quote what the configuration names.
        raise UnreadableError("ruff does not accept the repository's configuration") from None
    found: dict[str, set[str]] = {}
    for problem in reported:
        if problem["code"] == "RUF100":
            path = str(Path(problem["filename"]).relative_to(folder.resolve()))
            others = _NOT_ENABLED.search(problem["message"])
            found[path] = set(codes - set(_CODE.findall(others[1] if others else "")))
    return found


def _ignored(configuration: Path, folder: Path) -> tuple[str, ...]:
    """Return the prefixes of codes that a configuration ignores, or one that it extends."""
    prefixes: list[str] = []
    for file in ruff_configuration.chain(configuration, folder):
        content = toml(file.name, file.read_text(encoding="utf-8"))
        content = table(content, "tool", "ruff") if file.name == "pyproject.toml" else content
        for settings in (content, table(content, "lint")):
            prefixes += [*texts(settings.get("ignore")), *texts(settings.get("extend-ignore"))]
    return ("",) if "ALL" in prefixes else tuple(prefixes)
