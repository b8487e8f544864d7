"""What a rule is, and reading rules from packs.

Belongs here: the rule as data, the YAML files it comes from, their validation with exact
positions. Does not belong here: evaluating a rule (`matchers`), what it found (`findings`).
"""

import hashlib
import json
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_serializer,
    model_validator,
)

from qflow_dagster.errors import UsageError
from qflow_dagster.evolution.conditions import Condition, ConditionError
from qflow_dagster.safety import documents
from qflow_dagster.safety.names import check_name
from qflow_dagster.settings import settings

PACKS = Path(__file__).parent.parent / "rules" / "packs"
Category = Literal["correctness", "security", "maintainability", "performance", "modernisation"]
Severity = Literal["error", "warning", "info"]
Status = Literal["draft", "trial", "active", "retired"]
# Rules of these statuses are evaluated.
EVALUATED = ("trial", "active")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class AstGrep(_Strict):
    """A rule of ast-grep (its `rule`, `constraints`, `utils` and `transform`)."""

    rule: dict[str, Any]
    constraints: dict[str, Any] = {}
    utils: dict[str, Any] = {}
    transform: dict[str, Any] = {}
    # Metavariables of the match are filled in: {A}.
    message: str | None = None

    def config(self) -> dict[str, Any]:
        """As ast-grep takes it."""
        return {name: value for name, value in self.model_dump(exclude={"message"}).items() if value}


class Metric(_Strict):
    """A condition on what was measured: all of `where` hold."""

    of: Literal["function", "file"]
    where: Annotated[tuple[str, ...], Field(min_length=1)]

    @field_validator("where")
    @classmethod
    def _known(cls, conditions: tuple[str, ...], info: Any) -> tuple[str, ...]:
        for condition in conditions:
            try:
                Condition.parse(condition, info.data.get("of", "file"))
            except ConditionError as error:
                raise ValueError(str(error)) from None
        return conditions

    def conditions(self) -> list[Condition]:
        """`where`, parsed."""
        return [Condition.parse(condition, self.of) for condition in self.where]


class Matcher(_Strict):
    """How a rule finds: exactly one of the first four, and what the node it finds must satisfy."""

    ast_grep: AstGrep | None = Field(default=None, alias="ast-grep")
    # A rule of ruff, by its code.
    ruff: str | None = Field(default=None, pattern=r"^[A-Z]+[0-9]+$")
    metric: Metric | None = None
    # A function of `evolution.functions`, by its name.
    function: str | None = None
    # A rule object of ast-grep that the node a match covers must satisfy; a metric has conditions of its own.
    where: Annotated[dict[str, Any], Field(min_length=1)] | None = None

    @model_validator(mode="after")
    def _one(self) -> "Matcher":
        given = [
            name for name in ("ast_grep", "ruff", "metric", "function") if getattr(self, name) is not None
        ]
        if len(given) != 1:
            raise ValueError("a matcher is exactly one of ast-grep, ruff, metric, function")
        if self.metric is not None and self.where is not None:
            raise ValueError("a metric matches no node that `where` could be true of")
        return self

    @model_serializer(mode="wrap")
    def _dump(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # Without a `where` a rule's digest is what it was before there was one: what is stored stays true.
        dumped = dump(self)
        if self.where is None:
            dumped.pop("where", None)
        return dumped

    @property
    def engine(self) -> str:
        """Which of them it is."""
        return next(
            name for name in ("ast_grep", "ruff", "metric", "function") if getattr(self, name) is not None
        )


class Example(_Strict):
    """What the rule finds, and what it does not; with a fix, `good` is what the fix makes of `bad`."""

    bad: str | dict[str, float]
    good: str | dict[str, float]
    path: str | None = None


class Rule(_Strict):
    """One version of one rule."""

    id: str = Field(pattern=r"^[a-z0-9]+(/[a-z0-9][a-z0-9-]*)+$", max_length=100)
    version: int = Field(default=1, ge=1, le=1_000_000_000)
    title: str = Field(min_length=5, max_length=200)
    rationale: str = Field(min_length=10)
    language: Annotated[tuple[str, ...], Field(min_length=1)]
    category: Category
    severity: Severity
    matcher: Matcher
    # An ast-grep replacement template; `ruff` or `codemod` name who makes the change.
    fix: str | None = None
    examples: Annotated[tuple[Example, ...], Field(min_length=1)]
    source: str
    confidence: float = Field(ge=0, le=1)
    status: Status = "active"
    owner: str
    pack: str

    @field_validator("language", mode="before")
    @classmethod
    def _several(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _fits(self) -> "Rule":
        if self.matcher.ruff and self.language != ("python",):
            raise ValueError("a rule of ruff is for python")
        if self.matcher.engine in ("metric", "function") and self.fix and not self.fix.startswith("codemod"):
            raise ValueError(f"a {self.matcher.engine} rule has no template to fix with")
        if self.matcher.where is not None and "any" in self.language:
            raise ValueError("`where` asks a syntax tree, and so wants a language: any has none")
        return self

    @property
    def key(self) -> tuple[str, int]:
        """What identifies this version."""
        return self.id, self.version

    @property
    def digest(self) -> bytes:
        """SHA-256 of everything that decides what it finds and makes of it."""
        content = self.model_dump(include={"language", "matcher", "fix", "id", "version"}, mode="json")
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).digest()


@cache
def load_rules() -> tuple[Rule, ...]:
    """The rules of all packs: those shipped, and those of the folders of `QFLOW_RULES_FOLDERS`.

    Raises:
        UsageError: a file cannot be read, or says something that is not allowed, with its position.
    """
    rules: dict[str, Rule] = {}
    for folder in (PACKS, *map(Path, settings().rules.folders)):
        if not folder.is_dir():
            raise UsageError(f"QFLOW_RULES_FOLDERS names {folder}, which is no folder")
        for path in sorted(folder.glob("*.y*ml")):
            for rule in read_pack(path):
                if rule.id in rules and folder == PACKS:
                    raise UsageError(f"{path}: rule {rule.id} is in two packs")
                # A folder of the user's own may replace a rule that is shipped.
                rules[rule.id] = rule
    return tuple(rules[id_] for id_ in sorted(rules))


def read_pack(path: Path) -> list[Rule]:
    """The rules of one file.

    Raises:
        UsageError: it is no pack; the message has the file, line and column.
    """
    document = documents.read(path)
    data = document.data
    if not isinstance(data, dict) or not isinstance(data.get("rules"), list):
        raise UsageError(f"{path}:1:1: a pack is a mapping with `pack`, `owner` and a list `rules`")
    shared = {name: data[name] for name in data if name != "rules"}
    given = [{**shared, **rule} if isinstance(rule, dict) else rule for rule in data["rules"]]
    problems = []
    rules: list[Rule] = []
    for number, one in enumerate(given):
        try:
            rules.append(RULE.validate_python(one))
            check_name(rules[-1].pack, "a rule pack")
            check_name(rules[-1].owner, "an owner of rules")
        except ValidationError as error:
            problems += document.problems(error, ("rules", number))
        except UsageError as error:
            problems.append(f"{document.location(('rules', number))}: {error}")
    if problems:
        raise UsageError("\n".join(problems))
    seen: set[str] = set()
    for number, rule in enumerate(rules):
        if rule.id in seen:
            raise UsageError(f"{document.location(('rules', number, 'id'))}: {rule.id} is there twice")
        seen.add(rule.id)
    return rules


def evaluated(rules: Iterable[Rule]) -> list[Rule]:
    """Those that are evaluated at all."""
    return [rule for rule in rules if rule.status in EVALUATED]


RULE = TypeAdapter(Rule)
