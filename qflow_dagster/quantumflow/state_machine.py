"""State machines of workflow types: which states there are and what may follow what.

Belongs here: the `StateMachine` value, the machine of ordinary jobs, the registry of types
and what the database knows of them (the edges a statement may take, the CHECK on
``workflows.status``). Does not belong here: any statement; a domain's own machine, which
its domain declares and registers.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import Literal

from qflow_dagster.errors import UsageError
from qflow_dagster.quantumflow.queues import check_queue
from qflow_dagster.registry import Queue

Verb = Literal[
    "claim",
    "complete",
    "fail",
    "abandon",
    "reclaim",
    "cancel",
    "pause",
    "resume",
    "retry",
    "expire",
    "transition",
]


@dataclass(frozen=True, kw_only=True)
class StateMachine:
    """States, the transitions between them, and the state each operation leads to.

    A machine without `claimed` is never given to a worker; an operation whose state is None
    is refused for it.
    """

    name: str
    initial: str
    # Every state, with the states that may follow it.
    transitions: Mapping[str, frozenset[str]]
    # States in which nothing more happens by itself. A person may still `retry` out of one.
    terminal: frozenset[str]
    # What success is: entering it releases the workflows that depend on this one.
    completed: str
    # States a worker may claim from, the state a claim leads to, and all states held under its lease.
    claimable: frozenset[str] = frozenset()
    claimed: str | None = None
    leased: frozenset[str] = frozenset()
    # After a failed attempt: waiting for the next one (claimable), or given up.
    failed: str | None = None
    dead: str | None = None
    # Where a lost lease returns to, while attempts remain.
    released: str | None = None
    cancelled: str | None = None
    paused: str | None = None
    expired: str | None = None

    def __post_init__(self) -> None:
        states = set(self.transitions)
        named = {
            self.initial,
            self.completed,
            self.claimed,
            self.failed,
            self.dead,
            self.released,
            self.cancelled,
            self.paused,
            self.expired,
        } - {None}
        used = named.union(self.terminal, self.claimable, self.leased, *self.transitions.values())
        if unknown := used - states:
            raise ValueError(f"state machine {self.name!r} names unknown states {sorted(unknown)}")
        for state, verb, follower in self._required():
            if follower not in self.transitions[state]:
                raise ValueError(f"state machine {self.name!r}: {verb} needs {state} -> {follower}")

    @property
    def states(self) -> tuple[str, ...]:
        """All states, in the order they were declared."""
        return tuple(self.transitions)

    def allows(self, status: str, to: str) -> bool:
        """Return whether a workflow in `status` may move to `to`."""
        return to in self.transitions.get(status, ())

    def steps(self, verb: Verb, to: str | None = None) -> Iterator[tuple[str, str, bool | None, str | None]]:
        """Yield the ways `verb` may go: (from, to, exhausted, wait).

        `exhausted` says which way is taken when no attempt is left (True), or some are (False);
        `wait` is `backoff` or `none` where the operation sets the time of the next attempt.
        """
        match verb:
            case "claim":
                yield from ((s, self.claimed, None, None) for s in self.claimable if self.claimed)
            case "complete":
                yield from ((s, self.completed, None, None) for s in self.leased)
            case "fail":
                yield from ((s, self.failed, False, "backoff") for s in self.leased if self.failed)
                yield from ((s, self.dead, True, None) for s in self.leased if self.dead)
            case "abandon":
                yield from ((s, self.dead, None, None) for s in self.leased if self.dead)
            case "reclaim":
                yield from ((s, self.released, False, "none") for s in self.leased if self.released)
                yield from ((s, self.dead, True, None) for s in self.leased if self.dead)
            case "cancel" | "pause" | "expire":
                goal = {"cancel": self.cancelled, "pause": self.paused, "expire": self.expired}[verb]
                yield from ((s, goal, None, None) for s in self.states if goal and self.allows(s, goal))
            case "resume":
                if self.paused and self.allows(self.paused, self.initial):
                    yield self.paused, self.initial, None, None
            case "retry":
                for state in self.states:
                    ended = state in self.terminal or state == self.failed
                    if ended and self.allows(state, self.initial):
                        yield state, self.initial, None, "none"
            case "transition":
                yield from ((s, to, None, None) for s in self.states if to and self.allows(s, to))

    def mermaid(self) -> str:
        """Return the machine as a Mermaid state diagram, as the documentation shows it."""
        lines = ["stateDiagram-v2", f"    [*] --> {self.initial}"]
        for state, followers in self.transitions.items():
            lines += [f"    {state} --> {follower}" for follower in sorted(followers)]
            lines += [f"    {state} --> [*]"] if state in self.terminal else []
        return "\n".join(lines)

    def _required(self) -> Iterator[tuple[str, str, str]]:
        for verb in ("claim", "complete", "fail", "reclaim"):
            for state, to, _, _ in self.steps(verb):
                yield state, verb, to


JOB = StateMachine(
    name="job",
    initial="pending",
    transitions={
        "pending": frozenset({"running", "paused", "cancelled", "expired"}),
        "running": frozenset({"completed", "failed", "dead", "pending", "paused", "cancelled"}),
        "failed": frozenset({"running", "pending", "paused", "cancelled", "expired"}),
        "paused": frozenset({"pending", "cancelled", "expired"}),
        "completed": frozenset(),
        "dead": frozenset({"pending"}),
        "cancelled": frozenset({"pending"}),
        "expired": frozenset(),
    },
    terminal=frozenset({"completed", "dead", "cancelled", "expired"}),
    completed="completed",
    claimable=frozenset({"pending", "failed"}),
    claimed="running",
    leased=frozenset({"running"}),
    failed="failed",
    dead="dead",
    released="pending",
    cancelled="cancelled",
    paused="paused",
    expired="expired",
)


@dataclass(frozen=True)
class Fairness:
    """Claims of a type in turns, by the fairness keys of its workflows, whichever key has more of them.

    With a `rate`, a key has at most so many claims per `seconds`, after as many at once at the beginning: a token
    bucket. The claims of such a type wait for each other, until the end of their transactions.
    """

    rate: int | None = None
    seconds: float = 60.0

    def __post_init__(self) -> None:
        if (self.rate is not None and self.rate < 1) or not 0 < self.seconds <= 86_400:
            raise ValueError("a rate is at least 1, in more than 0 and at most 86,400 seconds")


@dataclass(frozen=True)
class WorkflowType:
    """A kind of workflow: its machine, the queue notified of every transition (None: no queue), and its fairness."""

    name: str
    machine: StateMachine = JOB
    queue: str | None = None
    fairness: Fairness | None = None


_types: dict[str, WorkflowType] = {}


def register(
    name: str,
    *,
    machine: StateMachine = JOB,
    queue: str | None = None,
    fairness: Fairness | None = None,
) -> WorkflowType:
    """Make a workflow type known to this process; a module does it when it is imported.

    A machine other than `JOB` also needs a migration that puts `status_check()` on the table.

    Raises:
        UsageError: the name is registered otherwise already, or the queue's name is invalid.
    """
    if queue is not None:
        check_queue(queue)
    # Plain strings: messages show them, and a member of an enum shows as `<WorkflowTypeName...>`.
    new = WorkflowType(str(name), machine, None if queue is None else str(queue), fairness)
    if _types.setdefault(name, new) != new:
        raise UsageError(f"workflow type {name!r} is registered twice, differently: {_types[name]} and {new}")
    edges.cache_clear()
    return new


def workflow_type(name: str) -> WorkflowType:
    """Return the registered type of that name.

    Raises:
        UsageError: there is no such type; the message names the registered ones.
    """
    try:
        return _types[name]
    except KeyError:
        registered = ", ".join(sorted(_types)) or "none"
        raise UsageError(f"unknown workflow type {name!r}; registered are: {registered}") from None


def registered_types() -> tuple[WorkflowType, ...]:
    """Return all types this process knows, by name."""
    return tuple(_types[name] for name in sorted(_types))


def notified_queues(declared: WorkflowType, status: str) -> list[str]:
    """Return the queues that get a message when a workflow of that type enters `status`."""
    queues = [declared.queue] if declared.queue else []
    return [*queues, Queue.WORKFLOW_ALERTS] if status == declared.machine.dead else queues


@cache
def edges(*verbs: Verb, to: str | None = None, only: str | None = None) -> str:
    """Return what a statement must know of the machines to carry out `verbs`, as a JSON array of objects.

    One object per registered type (or the type `only`), state it may start from and way it may go.
    """
    rows = []
    for declared, verb in product([workflow_type(only)] if only else registered_types(), verbs):
        machine = declared.machine
        for status, follower, exhausted, wait in machine.steps(verb, to):
            rows.append(
                {
                    "type": declared.name,
                    "begun": int(verb == "claim"),
                    "from_status": status,
                    "to_status": follower,
                    "exhausted": exhausted,
                    "wait": wait,
                    "claimable": follower in machine.claimable,
                    "leased": follower in machine.leased,
                    "terminal": follower in machine.terminal,
                    "succeeded": follower == machine.completed,
                    "queues": notified_queues(declared, follower),
                }
            )
    return json.dumps(rows)


def status_check(types: Iterable[WorkflowType] | None = None) -> str:
    """Return the CHECK on ``workflows.status`` that the machines of `types` (default: all registered) demand.

    A type that is not named has the states of `JOB`, so that a new kind of job needs no
    migration. A migration carries this text frozen; a test compares it with the machines.
    """
    branches = [
        f"WHEN '{declared.name}' THEN {_status_in(declared.machine)}"
        for declared in (registered_types() if types is None else types)
        if declared.machine is not JOB
    ]
    if not branches:
        return _status_in(JOB)
    return f"CASE type {' '.join(branches)} ELSE {_status_in(JOB)} END"


def _status_in(machine: StateMachine) -> str:
    return "status IN ({})".format(", ".join(f"'{state}'" for state in machine.states))
