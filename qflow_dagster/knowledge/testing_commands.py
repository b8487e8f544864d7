"""Read the commands that run the tests of a project: of manifests, build files and continuous integration.

Belongs here: how each kind of file says them, and which commands run tests. Does not belong here: answers
(`project_answers`), the tests of a file or symbol (`coverage_answers`).
"""

import json
import re
from collections.abc import Iterator

# Files that may say how tests are run, and those of continuous integration, anywhere or in folders of their own.
FILES = (
    r"^(?:[Mm]akefile|justfile|tox\.ini|noxfile\.py|Rakefile|mix\.exs|go\.mod|Cargo\.toml|pom\.xml|Package\.swift"
    r"|build\.gradle(?:\.kts)?|package\.json|composer\.json"
    r"|\.travis\.ya?ml|\.?appveyor\.ya?ml|\.gitlab-ci\.ya?ml|azure-pipelines[\w.-]*\.ya?ml|Jenkinsfile)$"
)
WORKFLOWS = (".github/workflows/", ".circleci/")
# What the tools of a language run at the top folder.
_USUAL = {
    "go.mod": "go test ./...",
    "Cargo.toml": "cargo test",
    "pom.xml": "mvn test",
    "mix.exs": "mix test",
    "build.gradle": "gradle test",
    "build.gradle.kts": "gradle test",
}
_TARGET = re.compile(r"^(?:test|check|tests)[\w-]*:(?!=).*$", re.MULTILINE)
_DEFAULT_TASK = re.compile(
    r"^\s{0,8}task[ (]{1,3}:?[\"']?default[\"']?\s?(?:=>|:|,)(.{1,200})$", re.MULTILINE
)
_TASK = re.compile(
    r"^\s{0,8}(?:task|(?:\w+::){1,4}(?:RakeTask|TestTask)\.new)\b[ (]{0,3}[:\"']?((?:test|spec|features)[\w:]{0,40})",
    re.MULTILINE,
)
# Keys whose values are commands; those of lists of commands.
_COMMAND = re.compile(r"(?:run|command|cmd|ps|pwsh|powershell|sh|bash|(?:\w+_)?script):(?=\s|$)")
_LISTS = re.compile(r"(?:\w+_)?script:$")
_BLOCK = re.compile(r"[|>][-+]?$")
_OF_JENKINS = re.compile(
    r"^\s{0,40}(?:sh|bat|powershell)\b[ (]{0,3}(?:script:\s?)?[\"']{1,3}([^\"'\n]{1,300})"
)

# Programs that run tests, whatever they are given.
_RUNNERS = re.compile(
    r"(?<![\w/.@-])(?:\S{0,60}/)?(?:tox|pytest|nox|phpunit|pest|rspec|cucumber|minitest|jest|vitest|mocha|ava|karma|gotestsum"
    r"|ctest|nextest|behat|bats|tap)(?![\w-])"
)
# Tools of which a task or target runs tests.
_TOOLS = re.compile(
    r"(?<![\w.-])(?:npm|pnpm|yarn|bun|deno|cargo|cross|go|dotnet|swift|gradlew?|mvnw?|sbt|mill|mix|make|ninja|just|composer"
    r"|rake|bake|rails|python3?|py|uv|hatch|poetry|bazel|meson|zig|cmake|lein|stack|cabal|task|invoke|xcodebuild|msbuild)"
    r"(?:\.(?:bat|cmd|exe))?(?![\w-])"
)
_TASK_OF_TOOL = re.compile(
    r"(?:(?<![\w/.-])|-m [\w.]{0,60}\.|:)(?:[a-z]\w{0,30}(?=Tests?\b))?[tT]ests?(?::[\w:-]{1,60})?(?![\w/.=-])"
)
_CHECKS = re.compile(
    r"\b(?:make|gradlew?) check\b|\bmvnw? (?:.{0,80} )?verify\b|\bnode (?:.{0,80} )?--test\b"
)
# A script with the name of tests: `scripts/test`, `./run-tests.sh`; not the command of shells that compares.
_SCRIPT = re.compile(
    r"(?:(?:sh|bash|python3?)\s)?(?:\.?\.?/)?(?:[\w.-]{1,60}/){0,6}(?:run[-_]?)?tests?(?:[-_]\w{1,40})?(?:\.\w{1,4})?(?:\s(?![-\"'$!])|$)"
)
_INSTALLS = re.compile(r"(?<![\w-])(?:install|download|build|lint|clippy|add|restore)(?![\w-])")
# These change or show files, or set something.
_NO_TEST = re.compile(
    r"(?:sudo )?(?:sed|awk|cat|cp|mv|rm|mkdir|echo|printf|cd|pushd|lcov|find|for|if|export|set|git|curl|wget|chmod"
    r"|touch|ls|tar|unzip|docker|createdb|psql|mysql|name:|test(?= -))(?!\S)"
)
_OF_RAKE = re.compile(r"test|spec|feature|default|^ci$")


