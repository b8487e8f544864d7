"""Exceptions and stack traces of Sentry events, in the form in which they are stored with an occurrence.

Does not belong here: all else of an event (`sentry_events`), what a stack says about an error (`infrastructure`).
"""

from collections.abc import Iterator, Mapping
from typing import Any

from qflow_dagster.infrastructure.frame_kinds import is_own
from qflow_dagster.infrastructure.stacks import Frame
from qflow_dagster.safety.redaction import CUT_MARGIN, REDACTED, redact_text
from qflow_dagster.web.sentry_values import line_number, one_line, text, values

# Exceptions of a chain, frames of an event, and lines of source around a frame that are kept.
MAX_CHAIN, MAX_FRAMES, MAX_AROUND = 20, 100, 3
# Frames of the program, the innermost, whose source is kept with the lines around it.
MAX_WITH_SOURCE = 20
MAX_NAME, MAX_SOURCE = 200, 300
# Threads of an event, and innermost frames of each, that are kept.
MAX_THREADS, MAX_THREAD_FRAMES = 30, 20
# As Python prints between an exception and the one that it caused.
CAUSE = "The above exception was the direct cause of the following exception:"

# Platforms of events that do not name theirs.
_BY_EXTENSION = {
    extension: platform
    for platform, extensions in {
        "python": "py",
        "javascript": "js jsx mjs cjs ts tsx",
        "java": "java kt scala",
        "ruby": "rb erb",
        "php": "php",
        "go": "go",
        "csharp": "cs",
        "native": "c cc cpp cxx h hpp m mm rs swift",
    }.items()
    for extension in extensions.split()
}

Stored = dict[str, Any]


def exceptions_of(event: Mapping[str, Any]) -> list[Stored]:
    """Return the exceptions of an event, the cause first; the stack of a message or of a thread counts as one."""
    raised = _exceptions(event)[-MAX_CHAIN:]
    platform = text(event.get("platform"), 50)
    exceptions = [_stored(error, platform) for error in raised]
    if any(error.get("frames") for error in exceptions):
        _shorten(exceptions)
        return exceptions
    if any(error.get("type") or error.get("value") for error in exceptions):
        # Native SDKs put the stack of a crash into its thread.
        exceptions[-1]["frames"] = _frames(_crash(event, raised[-1]), platform)
    else:
        frames = _frames(_outside(event), platform)
        exceptions = [{"type": "Message", "value": "", "frames": frames}] if frames else []
    _shorten(exceptions)
    return exceptions


def threads_of(event: Mapping[str, Any]) -> list[Stored]:
    """Return the threads of an event with their innermost frames as text: what crashed, is current or main is first."""
    threads = values(event.get("threads"))
    states = ("crashed", "current", "main")
    first = sorted(threads, key=lambda thread: [thread.get(state) is not True for state in states])
    kept = []
    for thread in first[:MAX_THREADS]:
        stored: Stored = {name: text(thread.get(name), 100) for name in ("id", "name", "state")}
        stored["is"] = ", ".join(state for state in states if thread.get(state) is True)
        stored["stack"] = "\n".join(_lines(_frames(_frames_of(thread), "")[-MAX_THREAD_FRAMES:]))
        kept.append({name: value for name, value in stored.items() if value})
    return kept


def stack_text(event: Mapping[str, Any], exceptions: list[Stored]) -> str | None:
    """Format a chain of exceptions as Python does; without frames the stack of the first thread that has one."""
    if not any(error.get("frames") for error in exceptions):
        stacks = (
            "\n".join(_lines(_frames(_outside(event), ""))),
            *(t.get("stack") for t in threads_of(event)),
        )
        return next(filter(None, stacks), None)
    lines: list[str] = []
    for position, error in enumerate(exceptions):
        lines += _lines(error.get("frames", ()))
        if position < len(exceptions) - 1:
            lines += [f"{one_line(error.get('type'), 200)}: {one_line(error.get('value'), 500)}", CAUSE]
    return "\n".join(lines) or None


def _end(value: Any) -> str:
    """Return the end of a path, which says more than its start."""
    whole = text(value, 500)
    return redact_text(whole)[-MAX_NAME:] if len(whole) > MAX_NAME else whole


