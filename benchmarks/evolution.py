"""Rules that evolve, before reviewers whose hidden preferences are known.

    python -m benchmarks.evolution [NAME=PATH ...]

Simulated reviewers want some rules' changes nearly always, some mostly, some rarely; a third of the
rules they want except in places of a kind nobody has told (in tests, in loops, in handlers, on a
literal, in async functions), and some rules' worth changes half way. What is asked, done and shown
costs: acting wrongly 9, a question 1, a good change that is only shown 2. Regret is what it cost
beyond an oracle that knows the preferences. All arithmetic and the search for variants are the
product's own; only the database is left out.

Every prediction is made before its outcome, so the Brier score and the reliability are of outcomes
nothing was fitted to. With repositories, their histories are mined as well (`benchmarks.mining`).
"""

import random
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from rich.console import Console
from rich.table import Table

from qflow_dagster.evolution import calibration, rule_evolver, thresholds, trust
from qflow_dagster.evolution.confidence import LabelledOutcome
from qflow_dagster.evolution.outcomes import FIXED, SUPPRESSED, VERIFIED, Evidence
from qflow_dagster.evolution.rules import RULE, Rule
from qflow_dagster.evolution.thresholds import Decision
from qflow_dagster.evolution.trust import RuleTrust
from qflow_dagster.evolution.variants import Location, matched, narrower

console = Console()
RULES, ITEMS, SEEDS = 30, 4_000, 3
# Items between two evolutions, and items of a day.
EVOLVED, DAY = 200, 40
COSTS = {"act": (0.0, 9.0), "ask": (1.0, 1.0), "show": (2.0, 0.0)}
NOISE = 0.03
HALF_LIFE = 180.0
SETTINGS = {
    "in a test": "def test_it(){0}:\n    {1}\n",
    "in a loop": "def work(items){0}:\n    for item in items:\n        {1}\n",
    "in a handler": "def work(){0}:\n    try:\n        go()\n    except ValueError:\n        {1}\n",
    "in async": "async def work(){0}:\n    {1}\n",
    "plain": "def work(){0}:\n    {1}\n",
    "in a condition": "def work(flag){0}:\n    if flag:\n        {1}\n",
}
PREFERENCES = ("in a test", "in a loop", "in a handler", "in async", "literal")


@dataclass
class Hidden:
    """The opinion of the reviewers on a rule: how often they want its changes, and where never."""

    rule: Rule
    wanted: float
    wanted_later: float
    not_where: str | None

    def chance(self, place: Location, setting: str, late: bool) -> float:
        """Return the probability that this change is wanted."""
        if self.not_where == setting or (self.not_where == "literal" and '"' in place.text):
            return NOISE
        return self.wanted_later if late else self.wanted


