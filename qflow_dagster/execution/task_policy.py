"""The permissions of a role: adapters, commands, hosts, paths, time. Whatever is not allowed is denied.

Belongs here: the limits per role and one pure check, called when a task graph is submitted and
again, with the references filled in, before a task runs. Commands and hosts must match exactly, and
paths are compared after they are resolved: `/code/../etc` is not in `/code`, `github.com.evil.com` is not
`github.com`. Does not belong here: isolation (`sandbox`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any

from qflow_dagster.errors import QflowError
from qflow_dagster.safety.urls import http_url
from qflow_dagster.settings import settings


class PolicyViolationError(QflowError):
    """A task requests what its role does not allow; nothing of it ran."""


@dataclass(frozen=True)
class RolePolicy:
    """The limits of a role; None means that only the adapter's own limit applies."""

    adapters: frozenset[str]
    # Longest timeout of a task, in seconds.
    timeout: float | None
    # Programs that shell commands may start.
    commands: frozenset[str] | None = frozenset()
    hosts: frozenset[str] | None = frozenset()
    # Folders of a repository whose files may be read; "" is the complete repository.
    paths: tuple[str, ...] = ("",)
    # Memory of each process of a command, in MB.
    memory: int = 2_048
    # How many tasks of the role may run at the same time, on all machines together.
    concurrency: int | None = None


_BUILD = frozenset(
    {
        "python3",
        "python",
        "node",
        "npm",
        "npx",
        "cargo",
        "go",
        "mix",
        "gleam",
        "make",
        "java",
        "mvn",
        "gradle",
        "bun",
    }
)
_TEXT = frozenset(
    {
        "sh",
        "cat",
        "ls",
        "grep",
        "sed",
        "awk",
        "sort",
        "uniq",
        "wc",
        "head",
        "tail",
        "diff",
        "echo",
        "true",
        "false",
        "jq",
        "tr",
        "cut",
    }
)
DOCUMENTATION = frozenset(
    {
        "hexdocs.pm",
        "docs.rs",
        "github.com",
        "elixir-lang.org",
        "rust-lang.org",
        "npmjs.com",
        "crates.io",
        "docs.python.org",
        "go.dev",
        "pkg.go.dev",
    }
)
POLICIES: Mapping[str, RolePolicy] = {
    "coder": RolePolicy(
        adapters=frozenset({"shell", "python", "files", "agent"}),
        timeout=300,
        commands=_BUILD | _TEXT | {"git"},
    ),
    "tester": RolePolicy(
        adapters=frozenset({"shell", "python", "files", "agent"}),
        timeout=600,
        commands=_BUILD | {"pytest", "tox", "sh"},
        memory=4_096,
    ),
    "critic": RolePolicy(adapters=frozenset({"python", "files", "agent"}), timeout=30),
    "researcher": RolePolicy(adapters=frozenset({"http", "files", "agent"}), timeout=60, hosts=DOCUMENTATION),
    "admin": RolePolicy(
        adapters=frozenset({"shell", "http", "python", "files", "agent", "dagster"}),
        timeout=None,
        commands=None,
        hosts=None,
    ),
}


def policy(role: str) -> RolePolicy:
    """Return the limits of a role, with the changes of the setting `QFLOW_EXECUTION_ROLES`.

    Raises:
        PolicyViolationError: there is no such role.
    """
    if role not in POLICIES:
        raise PolicyViolationError(f"no role {role!r}; there are: {', '.join(POLICIES)}")
    overrides = settings().execution.roles.get(role)
    if overrides is None:
        return POLICIES[role]
    changes = overrides.model_dump(exclude_none=True)
    for name in ("adapters", "commands", "hosts"):
        if name in changes:
            changes[name] = frozenset(changes[name])
    if "paths" in changes:
        changes["paths"] = tuple(changes["paths"])
    return replace(POLICIES[role], **changes)


