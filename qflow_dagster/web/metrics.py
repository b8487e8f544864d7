"""Metrics in the formats of Prometheus and OpenMetrics, computed from the tables at each request.

Names follow Prometheus' conventions: base units (seconds, bytes, ratios of 1), `_total` for counters. Labels are
bounded: operations and types beyond `MAX_OPERATIONS` share one label. Does not belong here: what is counted
(the domains).
"""

from collections.abc import Iterator, Sequence

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from sqlalchemy import Connection, Engine, func, select
from sqlalchemy.exc import SQLAlchemyError

from qflow_dagster.approvals import lists
from qflow_dagster.approvals.tables import approval_decisions, approvals
from qflow_dagster.generation.tables import gate_results
from qflow_dagster.infrastructure import circuit_breaker, durations, error_records, health_states
from qflow_dagster.infrastructure.durations import BOUNDS, Histogram
from qflow_dagster.infrastructure.error_rate_tracker import rates
from qflow_dagster.quantumflow import count_unfinished
from qflow_dagster.safety.display import visible_line

MAX_OPERATIONS = 200
OTHER = "(other)"
# Unit of a check -> (suffix of the metric's name, factor to the base unit).
UNITS = {
    "s": ("_seconds", 1.0),
    "ms": ("_seconds", 0.001),
    "MB": ("_bytes", 2.0**20),
    "%": ("_ratio", 0.01),
    "rate": ("_ratio", 1.0),
}


def scrape(engine: Engine, accepted: str) -> tuple[bytes, str]:
    """Return all metrics and their content type, in the format that the header `Accept` prefers."""
    registry = CollectorRegistry()
    registry.register(_Collector(engine))  # type: ignore[arg-type]  (a protocol, not a base class)
    encode, content_type = choose_encoder(accepted)
    return encode(registry), content_type


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
    yield from _health(connection)
    yield from _errors(connection)

    waiting = GaugeMetricFamily("qflow_approvals", "Approvals by status.", labels=["status"])
    for status, count in lists.counts(connection).items():
        waiting.add_metric([status], count)
    yield waiting
    unfinished = GaugeMetricFamily("qflow_workflows", "Unfinished workflows.", labels=["type", "status"])
    for (type_name, status), count in count_unfinished(connection).items():
        unfinished.add_metric([type_name, status], count)
    yield unfinished

    decided = (
        select(
            approval_decisions.c.decision.label("label"),
            func.extract("epoch", approval_decisions.c.at - approvals.c.requested_at).label("seconds"),
        )
        .select_from(approval_decisions)
        .join(approvals, approvals.c.id == approval_decisions.c.approval_id)
    )
    gates = select(gate_results.c.gate.label("label"), gate_results.c.seconds)
    yield _histogram(
        "decision",
        "From the request of an approval to a decision.",
        durations.of_query(connection, "decision", decided),
    )
    yield _histogram("gate", "Gates of generated changes.", durations.of_query(connection, "gate", gates))
    yield _histogram("run", "Finished runs of Dagster, by job.", durations.observed(connection, "run"))
    yield _histogram("tick", "Ticks of sensors and schedules.", durations.observed(connection, "tick"))


def _health(connection: Connection) -> Iterator[Metric]:
    status = GaugeMetricFamily(
        "qflow_health_status", "0 healthy, 1 unknown, 2 degraded, 3 unhealthy.", labels=["check"]
    )
    values: dict[str, GaugeMetricFamily] = {}
    for state in health_states.states(connection):
        status.add_metric([state["name"]], health_states.STATUSES.index(state["status"]))
        if state["value"] is None:
            continue
        suffix, factor = UNITS.get(state["unit"] or "", ("", 1.0))
        name = f"qflow_health_value{suffix}"
        if name not in values:
            values[name] = GaugeMetricFamily(name, "The measured value of a check.", labels=["check"])
        values[name].add_metric([state["name"]], state["value"] * factor)
    yield status
    yield from values.values()


def _errors(connection: Connection) -> Iterator[Metric]:
    breakers = GaugeMetricFamily(
        "qflow_circuit_breaker_open", "1 while a breaker is open or half open.", labels=["operation"]
    )
    open_others = 0
    for number, breaker in enumerate(circuit_breaker.breakers(connection)):
        is_open = breaker["state"] != "closed"
        if number < MAX_OPERATIONS:
            breakers.add_metric([breaker["operation"]], is_open)
        else:
            open_others += is_open
    if open_others:
        breakers.add_metric([OTHER], open_others)
    yield breakers

    totals = CounterMetricFamily("qflow_errors", "Errors that were recorded, by type.", labels=["type"])
    counted = error_records.totals(connection)
    for kind, count in counted[:MAX_OPERATIONS]:
        totals.add_metric([kind], count)
    if counted[MAX_OPERATIONS:]:
        totals.add_metric([OTHER], sum(count for _, count in counted[MAX_OPERATIONS:]))
    yield totals

    errors = GaugeMetricFamily(
        "qflow_window_errors", "Errors within the window of rates.", labels=["operation"]
    )
    calls = GaugeMetricFamily(
        "qflow_window_calls", "Calls within the window of rates, errors included.", labels=["operation"]
    )
    others = [0, 0]
    for number, rate in enumerate(rates(connection)):
        if number < MAX_OPERATIONS:
            errors.add_metric([rate.operation], rate.errors)
            calls.add_metric([rate.operation], rate.total)
        else:
            others = [others[0] + rate.errors, others[1] + rate.total]
    if others[1]:
        errors.add_metric([OTHER], others[0])
        calls.add_metric([OTHER], others[1])
    yield from (errors, calls)


def _histogram(name: str, description: str, histograms: Sequence[Histogram]) -> HistogramMetricFamily:
    label = {"decision": "decision", "gate": "gate", "run": "job", "tick": "instigator"}[name]
    family = HistogramMetricFamily(f"qflow_{name}_duration_seconds", description, labels=[label])
    for histogram in histograms:
        counts = [*zip(map(str, BOUNDS[name]), histogram.cumulative, strict=True), ("+Inf", histogram.number)]
        family.add_metric([histogram.label], buckets=counts, sum_value=histogram.total)
    return family
