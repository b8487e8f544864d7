"""Identity of errors: what occurrences of a group share. Pure functions.

Two occurrences are the same error if type and frames of the program agree, with those of their causes. Without a
stack, the message is used, without the parts that vary between calls. A fingerprint that the program gave decides
alone. That is what error trackers such as Sentry document
(https://docs.sentry.io/concepts/data-management/event-grouping/); lines are left out, so that an unrelated edit does
not create a new group.
"""

import hashlib
import re
from collections.abc import Mapping

from qflow_dagster.infrastructure.frame_kinds import is_own, telling
from qflow_dagster.infrastructure.frame_names import NATIVE, place_of
from qflow_dagster.infrastructure.message_parameters import normalise
from qflow_dagster.infrastructure.stacks import MAX_LINE_LENGTH, Frame, Raised

# Frames that are shown of a group.
INNERMOST = 5

_VARIABLE_PART = re.compile(r"\{\{ {0,4}([a-z.]{1,40}) {0,4}\}\}")


def fingerprint(
    chain: tuple[Raised, ...], given: tuple[str, ...] = (), values: Mapping[str, str] | None = None
) -> bytes:
    """Return the SHA-256 of the features that occurrences of a group share.

    `chain` are the exceptions, the cause first; a message alone is one without frames. `given` is the fingerprint
    that the program or a rule set, in which `{{ default }}` stands for all else, and `{{ type }}`, `{{ message }}`
    and the names in `values` for these.
    """
    if not given:
        return _digest(_features(chain))
    last = chain[-1]
    known = {"type": last.kind, "error.type": last.kind, "message": last.message, "error.value": last.message}
    innermost_frame = (innermost(chain) or (Frame(),))[-1]
    known |= {"function": innermost_frame.function, "module": innermost_frame.module, **(values or {})}
    if any("default" in part for part in given):
        known["default"] = "\0".join(_features(chain))
    return _digest(
        tuple(
            _VARIABLE_PART.sub(lambda match: known.get(match[1], match[0]), part[:MAX_LINE_LENGTH])
            for part in given
        )
    )


def innermost(chain: tuple[Raised, ...]) -> tuple[Frame, ...]:
    """Return the innermost frames of the program in the outermost exception that has frames."""
    counting = counting_frames(chain)
    for raised, ours in zip(reversed(chain), reversed(counting), strict=True):
        frames = [frame for frame, is_ours in zip(raised.frames, ours, strict=True) if is_ours]
        if raised.frames:
            return tuple(frames or raised.frames)[-INNERMOST:]
    return ()


def _features(chain: tuple[Raised, ...]) -> tuple[str, ...]:
    chain = _without_copies(chain)
    features: list[str] = []
    for raised, own in zip(chain, counting_frames(chain), strict=True):
        places = _places(raised.frames, own)
        kind = "" if raised.synthetic else raised.kind
        features += [kind, raised.code, *(places or ["" if raised.code else normalise(raised.message)])]
    return tuple(features)


def counting_frames(chain: tuple[Raised, ...]) -> list[list[bool]]:
    """Return of each frame of each exception whether it counts: those of the program, or all if it has none."""
    said = any(frame.own is not None for raised in chain for frame in raised.frames)
    counting: list[list[bool]] = []
    for raised in chain:
        answers = [(is_own(frame), frame.platform in NATIVE) for frame in raised.frames]
        # What no SDK marks is of the program, unless its folder says otherwise; binaries do not say it.
        own = [not (said or native) if answer is None else answer for answer, native in answers]
        counting.append([ours and tells for ours, tells in zip(own, telling(raised.frames), strict=True)])
    return counting if any(map(any, counting)) else [telling(raised.frames) for raised in chain]


def _places(frames: tuple[Frame, ...], counting: list[bool]) -> list[str]:
    """Return what identifies each frame that counts; a recursive call counts once, however deep it goes."""
    return [
        " ".join(place_of(frame))
        for number, (frame, counts) in enumerate(zip(frames, counting, strict=True))
        if counts and (number == 0 or frame != frames[number - 1])
    ]


def _without_copies(chain: tuple[Raised, ...]) -> tuple[Raised, ...]:
    """Return a chain without repeated members of an exception group; a group of equal ones is that exception.

    As Sentry's RFC 0079 says, members that agree in type and frames count once, and the group itself counts only
    if its members differ.
    """
    by_number = {raised.number: raised for raised in chain if raised.number is not None}
    root = by_number.get(0)
    if root is None or len(by_number) < len(chain) or not root.is_group:
        return chain
    children: dict[int | None, list[Raised]] = {}
    for raised in sorted(by_number.values(), key=lambda raised: raised.number or 0):
        if raised.number != 0:
            children.setdefault(raised.parent, []).append(raised)
    members: list[Raised] = []
    pending, seen = [root], set[int | None]()
    while pending:
        raised = pending.pop()
        if raised.number in seen:
            continue
        seen.add(raised.number)
        if raised.is_group:
            pending += children.get(raised.number, [])
        else:
            members.append(raised)
    distinct = {_features((member,)): member for member in members}
    if len(distinct) != 1:
        return (*(distinct[key] for key in sorted(distinct)), root)
    path: list[Raised] = []
    following: Raised | None = next(iter(distinct.values()))
    while following is not None and following not in path:
        path.append(following)
        following = next(iter(children.get(following.number, [])), None)
    return tuple(reversed(path))


def _digest(features: tuple[str, ...]) -> bytes:
    return hashlib.sha256("\0".join(features).encode(errors="replace")).digest()
