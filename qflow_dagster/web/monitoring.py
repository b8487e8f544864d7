"""Health endpoints for probes, and metrics for Prometheus.

`live`: this process responds; `ready`: it can work; `deep`: results of the scheduled checks.
Does not belong here: checking (`infrastructure.health_checks`).
"""

from collections.abc import Callable, Iterator, Mapping

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from qflow_dagster.approvals import records
from qflow_dagster.database.revisions import current_revision, newest_revision
from qflow_dagster.infrastructure import circuit_breaker, health_agent
from qflow_dagster.infrastructure.error_rate_tracker import rates
from qflow_dagster.quantumflow import count_unfinished
from qflow_dagster.safety.display import visible_line


class Monitoring:
    """The health and metrics endpoints, for a database."""

    def __init__(self, engine: Engine, locations: Callable[[], Mapping[str, bool]]) -> None:
        self.engine, self.locations = engine, locations

    def live(self, _request: Request) -> Response:
        """Return 200 while the process responds."""
        return JSONResponse({"status": "healthy"})

    def ready(self, _request: Request) -> Response:
        """Return 200 if the database is available and migrated, else 503; with the loaded code locations of Dagster."""
        try:
            revision = current_revision(self.engine)
        except SQLAlchemyError:
            return JSONResponse({"status": "unhealthy", "message": "the database is away"}, 503)
        if revision != newest_revision():
            return JSONResponse({"status": "unhealthy", "message": "the database is not migrated"}, 503)
        return JSONResponse({"status": "healthy", "code_locations": dict(self.locations())})

    def deep(self, _request: Request) -> Response:
        """Return the current status of every check; 503 if one is unhealthy, or the checks no longer run."""
        try:
            with self.engine.connect() as connection:
                states = health_agent.states(connection)
                watched = health_agent.is_watched(connection)
        except SQLAlchemyError:
            return JSONResponse({"status": "unhealthy", "message": "the database is away"}, 503)
        status = health_agent.overall(states)
        checks = [
            {
                "name": visible_line(state["name"]),
                "status": state["status"],
                "message": visible_line(state["message"] or ""),
                "since": state["since"].isoformat(),
            }
            for state in states
        ]
        if not watched:
            message = "no check ran within five minutes; is Dagster's daemon running?"
            return JSONResponse({"status": "unhealthy", "message": message, "checks": checks}, 503)
        failed = status == "unhealthy" or all(state["status"] == "unknown" for state in states)
        return JSONResponse({"status": status, "checks": checks}, 503 if failed else 200)

    def metrics(self, _request: Request) -> Response:
        """Return all metrics in Prometheus's text format."""
        registry = CollectorRegistry()
        registry.register(_Collector(self.engine))  # type: ignore[arg-type]  (a protocol, not a base class)
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)


class _Collector:
    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def collect(self) -> Iterator[Metric]:
        up = GaugeMetricFamily("qflow_up", "Whether the database answers.")
        try:
            with self.engine.connect() as connection:
                metrics = [_visible(metric) for metric in _metrics(connection)]
        except SQLAlchemyError:
            up.add_metric([], 0)
            yield up
            return
        up.add_metric([], 1)
        yield up
        yield from metrics


def _visible(metric: Metric) -> Metric:
    """Escape a label, which is untrusted: names of operations and services."""
    metric.samples = [
        sample._replace(labels={name: visible_line(value) for name, value in sample.labels.items()})
        for sample in metric.samples
    ]
    return metric


def _metrics(connection: Connection) -> Iterator[Metric]:
    health = GaugeMetricFamily(
        "qflow_health", "0 healthy, 1 unknown, 2 degraded, 3 unhealthy.", labels=["check"]
    )
    values = GaugeMetricFamily("qflow_health_value", "What a check measured.", labels=["check", "unit"])
    for state in health_agent.states(connection):
        health.add_metric([state["name"]], health_agent.STATUSES.index(state["status"]))
        if state["value"] is not None:
            values.add_metric([state["name"], state["unit"] or ""], state["value"])
    yield from (health, values)

    approvals = GaugeMetricFamily("qflow_approvals", "Approvals by status.", labels=["status"])
    for status, count in records.counts(connection).items():
        approvals.add_metric([status], count)
    yield approvals

    breakers = GaugeMetricFamily(
        "qflow_circuit_breaker_open", "1 while a breaker is open or half open.", labels=["operation"]
    )
    for breaker in circuit_breaker.breakers(connection):
        breakers.add_metric([breaker["operation"]], breaker["state"] != "closed")
    yield breakers

    errors = GaugeMetricFamily("qflow_errors", "Errors within the window.", labels=["operation"])
    calls = GaugeMetricFamily(
        "qflow_calls", "Calls within the window, errors included.", labels=["operation"]
    )
    for rate in rates(connection):
        errors.add_metric([rate.operation], rate.errors)
        calls.add_metric([rate.operation], rate.total)
    yield from (errors, calls)

    waiting = GaugeMetricFamily("qflow_workflows", "Unfinished workflows.", labels=["type", "status"])
    for (type_name, status), count in count_unfinished(connection).items():
        waiting.add_metric([type_name, status], count)
    yield waiting