def read(path: str, content: str) -> list[tuple[int, str]]:
    """Return the commands of a file that run tests, each with its line; of continuous integration, the first one."""
    name = path.rpartition("/")[2]
    if name in _USUAL:
        return [(1, _USUAL[name])] if "/" not in path else []
    if name in ("package.json", "composer.json"):
        return list(_of_scripts(name, content))
    if name == "Package.swift":
        target = content.find(".testTarget(") if "/" not in path else -1
        return [(_line(content, target), "swift test")] if target >= 0 else []
    if name == "Rakefile":
        return list(_of_rake(content))
    if name == "tox.ini":
        number, command = _of_tox(content)
        return [(number, f"tox, which runs {command}" if command else "tox")]
    if name == "noxfile.py":
        return [(1, "nox")]
    if name.lower() in ("makefile", "justfile"):
        tool = "just" if name == "justfile" else "make"
        target = _TARGET.search(content)
        return [(_line(content, target.start()), f"{tool} {target[0].partition(':')[0]}")] if target else []
    steps = _of_jenkins(content) if name == "Jenkinsfile" else _steps(content)
    return [step for step in steps if runs_tests(step[1])][:1]


def runs_tests(command: str) -> bool:
    """Return whether a part of a command runs tests, and does not only install what they need."""
    return any(_runs_tests(part.strip()) for part in re.split(r"&&|\|\||;", command[:1_000]))


def _runs_tests(part: str) -> bool:
    if _NO_TEST.match(part) or _INSTALLS.search(part):
        return False
    words = part.split()
    if "rake" in words:
        tasks = [word for word in words[words.index("rake") + 1 :] if not word.startswith("-")]
        return not tasks or any(map(_OF_RAKE.search, tasks))
    return bool(
        _RUNNERS.search(part)
        or _SCRIPT.match(part)
        or _CHECKS.search(part)
        or (_TOOLS.search(part) and _TASK_OF_TOOL.search(part))
    )


def _line(content: str, offset: int) -> int:
    return content.count("\n", 0, offset) + 1


def _of_scripts(name: str, content: str) -> Iterator[tuple[int, str]]:
    """Yield the scripts of a manifest that are called test, or begin so."""
    try:
        scripts = (json.loads(content).get("scripts") or {}).items()
    except (ValueError, AttributeError, RecursionError):
        return
    start = max(content.find('"scripts"'), 0)
    tool = "npm" if name == "package.json" else "composer"
    for key, value in scripts:
        if key == "test" or key.startswith("test:"):
            found = re.compile(rf'"{re.escape(key)}"\s{{0,9}}:').search(content, start)
            said = "; ".join(map(str, value)) if isinstance(value, list) else value
            run = tool if key == "test" or tool == "composer" else "npm run"
            yield _line(content, found.start() if found else start), f"{run} {key}: {said}"


def _of_rake(content: str) -> Iterator[tuple[int, str]]:
    """Yield the default task of Ruby, if it runs tests, else the first task that does by its name."""
    default = _DEFAULT_TASK.search(content)
    if default and _OF_RAKE.search(default[1]):
        named = re.sub(r"%[wi]", "", default[1]).partition("#")[0].partition(" do")[0]
        tasks = re.findall(r"[\w:]*\w", named)
        yield (
            _line(content, default.start(1)),
            f"rake, which runs {', '.join(task.lstrip(':') for task in tasks)}",
        )
    elif task := _TASK.search(content):
        yield _line(content, task.start(1)), f"rake {task[1]}"


def _of_tox(content: str) -> tuple[int, str]:
    """Return the first command of tox that runs tests, and its line; '' if there is none."""
    inside = False
    for number, line in enumerate(content.splitlines(), 1):
        inside = line.startswith("commands") or (inside and (line[:1].isspace() or not line))
        command = line.removeprefix("commands").strip(" \t=")
        if inside and not command.startswith("#") and runs_tests(command):
            return number, command
    return 1, ""


def _steps(content: str) -> Iterator[tuple[int, str]]:
    """Yield the commands of continuous integration, also those in blocks and lists, each with its line."""
    block: int | None = None
    listed = False
    for number, line in enumerate(content.splitlines(), 1):
        item = line.strip()
        indent, command = len(line) - len(line.lstrip()), item.removeprefix("- ").strip()
        if item.startswith("#"):
            continue
        inside = block is not None and (
            not item or indent > block or (listed and indent == block and item.startswith("- "))
        )
        key = _COMMAND.match(command)
        if inside and not (listed and key):
            yield number, _unquoted(command)
            continue
        if not inside:
            block, listed = None, False
        if key is None:
            continue
        if _BLOCK.search(command):
            block, listed = indent, False
        elif _LISTS.match(command):
            block, listed = indent, True
        else:
            yield number, _unquoted(command[key.end() :])


def _of_jenkins(content: str) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(content.splitlines(), 1):
        if match := _OF_JENKINS.match(line):
            yield number, match[1]


def _unquoted(command: str) -> str:
    command = command.strip()
    quoted = len(command) > 1 and command[0] == command[-1] and command[0] in "\"'"
    return command[1:-1] if quoted else command
