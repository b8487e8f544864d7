"""The program that calls functions before and after a change, or records what they do, inside the sandbox.

It runs with whatever Python the repository has (3.8 or later), so it uses the standard library alone, and nothing
of this project. Where the generated inputs show no difference, CrossHair searches for one, if it is installed.

`driver.py JOBS` reads the jobs (see `behaviour`), prints the results as JSON after a mark.
`driver.py JOBS JOB FUNCTION [INPUT]` calls one function with all of its inputs, or one, each in a process of its own
that is forked after the import, so that no call sees what another left behind.
"""

import ast
import asyncio
import collections
import importlib
import inspect
import io
import itertools
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

MARK = "qflow-report:"
# Seconds for one call; calls of one input in a row: the second sees what the first left in defaults and caches.
CALL_SECONDS = 2
CALLS = 2
# Inputs whose calls do not end, after which no more are tried.
MAX_ENDLESS = 3
NO_IMPORT = "could not be imported: "
ENDLESS = f"ended by signal {signal.SIGALRM.value}"
# Of a result that is a function, or has nothing inside that can be seen, it is not known what it does.
OPAQUE = "something that cannot be compared"
MAX_ITEMS = 50
MAX_LENGTH = 2_000
# What a function raises for an input of a type that it is not for.
_UNFIT = re.compile(r": raised (TypeError|AttributeError)")
# The first difference in the output of CrossHair: the arguments.
_FOUND = re.compile(r"^Given: \((.*?)\),?$", re.M)
_ADDRESS = re.compile(r"\b0x[0-9a-fA-F]+\b")
# A change moves lines, whose numbers warnings and tracebacks show.
_LINE = re.compile(r"(\bline |\.py:)\d+")
# What is not the same everywhere and always, or reaches out of the process: the module and the name of what is called.
_OUTSIDE = re.compile(
    r"(os|posix|platform|random|secrets|time|uuid|subprocess|ctypes|_?(thread|io|socket|sqlite3))\.(?!fspath$|_path_)"
    r"|builtins\.id$|\.(date|datetime)\.(now|utcnow|today|(from)?timestamp|astimezone)$|\.Random\."
)
MAX_LITERAL = 200


def main(arguments):
    """Run all jobs, or call one function."""
    jobs = json.loads(Path(arguments[0]).read_text())
    if len(arguments) > 1:
        function = jobs[int(arguments[1])]["functions"][int(arguments[2])]
        call_all(function, arguments[3:] or function["inputs"])
        return
    results = [(record if job.get("record") else compare)(arguments[0], n, job) for n, job in enumerate(jobs)]
    sys.stdout.write(f"\n{MARK}{json.dumps(results)}\n")


def compare(jobs_file, number, job):
    """Return for each function of a job: how many inputs were compared, the first difference, or why there is none."""
    deadline = time.monotonic() + job["seconds"]
    before_change = {path: Path(path).read_bytes() for path in job["files"]}
    after_change = {path: text.encode() for path, text in job["files"].items()}

    def called(contents, positions, *text):
        write(contents)
        try:
            return [calls([jobs_file, number, at, *text], deadline) for at in positions]
        finally:
            write(before_change)

    def both(at, *text):
        return [called(contents, [at], *text)[0] for contents in (before_change, after_change)]

    every = range(len(job["functions"]))
    firsts = zip(called(before_change, every), called(after_change, every), strict=True)
    results = []
    for at, (function, first) in enumerate(zip(job["functions"], firsts, strict=True)):
        # Only what differs is called again: results that vary without a change cannot be compared.
        again = first if first[0] == first[1] else both(at)
        result = difference(function["typed"], first, again)
        is_known = "different" in result or not function["typed"] or function["kind"] != "function"
        if not is_known and (text := searched(function, after_change, deadline)):
            confirmed = difference(True, both(at, text), both(at, text))
            result = confirmed if "different" in confirmed else result
        results.append(result)
    return results


