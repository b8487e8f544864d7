"""What a role may do: adapters, commands, hosts, paths, time. Whatever is not allowed is denied.

Belongs here: the limits per role and one pure check, called when a task graph is submitted and
again, with the values filled in, before a task runs. Commands and hosts are compared whole, and
paths after they are resolved: `/code/../etc` is not in `/code`, `github.com.evil.com` is not
`github.com`. Does not belong here: isolation (`sandbox`), which holds what is allowed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from qflow_dagster.errors import QflowError
from qflow_dagster.settings import settings


class PolicyViolationError(QflowError):
    """A task wants what its role may not; nothing of it ran."""


@dataclass(frozen=True)
class RolePolicy:
    """The limits of a role; None: no limit of the role's own (the adapter's stays)."""

    adapters: frozenset[str]
    # Seconds a task may ask for.
    timeout: float | None
    # First words of shell commands.
    commands: frozenset[str] | None = frozenset()
    hosts: frozenset[str] | None = frozenset()
    # Folders of a repository whose files may be read; "" is all of it.
    paths: tuple[str, ...] = ("",)
    # MB of each process of a command.
    memory: int = 2_048
    # Tasks of the role that run at a time, on all machines together.
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
    """The limits of a role, with what `QFLOW_EXECUTION_ROLES` changes of them.

    Raises:
        PolicyViolationError: there is no such role.
    """
    if role not in POLICIES:
        raise PolicyViolationError(f"no role {role!r}; there are: {', '.join(POLICIES)}")
    given = settings().execution.roles.get(role)
    if given is None:
        return POLICIES[role]
    changed = given.model_dump(exclude_none=True)
    for name in ("adapters", "commands", "hosts"):
        if name in changed:
            changed[name] = frozenset(changed[name])
    if "paths" in changed:
        changed["paths"] = tuple(changed["paths"])
    return replace(POLICIES[role], **changed)


def check(
    role: str, adapter: str, arguments: Mapping[str, Any], timeout: float | None, *, filled: bool
) -> None:
    """Refuse what the role may not do.

    Before references are `filled` in, what holds one (`${...}`) is let through; afterwards nothing is: what was
    filled in may look like a reference.

    Raises:
        PolicyViolationError: it names the role and the rule.
    """
    limits = policy(role)
    if adapter not in limits.adapters:
        raise PolicyViolationError(f"a {role} may not use {adapter}; it may: {_words(limits.adapters)}")
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
    """Refuse a URL the role may not ask, as one it was redirected to. Raises `PolicyViolationError`."""
    _check_host(role, policy(role), url, filled=True)


def _check_command(role: str, limits: RolePolicy, command: Any) -> None:
    if not isinstance(command, list) or not command or not all(isinstance(word, str) for word in command):
        raise PolicyViolationError("`command` is a list of words, the program first")
    program = command[0]
    if limits.commands is None:
        return
    # Found on the sandbox's own PATH: with a slash it would be a file of the repository.
    if program not in limits.commands:
        raise PolicyViolationError(f"a {role} may not run {program!r}; it may: {_words(limits.commands)}")


def _check_host(role: str, limits: RolePolicy, url: Any, filled: bool) -> None:
    if not isinstance(url, str):
        raise PolicyViolationError("`url` is missing")
    if not filled and ("${" in url.partition("//")[2].partition("/")[0] or url.startswith("${")):
        return
    # Some readers of an address pass over these, some do not.
    if any(character <= " " or character in "\\\x7f" for character in url):
        raise PolicyViolationError(f"{url!r} has a blank, a backslash or a control character")
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        raise PolicyViolationError(f"{url!r} is no URL") from None
    if parts.scheme not in ("http", "https") or not host:
        raise PolicyViolationError(f"{url!r} is no http or https URL")
    if parts.username or parts.password:
        raise PolicyViolationError("a URL with a password is not asked: it would be stored with the task")
    if limits.hosts is not None and host not in limits.hosts:
        raise PolicyViolationError(f"a {role} may not ask {host}; it may: {_words(limits.hosts)}")


def _check_headers(headers: Any) -> None:
    for name in headers:
        # A server that has many hosts answers for the one that is named here.
        if str(name).lower() in ("host", "connection", "content-length", "transfer-encoding", "upgrade"):
            raise PolicyViolationError(
                f"the header {name!r} is not set by a task: it follows from the request"
            )


def _check_path(role: str, limits: RolePolicy, path: Any, filled: bool) -> None:
    if not filled and isinstance(path, str) and "${" in path:
        return
    if not isinstance(path, str) or not path or "\0" in path:
        raise PolicyViolationError(f"{path!r} is no path")
    pure = PurePosixPath(path)
    if pure.is_absolute() or ".." in pure.parts or ".git" in pure.parts:
        raise PolicyViolationError(f"{path!r} is no path within a repository")
    if not any(pure.is_relative_to(folder) if folder else True for folder in limits.paths):
        raise PolicyViolationError(f"a {role} may not read {path!r}; it may: {_words(limits.paths)}")


def _words(names: Any) -> str:
    return ", ".join(sorted(names)) or "nothing"