def check(
    role: str, adapter: str, arguments: Mapping[str, Any], timeout: float | None, *, filled: bool
) -> None:
    """Refuse what the role may not do.

    Before references are `filled` in, a value that holds one (`${...}`) passes; afterwards none does,
    since a filled-in value may look like a reference.

    Raises:
        PolicyViolationError: with the role and the rule in its message.
    """
    limits = policy(role)
    if adapter not in limits.adapters:
        raise PolicyViolationError(
            f"a {role} may not use {adapter}; it may: {_comma_separated(limits.adapters)}"
        )
    if timeout is not None and limits.timeout is not None and timeout > limits.timeout:
        raise PolicyViolationError(f"a {role} may take {limits.timeout:g} s, not {timeout:g}")
    if adapter == "shell":
        _check_command(role, limits, arguments.get("command"))
    if adapter == "http":
        _check_host(role, limits, arguments.get("url"), filled)
        _check_headers(arguments.get("headers") or {})
    if adapter == "files":
        for path in arguments.get("paths") or ():
            _check_path(role, limits, path, filled)


def allowed_host(role: str, url: str) -> None:
    """Refuse a URL whose host the role may not request, such as the target of a redirect.

    Raises:
        PolicyViolationError: with the role and the rule in its message.
    """
    _check_host(role, policy(role), url, filled=True)


def _check_command(role: str, limits: RolePolicy, command: Any) -> None:
    if not isinstance(command, list) or not command or not all(isinstance(word, str) for word in command):
        raise PolicyViolationError("`command` is a list of strings, the program first")
    program = command[0]
    if limits.commands is None:
        return
    # Looked up on the sandbox's own PATH: with a slash it would be a file of the repository.
    if program not in limits.commands:
        raise PolicyViolationError(
            f"a {role} may not run {program!r}; it may: {_comma_separated(limits.commands)}"
        )


def _check_host(role: str, limits: RolePolicy, url: Any, filled: bool) -> None:
    if not isinstance(url, str):
        raise PolicyViolationError("`url` is missing")
    if not filled and ("${" in url.partition("//")[2].partition("/")[0] or url.startswith("${")):
        return
    # URL parsers differ in how they treat these characters.
    if any(character <= " " or character in "\\\x7f" for character in url):
        raise PolicyViolationError(f"{url!r} has a blank, a backslash or a control character")
    parts = http_url(url)
    if parts is None:
        raise PolicyViolationError(f"{url!r} is not an http or https URL")
    if parts.username or parts.password:
        raise PolicyViolationError("a URL with a password is refused: it would be stored with the task")
    if limits.hosts is not None and parts.hostname not in limits.hosts:
        raise PolicyViolationError(
            f"a {role} may not request {parts.hostname}; it may: {_comma_separated(limits.hosts)}"
        )


def _check_headers(headers: Any) -> None:
    for name in headers:
        # A server of many hosts answers for the host named in the header, not the one in the URL.
        if str(name).lower() in ("host", "connection", "content-length", "transfer-encoding", "upgrade"):
            raise PolicyViolationError(
                f"the header {name!r} cannot be set by a task: it follows from the request"
            )


def _check_path(role: str, limits: RolePolicy, path: Any, filled: bool) -> None:
    if not filled and isinstance(path, str) and "${" in path:
        return
    if not isinstance(path, str) or not path or "\0" in path:
        raise PolicyViolationError(f"{path!r} is not a path")
    pure = PurePosixPath(path)
    if pure.is_absolute() or ".." in pure.parts or ".git" in pure.parts:
        raise PolicyViolationError(f"{path!r} is not a path within a repository")
    if not any(pure.is_relative_to(folder) if folder else True for folder in limits.paths):
        raise PolicyViolationError(
            f"a {role} may not read {path!r}; it may: {_comma_separated(limits.paths)}"
        )


def _comma_separated(names: Any) -> str:
    return ", ".join(sorted(names)) or "nothing"