@dataclass
class Learner:
    """A way of deciding: the whole of rule evolution, or parts of it."""

    name: str
    rules: list[Rule]
    learns: bool = True
    adapts: bool = True
    evolves: bool = True
    limits: dict[str, float] = field(default_factory=lambda: {"ask": 0.7, "act": 0.9})
    evidence: dict[bytes, list[tuple[float, float, bool, bool]]] = field(default_factory=dict)
    places: dict[str, list[Location]] = field(default_factory=dict)
    inherited: dict[bytes, tuple[float, float]] = field(default_factory=dict)
    predictions: list[tuple[float, float, bool]] = field(default_factory=list)
    known: dict[bytes, RuleTrust] = field(default_factory=dict)
    regret: list[float] = field(default_factory=list)
    promoted: list[tuple[str, str, int]] = field(default_factory=list)
    tried: set[tuple[str, str]] = field(default_factory=set)
    mend: calibration.Calibrator | None = None
    moved: int = 0
    since: int = 0

    def refresh(self, day: float) -> None:
        """Beliefs anew."""
        evidence = {
            digest: Evidence(
                [LabelledOutcome(day - at, weight, good) for at, weight, good, _ in rows],
                [good for _, _, good, decision in rows if decision],
            )
            for digest, rows in self.evidence.items()
        }
        self.known = trust.compute(
            self.rules,
            evidence if self.learns else {},
            self.inherited,
            self.limits,
            self.mend if self.learns else None,
            HALF_LIFE,
        )

    def level(self, rule: Rule) -> str:
        """Return what this way lets a rule do; without learning, by the confidence that the rule states."""
        if not self.learns:
            return "act" if rule.confidence >= 0.9 else "ask" if rule.confidence >= 0.7 else "show"
        return self.known[rule.digest].level

    def learn(
        self, rule: Rule, day: float, weight: float, good: bool, decision: bool, place: Location
    ) -> None:
        """Keep what an outcome says."""
        self.evidence.setdefault(rule.digest, []).append((day, weight, good, decision))
        judged = self.places.setdefault(rule.id, [])
        judged.insert(0, place._replace(wanted=good))
        del judged[300:]
        if decision:
            belief = self.known[rule.digest].estimate
            self.predictions.append((belief.mean, belief.lower, good))

    def evolve(self, item: int) -> None:
        """Calibration, thresholds, variants, verdicts."""
        self.mend = calibration.evaluate([(p, good) for p, _, good in self.predictions]).calibrator
        if self.adapts and len(self.predictions) - self.since >= thresholds.MIN_DECISIONS:
            for name, position in (("ask", 0), ("act", 1)):
                window = [Decision(one[position], one[2]) for one in self.predictions[-thresholds.WINDOW :]]
                bounds = {"ask": (0.5, 0.85), "act": (0.8, 0.98)}[name]
                change = thresholds.adapted(self.limits[name], window, thresholds.TARGETS[name], bounds)
                if change is not None:
                    self.limits[name], self.moved, self.since = (
                        change.value,
                        self.moved + 1,
                        len(self.predictions),
                    )
        if not self.evolves:
            return
        active = {rule.id: rule for rule in self.rules if rule.status == "active"}
        for rule in [rule for rule in self.rules if rule.status == "trial"]:
            said = rule_evolver.verdict(
                self.known[rule.digest], self.known[active[rule.id].digest], self.limits["ask"]
            )
            if said is not None and said[0] == "active":
                self.rules = [one for one in self.rules if one.id != rule.id]
                self.rules.append(rule.model_copy(update={"status": "active"}))
                self.promoted.append((rule.id, rule.rationale, item))
            elif said is not None:
                self.rules.remove(rule)
        for rule in list(self.rules):
            judged = self.places.get(rule.id, [])
            if rule.status != "active" or sum(one.id == rule.id for one in self.rules) > 1:
                continue
            if rule_evolver.operations_for(judged, self.known[rule.digest]) != ["narrower"]:
                continue
            for variant in narrower(rule, judged, max_variants=1):
                key = rule_evolver.fingerprint(variant.rule)
                if key not in self.tried:
                    self.tried.add(key)
                    made = variant.rule.model_copy(
                        update={"rationale": variant.description.ljust(10), "status": "trial"}
                    )
                    self.rules.append(made)
                    self.inherited[made.digest] = (
                        trust.INHERITED_WEIGHT * variant.kept,
                        trust.INHERITED_WEIGHT * variant.remaining,
                    )


def world(chance: random.Random) -> list[Hidden]:
    """Rules that say of themselves what their authors hoped, and what reviewers think of them."""
    found = []
    for number in range(RULES):
        name = f"old_{number}"
        rule = RULE.validate_python(
            {
                "id": f"bench/{name.replace('_', '-')}",
                "title": "An old call",
                "language": "python",
                "rationale": "The new one is better.",
                "category": chance.choice(["correctness", "modernisation"]),
                "severity": "info",
                "matcher": {"ast-grep": {"rule": {"pattern": f"{name}($A)"}}},
                "fix": f"new_{number}($A)",
                "examples": [{"bad": f"{name}(x)\n", "good": f"new_{number}(x)\n"}],
                "source": "benchmark",
                "confidence": round(chance.uniform(0.72, 0.97), 2),
                "owner": "team:bench",
                "pack": "bench",
            }
        )
        wanted = chance.choices([0.98, 0.85, 0.4], [5, 3, 2])[0]
        later = chance.choice([0.4, 0.98]) if number % 10 == 0 else wanted
        preference = chance.choice(PREFERENCES) if number % 3 == 0 else None
        if preference:
            wanted = later = 0.98
        found.append(Hidden(rule, wanted, later, preference))
    return found


def arrives(hidden: Hidden, chance: random.Random) -> tuple[Location, str]:
    """Draw a location where a rule matches, and its surroundings."""
    setting = chance.choice(list(SETTINGS))
    call = hidden.rule.title and f"old_{hidden.rule.id.rsplit('-', 1)[1]}"
    argument = chance.choice(["value", "other.value", '"text"', "1"])
    text = SETTINGS[setting].format("", f"{call}({argument})").replace("(){0}", "()")
    start = text.index(str(call))
    place = Location(text, "code.py", "python", start, start + len(f"{call}({argument})"), True)
    return place, setting