def record(jobs_file, number, job):
    """Return what each function of a job does with its inputs, if two processes agree; text: why there is nothing."""
    deadline = time.monotonic() + job["seconds"]
    results = []
    for at in range(len(job["functions"])):
        first, second = (calls([jobs_file, number, at], deadline, seed) for seed in "01")
        if isinstance(first, dict) and isinstance(second, dict):
            first = first if all(second.get(t, r) == r for t, r in first.items()) else "its results vary"
        results.append(second if isinstance(second, str) and isinstance(first, dict) else first)
    return results


def write(contents):
    """Write files, by path."""
    for path, content in contents.items():
        Path(path).write_bytes(content)


def searched(function, changed, deadline):
    """Return an input for which CrossHair says that a function differs after the change, as text, or None."""
    path, name = Path(function["path"]), function["name"]
    seconds = int(deadline - time.monotonic())
    if shutil.which("crosshair") is None or seconds < 1:
        return None
    folder, module = module_of(path.resolve())
    # Beside the file, with what is before the change in it.
    other = path.with_name(f"{path.stem}_before_change.py")
    originals = {each: Path(each).read_bytes() for each in changed}
    other.write_bytes(originals[function["path"]])
    write(changed)
    command = ["crosshair", "diffbehavior", "--per_condition_timeout", str(seconds)]
    try:
        ran = subprocess.run(
            [*command, f"{module}_before_change.{name}", f"{module}.{name}"],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=seconds,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    finally:
        write(originals)
        other.unlink()
    found = _FOUND.search(ran.stdout.decode("utf-8", "replace"))
    try:
        call = ast.parse(f"f({found[1]})", mode="eval").body if found else None
        keywords = call.keywords if isinstance(call, ast.Call) else []
        arguments = {keyword.arg: ast.literal_eval(keyword.value) for keyword in keywords}
    except (ValueError, SyntaxError):
        # One is an object.
        return None
    return repr(((), (), arguments)) if found else None


def difference(typed, first, again):
    """Return the outcome of one function, before and after; `typed`: its parameters say which inputs it is for."""
    before, after = first
    if isinstance(before, str):
        return {"compared": 0, "reason": before}
    if isinstance(after, str):
        failed = after.startswith(NO_IMPORT)
        return (
            {"compared": 0, "different": ["import", "it worked", after]}
            if failed
            else {"compared": 0, "reason": after}
        )
    # Where there was no time for the last calls, the first ones count.
    again_before, again_after = (called if isinstance(called, dict) else {} for called in again)
    both = [
        text
        for text, result in before.items()
        if again_before.get(text) == result and text in after
        if again_after.get(text, after[text]) == after[text] and not result == after[text] == ENDLESS
    ]
    if not both:
        return {"compared": 0, "reason": "its results vary, or no call ended in time"}
    for text in both:
        unfit = not typed and _UNFIT.search(before[text]) and ": raised" not in after[text]
        if before[text] != after[text] and not unfit:
            return {"compared": len(both), "different": [text, before[text], after[text]]}
    if any(OPAQUE in before[text] for text in both):
        return {"compared": 0, "reason": f"a result is {OPAQUE}"}
    return {"compared": len(both), "raised": sum(": raised " in before[text] for text in both)}


def calls(arguments, deadline, seed="0"):
    """Return the description of each input's calls, in a process of its own; text: why there are none."""
    left = deadline - time.monotonic()
    if left <= 0:
        return "the time was used up"
    environment = dict(os.environ, PYTHONHASHSEED=seed, PYTHONDONTWRITEBYTECODE="1")
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(
            [sys.executable, "-B", __file__, *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.DEVNULL,
            env=environment,
            start_new_session=True,
        )
        try:
            process.wait(left)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        output.seek(0)
        lines = output.read().splitlines()
    described = {}
    for line in lines:
        if not line.startswith(MARK):
            continue
        text, result = json.loads(line[len(MARK) :])
        if text is None:
            return result
        described[text] = result
    return described or "no call ended in time"


def call_all(function, inputs):
    """Import the module and call a function with every input; print a line for each."""
    say = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    try:
        module = import_file(Path(function["path"]).resolve())
        owner, _, name = function["name"].rpartition(".")
        target = getattr(module, owner) if owner else module
        getattr(target, name)
    except BaseException as error:
        print(MARK + json.dumps([None, NO_IMPORT + raised(error)]), file=say, flush=True)
        return
    endless = 0
    for text in inputs:
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            signal.alarm(CALL_SECONDS)
            described = recorded if function.get("record") else describe_calls
            result = described(module, target, name, function["kind"], text)
            os.write(write, result.encode("utf-8", "backslashreplace")[: 4 * MAX_LENGTH])
            os._exit(0)
        os.close(write)
        with os.fdopen(read, "rb") as pipe:
            result = pipe.read().decode("utf-8", "replace")
        _, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status):
            result = f"ended by signal {os.WTERMSIG(status)}"
            endless += result == ENDLESS
        elif not result:
            result = f": raised nothing, and ended the process with {os.WEXITSTATUS(status)}"
        print(MARK + json.dumps([text, result]), file=say, flush=True)
        if endless == MAX_ENDLESS:
            return


def module_of(path):
    """Return the folder that a module is imported from, and its name with that of its package."""
    folder, parts = path.parent, [path.stem]
    while (folder / "__init__.py").exists():
        parts.insert(0, folder.name)
        folder = folder.parent
    if parts[-1] == "__init__" and len(parts) > 1:
        parts.pop()
    return str(folder), ".".join(parts)


def import_file(path):
    """Import a file as the module that it is in its package."""
    folder, name = module_of(path)
    sys.path[:0] = [folder, str(Path.cwd())]
    return importlib.import_module(name)


def describe_calls(module, target, name, kind, text):
    """Return what calls with one input did: results or exceptions, arguments afterwards, output."""
    parts = []
    random.seed(0)
    at_import = data_of(module)
    with tempfile.TemporaryFile("w+") as output:
        os.dup2(output.fileno(), 1)
        sys.stdout = os.fdopen(1, "w", closefd=False)
        sys.stderr = io.StringIO()
        for _ in range(CALLS):
            constructor, arguments, keywords = ast.literal_eval(text)
            try:
                bound, result = call(target, name, kind, constructor, arguments, keywords)
                parts.append("returned " + description(result))
                mutable = [value for value in arguments if isinstance(value, (list, dict, set, bytearray))]
                parts += ["the argument itself" for value in mutable if result is value]
                if kind in ("method", "property") and name != "__init__":
                    parts.append("self " + description(bound).replace(OPAQUE, ""))
            except BaseException as error:
                parts.append(": raised " + raised(error))
            parts.append("arguments " + description([arguments, keywords]).replace(OPAQUE, ""))
        sys.stdout.flush()
        output.seek(0)
        printed = output.read(MAX_LENGTH) + sys.stderr.getvalue()[:MAX_LENGTH]
    if printed:
        parts.append("printed " + repr(_LINE.sub(r"\1", printed)))
    parts += ["globals " + text for text in [data_of(module)] if text != at_import]
    return "; ".join(parts)


def call(target, name, kind, constructor, arguments, keywords):
    """Return what a function is an attribute of (a module, a class, an object), and its result, awaited."""
    if name == "__init__" and kind == "method":
        return target, vars(target(*arguments, **keywords))
    bound = target(*constructor) if kind in ("method", "property") else target
    result = getattr(bound, name) if kind == "property" else getattr(bound, name)(*arguments, **keywords)
    if inspect.iscoroutine(result) or inspect.isasyncgen(result):
        result = asyncio.run(first_of(result) if inspect.isasyncgen(result) else result)
    return bound, result


def recorded(module, target, name, kind, text):
    """Return as JSON what a call returns or raises, what becomes of its arguments, the lines it runs; or why not."""
    outside, lines, outcomes, at_import = [], set(), [], data_of(module)

    def called(frame, event, function):
        if not event.endswith("call"):
            return
        name = getattr(function, "__qualname__", "")
        owner = getattr(function, "__module__", "") if name else frame.f_globals.get("__name__")
        if _OUTSIDE.match(f"{owner or ''}.{name}"):
            outside.append(f"{owner or ''}.{name}".strip("."))

    def traced(frame, event, argument):
        own = frame.f_code.co_filename == module.__file__
        lines.update([frame.f_lineno] if own else [])
        return traced if own else None

    for _ in range(CALLS):
        constructor, arguments, keywords = ast.literal_eval(text)
        outcome = {}
        try:
            sys.settrace(traced)
            sys.setprofile(called)
            result = call(target, name, kind, constructor, arguments, keywords)[1]
            sys.setprofile(None)
            outcome["returned"] = literal(result)
        except BaseException as error:
            outcome["raised"] = type(error).__name__ if isinstance(error, Exception) else None
        finally:
            sys.setprofile(None)
            sys.settrace(None)
        if [arguments, keywords] != list(ast.literal_eval(text)[1:]):
            outcome["after"] = literal((arguments, keywords))
        outcomes.append(outcome)
    if outside:
        return json.dumps({"not": f"it uses {outside[0]}"})
    if outcomes[0] != outcomes[1] or data_of(module) != at_import:
        return json.dumps({"not": "one call changes what the next one does"})
    if None in outcomes[0].values():
        return json.dumps({"not": "its result is no plain value, or a long one"})
    return json.dumps(dict(outcomes[0], lines=sorted(lines)), sort_keys=True)


def literal(value):
    """Return a value as the text of a literal that is equal to it, of the same types; None: there is none."""
    try:
        text = repr(value)
        short = len(text) <= MAX_LITERAL and str(Path.cwd()) not in text and not _ADDRESS.search(text)
        return text if short and description(ast.literal_eval(text)) == description(value) else None
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None


async def first_of(values):
    """Return the first values of an asynchronous generator."""
    found = []
    async for value in values:
        found.append(value)
        if len(found) == MAX_ITEMS:
            break
    return found


def data_of(module):
    """Return the plain values that a module holds, as text: what a call leaves there is a result, too."""
    kinds = (bool, int, float, str, bytes, list, dict, set, tuple, bytearray, collections.deque)
    data = {
        key: value
        for key, value in sorted(vars(module).items())
        if isinstance(value, kinds) and not key.startswith("__")
    }
    return description(data).replace(OPAQUE, "")


def raised(error):
    """Return an exception's type and arguments as text."""
    return _ADDRESS.sub("0x", f"{type(error).__name__}: {error}")[:MAX_LENGTH]


def description(value, depth=4):
    """Return a value as text that is equal for equal values: types, contents, no addresses."""
    kind = type(value)
    if value is None or kind in (bool, int, float, complex, str, bytes, bytearray, range):
        text = repr(value)
    elif depth == 0:
        text = kind.__name__
    elif kind in (list, tuple):
        more = f" of {len(value)}" if len(value) > MAX_ITEMS else ""
        text = f"{kind.__name__}({listed(value[:MAX_ITEMS], depth)}{more})"
    elif kind in (set, frozenset):
        text = f"{kind.__name__}({', '.join(sorted(description(item, depth - 1) for item in value))})"
    elif isinstance(value, dict):
        text = f"{kind.__name__}({listed(list(value.items()), depth)})"
    elif inspect.isgenerator(value) or hasattr(kind, "__next__"):
        text = f"iterator({listed(itertools.islice(value, MAX_ITEMS), depth)})"
    elif isinstance(value, type) or inspect.isroutine(value):
        text = value.__qualname__
        # It is made by the function.
        text += f" {OPAQUE}" * ("<" in text)
    else:
        slots = [name for each in kind.__mro__ for name in getattr(each, "__slots__", ())]
        contents = {name: getattr(value, name) for name in slots if hasattr(value, name)}
        contents.update(getattr(value, "__dict__", {}))
        # Without an address, the text is made of what is inside.
        inside = description(contents, depth - 1) if contents else repr(value)
        text = f"{kind.__name__} {OPAQUE if _ADDRESS.search(inside) and not contents else inside}"
    return text[:MAX_LENGTH]


def listed(values, depth):
    """Return the descriptions of values, in order."""
    return ", ".join(description(value, depth - 1) for value in values)


if __name__ == "__main__":
    main(sys.argv[1:])