def _exceptions(event: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the exceptions of an event, the cause first, in any form that Sentry's endpoints take."""
    held = event.get("exception") or event.get("sentry.interfaces.Exception")
    if isinstance(held, Mapping) and "values" not in held:
        return [held]
    return values(held)


def _stored(error: Mapping[str, Any], platform: str) -> Stored:
    mechanism = error.get("mechanism")
    mechanism = mechanism if isinstance(mechanism, Mapping) else {}
    meta = mechanism.get("meta")
    ns_error = meta.get("ns_error") if isinstance(meta, Mapping) else None
    code = (
        f"{text(ns_error.get('domain'), 100)} {text(ns_error.get('code'), 20)}"
        if isinstance(ns_error, Mapping)
        else ""
    )
    stored: Stored = {
        "type": text(error.get("type"), MAX_NAME),
        "value": text(error.get("value"), 1_000),
        "module": text(error.get("module"), MAX_NAME),
        "mechanism": text(mechanism.get("type"), 50),
        "code": code.strip(),
        "frames": _frames(_frames_of(error), platform),
    }
    stored = {name: value for name, value in stored.items() if value}
    for name, given in (("synthetic", "synthetic"), ("is_group", "is_exception_group")):
        if mechanism.get(given) is True:
            stored[name] = True
    for name, given in (("number", "exception_id"), ("parent", "parent_id")):
        if type(mechanism.get(given)) is int:
            stored[name] = mechanism[given]
    if isinstance(mechanism.get("handled"), bool):
        stored["handled"] = mechanism["handled"]
    return stored


def _crash(event: Mapping[str, Any], raised: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the frames of the thread that an exception names, or of the one that crashed."""
    threads, id_ = values(event.get("threads")), raised.get("thread_id")
    for chosen in (
        [thread for thread in threads if id_ is not None and thread.get("id") == id_],
        [thread for thread in threads if thread.get("crashed")],
    ):
        if len(chosen) == 1 and (frames := _frames_of(chosen[0])):
            return frames
    return []


def _outside(event: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the frames beside the exceptions: of the one thread that crashed or is current, else of the message."""
    threads = values(event.get("threads"))
    for chosen in (
        [thread for thread in threads if thread.get("crashed")],
        [thread for thread in threads if thread.get("current")],
        threads,
    ):
        if len(chosen) == 1 and (frames := _frames_of(chosen[0])):
            return frames
    return _frames_of(event)


def _frames_of(holder: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    stacktrace = holder.get("stacktrace")
    return values({"values": stacktrace.get("frames")}) if isinstance(stacktrace, Mapping) else []


def _frames(frames: list[Mapping[str, Any]], platform: str) -> list[Stored]:
    """Return the innermost frames, outermost first; equal ones in a row once, with their number."""
    kept: list[Stored] = []
    for frame in frames:
        stored = _frame(frame, platform)
        if kept and {**kept[-1], "repeated": 0} == {**stored, "repeated": 0}:
            kept[-1]["repeated"] = kept[-1].get("repeated", 1) + 1
        elif stored:
            kept.append(stored)
    return kept[-MAX_FRAMES:]


def _frame(frame: Mapping[str, Any], platform: str) -> Stored:
    named = text(frame.get("filename"), 500) or text(frame.get("abs_path"), 500)
    platform = text(frame.get("platform"), 50) or platform or _BY_EXTENSION.get(named.rpartition(".")[2], "")
    # The runtime for .NET puts the signature, which tells overloads apart, into the raw name.
    names = ("raw_function", "function") if platform == "csharp" else ("function", "raw_function")
    data = frame.get("data")
    path, file = frame.get("abs_path"), frame.get("filename")
    before, source, after = _source(frame)
    stored: Stored = {
        "file": _end(file) or _end(path),
        "path": text(path, MAX_NAME) or text(file, MAX_NAME),
        "line": line_number(frame.get("lineno")),
        "function": next(filter(None, (one_line(frame.get(name), MAX_NAME) for name in names)), ""),
        "module": one_line(frame.get("module"), MAX_NAME),
        "package": _end(frame.get("package")),
        "source": source,
        "before": before[-MAX_AROUND:],
        "after": after[:MAX_AROUND],
        "platform": platform,
        "mapped": isinstance(data, Mapping) and bool(data.get("sourcemap")),
    }
    stored = {name: value for name, value in stored.items() if value}
    if isinstance(frame.get("in_app"), bool):
        stored["own"] = frame["in_app"]
    return stored


def _source(frame: Mapping[str, Any]) -> tuple[list[str], str, list[str]]:
    """Return the lines before, at and after a place; none if they hold a secret that spans several."""
    before, after = _around(frame.get("pre_context")), _around(frame.get("post_context"))
    lines = [*before, *(_around([frame.get("context_line")])), *after]
    clean = redact_text("\n".join(lines)).split("\n")
    if len(clean) != len(lines):
        return [], REDACTED, []
    kept = [line[:MAX_SOURCE] for line in clean]
    return kept[: len(before)], kept[len(before)].strip(), kept[len(before) + 1 :]


def _around(lines: Any) -> list[str]:
    if not isinstance(lines, list):
        return []
    some = (line[: MAX_SOURCE + CUT_MARGIN] if isinstance(line, str) else "" for line in lines[:50])
    return [line.replace("\n", " ") for line in some]


def _shorten(exceptions: list[Stored]) -> None:
    """Keep so many frames of all exceptions together, and the lines around those of the program."""
    frames_left, source_left = MAX_FRAMES, MAX_WITH_SOURCE
    for error in reversed(exceptions):
        frames = error.get("frames", [])
        error["frames"] = frames[-frames_left:] if frames_left else []
        frames_left -= len(error["frames"])
        for frame in reversed(error["frames"]):
            own = is_own(Frame(**{name: frame[name] for name in Frame._fields if name in frame}))
            if own is False or not source_left:
                frame.pop("before", None)
                frame.pop("after", None)
            else:
                source_left -= 1


def _lines(frames: Iterator[Stored] | list[Stored] | tuple[Stored, ...]) -> list[str]:
    """Format stored frames, outermost first, as Python prints them."""
    lines = []
    for frame in frames:
        file = next(filter(None, (frame.get(name) for name in ("path", "file", "module", "package"))), "?")
        function = frame.get("function") or "?"
        module = frame.get("module", "")
        # In languages with one class per file, files of other packages have the same name.
        if "." in module and not function.startswith(module) and not file.endswith(".py"):
            function = f"{module}.{function}"
        file = file.replace('"', "'")
        lines.append(f'  File "{file}", line {frame.get("line", 0)}, in {function}')
        if source := frame.get("source"):
            lines.append(f"    {one_line(source, MAX_SOURCE)}")
    return lines
