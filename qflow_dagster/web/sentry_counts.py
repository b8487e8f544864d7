"""Items of Sentry envelopes that are no events: sessions, check-ins of jobs, and reports on dropped events.

Does not belong here: storing them (`infrastructure.intake_counts`), events (`sentry_events`).
"""

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from croniter import croniter

from qflow_dagster.infrastructure.error_rate_tracker import MAX_COUNT, Occurrence
from qflow_dagster.infrastructure.intake_counts import MAX_SESSION_AGE, CheckIn, Discarded, Sessions
from qflow_dagster.infrastructure.releases import MAX_RELEASE_LENGTH
from qflow_dagster.web.sentry_values import age, text, values

MAX_NAME, MAX_ENTRIES = 100, 1_000
# Minutes that a check-in may be late where its sender does not say; seconds of a year.
MARGIN, YEAR = 5, 31_536_000
UNITS = {"minute": 60, "hour": 3_600, "day": 86_400, "week": 604_800, "month": 2_678_400, "year": YEAR}
# How a session ended that failed without a crash.
ERRORED = ("errored", "unhandled", "abnormal")


def session_from(item: Mapping[str, Any], header: Mapping[str, Any]) -> Sessions | None:
    """Return the state of a session, which each of its updates (`session`) holds; None if it cannot be counted."""
    status = item.get("status")
    crashed = int(status == "crashed")
    errored = status in ERRORED or _count(item.get("errors")) > 0
    id_ = text(item.get("sid"), MAX_NAME)
    session = _sessions(item, header, item, id_, total=1, failed=int(errored or crashed), crashed=crashed)
    return session if session and id_ and session.age <= MAX_SESSION_AGE else None


def sessions_from(item: Mapping[str, Any], header: Mapping[str, Any]) -> list[Sessions]:
    """Return the counts of sessions that an SDK counted itself (`sessions`), by the minute in which they began."""
    counted = []
    sent_at = text(header.get("sent_at"), MAX_NAME)
    for entry in values(item.get("aggregates"))[:MAX_ENTRIES]:
        crashed = _count(entry.get("crashed"))
        failed = crashed + sum(_count(entry.get(name)) for name in ERRORED)
        # What is sent again says the same, also when it was sent first.
        same = json.dumps([sent_at, item.get("attrs"), entry], sort_keys=True, default=str)
        id_ = hashlib.sha256(same.encode(errors="replace")).hexdigest() if sent_at else None
        total = _count(entry.get("exited")) + failed
        sessions = _sessions(item, header, entry, id_, total=total, failed=failed, crashed=crashed)
        counted += [sessions] if sessions else []
    return counted


def _sessions(
    item: Mapping[str, Any],
    header: Mapping[str, Any],
    entry: Mapping[str, Any],
    id_: str | None,
    **counts: int,
) -> Sessions | None:
    attributes = item.get("attrs")
    attributes = attributes if isinstance(attributes, Mapping) else {}
    release = text(attributes.get("release"), MAX_RELEASE_LENGTH)
    environment = text(attributes.get("environment"), MAX_NAME)
    began = age(entry.get("started"), header)
    return (
        Sessions(release=release, environment=environment, id=id_, age=began, **counts) if release else None
    )


def discarded_from(item: Mapping[str, Any]) -> list[Discarded]:
    """Return the numbers of a client report."""
    return [
        Discarded(
            category=text(entry.get("category"), MAX_NAME),
            reason=text(entry.get("reason"), MAX_NAME),
            quantity=_count(entry.get("quantity")),
        )
        for entry in values(item.get("discarded_events"))[:MAX_ENTRIES]
        if _count(entry.get("quantity"))
    ]


def check_in_from(item: Mapping[str, Any]) -> CheckIn | None:
    """Return a check-in of a job that runs or ended; None if it names no monitor."""
    monitor = text(item.get("monitor_slug"), MAX_NAME).replace(":", "-")
    if not monitor:
        return None
    config = item.get("monitor_config")
    return CheckIn(monitor=monitor, period=_period(config) if isinstance(config, Mapping) else None)


def failure_from(item: Mapping[str, Any]) -> Occurrence | None:
    """Return the failure of a job that a check-in reports; None if it did not fail."""
    monitor = text(item.get("monitor_slug"), MAX_NAME)
    if item.get("status") != "error" or not monitor:
        return None
    context = {"environment": text(item.get("environment"), MAX_NAME)}
    id_ = text(item.get("check_in_id"), MAX_NAME).replace("-", "").lower()
    return Occurrence(
        operation=monitor,
        kind="JobFailedError",
        message=f"the job {monitor} failed",
        context=context,
        source="sentry",
        # SDKs send an id of zeros for the check-in that was sent last.
        event_id=id_ if id_.strip("0") else None,
    )


def _period(config: Mapping[str, Any]) -> int | None:
    """Return the seconds from now until the next check-in is late; None for a schedule that cannot be read."""
    schedule = config.get("schedule")
    schedule = schedule if isinstance(schedule, Mapping) else {}
    margin = 60 * (_count(config.get("checkin_margin")) or MARGIN)
    value = schedule.get("value")
    if schedule.get("type") == "interval":
        seconds = _count(value) * UNITS.get(text(schedule.get("unit"), 10), 0)
        return min(seconds + margin, YEAR) if seconds else None
    pattern = text(value, MAX_NAME)
    if schedule.get("type") != "crontab" or not croniter.is_valid(pattern):
        return None
    try:
        now = datetime.now(ZoneInfo(text(config.get("timezone"), MAX_NAME) or "UTC"))
    except (ValueError, OSError, KeyError):
        now = datetime.now(UTC)
    # A job may start a little before its time, by its own clock.
    due = croniter(pattern, now + timedelta(seconds=margin)).get_next(datetime)
    return min(int((due - now).total_seconds()) + margin, YEAR)


def _count(value: Any) -> int:
    whole = isinstance(value, int) and not isinstance(value, bool)
    return min(value, MAX_COUNT) if whole and value > 0 else 0