def run(seed: int, make: Callable[[list[Rule]], Learner]) -> Learner:
    """One way of deciding on one world."""
    chance = random.Random(seed)
    hidden = world(chance)
    learner = make([one.rule for one in hidden])
    learner.refresh(0.0)
    for item in range(ITEMS):
        day, one = item / DAY, chance.choice(hidden)
        place, setting = arrives(one, chance)
        p = one.chance(place, setting, item > ITEMS / 2)
        wanted = chance.random() < p
        luck = [chance.random() for _ in range(3)]
        versions = [rule for rule in learner.rules if rule.id == one.rule.id]
        rule = (
            rule_evolver.draw_version(versions, learner.known, random.Random(item))
            if len(versions) > 1
            else versions[0]
        )
        level = learner.level(rule) if matched(rule, [place])[0] else "left"
        expected = {name: p * good + (1 - p) * bad for name, (good, bad) in COSTS.items()}
        # What no version objects to is as if it were only shown.
        learner.regret.append(expected["show" if level == "left" else level] - min(expected.values()))
        if level == "ask":
            learner.learn(rule, day, 1.0, wanted, True, place)
        elif level == "act" and not wanted and luck[0] < 0.8:
            learner.learn(rule, day, 1.0, False, True, place)
        elif level == "act":
            learner.learn(rule, day, VERIFIED, True, False, place)
        elif level == "show" and wanted and luck[1] < 0.1:
            learner.learn(rule, day, FIXED, True, False, place)
        elif level == "show" and not wanted and luck[2] < 0.05:
            learner.learn(rule, day, SUPPRESSED, False, False, place)
        if item % 20 == 19:
            learner.refresh(day)
        if item % EVOLVED == EVOLVED - 1:
            learner.evolve(item)
            learner.refresh(day)
    return learner


WAYS: dict[str, Callable[[list[Rule]], Learner]] = {
    "fixed thresholds, stated confidence": lambda rules: Learner("fixed", rules, False, False, False),
    "learned confidence, fixed thresholds": lambda rules: Learner("learned", rules, True, False, False),
    "and thresholds adapt": lambda rules: Learner("adapted", rules, True, True, False),
    "and rules evolve": lambda rules: Learner("evolved", rules),
}


def simulate() -> None:
    """Print the tables of the simulation."""
    table = Table(
        title=f"{RULES} rules, {ITEMS:,} items, mean of {SEEDS} worlds; regret per 100 items against an oracle"
    )
    for name in (
        "way of deciding",
        "all",
        "1st quarter",
        "2nd",
        "3rd (preferences change)",
        "4th",
        "of fixed",
        "s",
    ):
        table.add_column(name, justify="left" if name == "way of deciding" else "right")
    fixed = 0.0
    evolved: list[Learner] = []
    for name, make in WAYS.items():
        started = time.monotonic()
        done = [run(seed, make) for seed in range(SEEDS)]
        seconds = time.monotonic() - started
        total = statistics.mean(statistics.mean(one.regret) for one in done) * 100
        fixed = fixed or total
        quarter = ITEMS // 4
        parts = [
            statistics.mean(statistics.mean(one.regret[n * quarter : (n + 1) * quarter]) for one in done)
            * 100
            for n in range(4)
        ]
        table.add_row(
            name, *(f"{value:.1f}" for value in [total, *parts]), f"{total / fixed:.0%}", f"{seconds:.0f}"
        )
        evolved = done
    console.print(table)
    _converged(evolved)
    _calibrated([pair for one in evolved for pair in [(p, good) for p, _, good in one.predictions]])


def _converged(done: Sequence[Learner]) -> None:
    right = wrong = wanted = 0
    after = []
    for seed, learner in enumerate(done):
        hidden = {one.rule.id: one for one in world(random.Random(seed))}
        wanted += sum(one.not_where is not None for one in hidden.values())
        for rule, _, item in learner.promoted:
            # A promoted version is right where it leaves out what is hidden, and little else.
            good = _leaves_out(next(one for one in learner.rules if one.id == rule), hidden[rule])
            right, wrong = right + good, wrong + (not good)
            if good:
                after.append(item / RULES)
    console.print(
        f"{wanted} hidden preferences; promoted variants: {right} right, {wrong} not; found after "
        f"{statistics.median(after) if after else float('nan'):.0f} items of the rule (median); "
        f"{sum(one.moved for one in done)} moves of thresholds"
    )


def _leaves_out(rule: Rule, hidden: Hidden) -> bool:
    chance = random.Random(0)
    drawn = [arrives(hidden, chance) for _ in range(200)]
    found = matched(rule, [place for place, _ in drawn])
    agrees = [
        keeps == (hidden.chance(place, setting, False) > 0.5)
        for keeps, (place, setting) in zip(found, drawn, strict=True)
    ]
    return hidden.not_where is not None and statistics.mean(agrees) >= 0.95


def _calibrated(pairs: Sequence[calibration.Pair]) -> None:
    raw = calibration.brier(pairs)
    table = Table(
        title=f"Reliability: {len(pairs):,} predictions before their outcomes, Brier score {raw:.3f}"
    )
    for name in ("predictions", "predicted", "came true"):
        table.add_column(name, justify="right")
    for one in calibration.reliability(pairs):
        table.add_row(f"{one.number:,}", f"{one.predicted:.2f}", f"{one.observed:.2f}")
    console.print(table)
    base = statistics.mean(good for _, good in pairs)
    console.print(f"(a forecast that always says the mean, {base:.2f}, would have {base * (1 - base):.3f})")


if __name__ == "__main__":
    simulate()
    if sys.argv[1:]:
        from benchmarks import mining

        mining.main()
