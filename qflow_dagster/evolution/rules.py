"""The data model of rules, and reading rules from packs: YAML files, validated with exact positions."""

import hashlib
import json
from collections.abc import Iterable
from functools import cache, cached_property
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
from qflow_dagster.evolution import metavariables
from qflow_dagster.evolution.conditions import Condition, ConditionError
from qflow_dagster.safety import documents
from qflow_dagster.safety.names import check_name
from qflow_dagster.settings import settings

PACKS = Path(__file__).parent.parent / "rules" / "packs"
Category = Literal["correctness", "security", "maintainability", "performance", "modernisation"]
Severity = Literal["error", "warning", "info"]
Status = Literal["draft", "trial", "active", "retired"]
# safe: syntax alone shows that the fix keeps behaviour; checked: the fix keeps it where every requirement holds, except
# for what the rule's `differs` states; judgement: behaviour may differ, so that the fix is proposed only on
# request (QFLOW_GENERATION_JUDGEMENT_RULES).
Safety = Literal["safe", "checked", "judgement"]
# Rules of these statuses are evaluated.
EVALUATED = ("trial", "active")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class AstGrep(_Strict):
    """A matcher of ast-grep: its `rule`, `constraints`, `utils` and `transform`."""

    rule: dict[str, Any]
    constraints: dict[str, Any] = {}
    utils: dict[str, Any] = {}
    transform: dict[str, Any] = {}
    # Placeholders such as {A} are replaced by the captured metavariables.
    message: str | None = None

    def config(self) -> dict[str, Any]:
        """Return the configuration as ast-grep expects it."""
        return {name: value for name, value in self.model_dump(exclude={"message"}).items() if value}


class Metric(_Strict):
    """A matcher of measures: all conditions in `where` hold."""

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
        """Return the parsed conditions."""
        return [Condition.parse(condition, self.of) for condition in self.where]


class Matcher(_Strict):
    """How a rule matches: exactly one of the first four engines, and `where` for the matched node."""

    ast_grep: AstGrep | None = Field(default=None, alias="ast-grep")
    # A rule of ruff, by its code.
    ruff: str | None = Field(default=None, pattern=r"^[A-Z]+[0-9]+$")
    metric: Metric | None = None
    # A function of `evolution.functions`, by its name.
    function: str | None = None
    # A rule object of ast-grep that the matched node must satisfy; a metric has its own conditions.
    where: Annotated[dict[str, Any], Field(min_length=1)] | None = None
    # What must be so around the matched node (`evolution.context`): each by its name, or as {name: argument}.
    context: tuple[str | dict[str, Any], ...] = ()

    @model_validator(mode="after")
    def _one(self) -> "Matcher":
        engines = [
            name for name in ("ast_grep", "ruff", "metric", "function") if getattr(self, name) is not None
        ]
        if len(engines) != 1:
            raise ValueError("a matcher is exactly one of ast-grep, ruff, metric, function")
        if self.metric is not None and self.where is not None:
            raise ValueError("a metric matches no node that `where` could be true of")
        if self.context and self.ast_grep is None:
            raise ValueError("`context` is of what a pattern of ast-grep matches")
        return self

    @model_serializer(mode="wrap")
    def _dump(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # Rules without these keep the digest they had before there were any: stored rows stay valid.
        dumped = dump(self)
        return {name: value for name, value in dumped.items() if value or name not in ("where", "context")}

    @property
    def engine(self) -> str:
        """The name of the engine."""
        return next(
            name for name in ("ast_grep", "ruff", "metric", "function") if getattr(self, name) is not None
        )


class Example(_Strict):
    """Code that the rule matches (`bad`) and code that it does not (`good`); a fix turns `bad` into `good`."""

    bad: str | dict[str, float]
    good: str | dict[str, float]
    path: str | None = None


class CounterExample(_Strict):
    """Code that looks like `bad` and must stay as it is: no fix is proposed for it, whether or not it is a finding."""

    code: str
    path: str | None = None
    # A public report of a tool that got it wrong.
    source: str | None = None


class Rule(_Strict):
    """One version of a rule."""

    id: str = Field(pattern=r"^[a-z0-9]+(/[a-z0-9][a-z0-9-]*)+$", max_length=100)
    version: int = Field(default=1, ge=1, le=1_000_000_000)
    title: str = Field(min_length=5, max_length=200)
    rationale: str = Field(min_length=10)
    language: Annotated[tuple[str, ...], Field(min_length=1)]
    category: Category
    severity: Severity
    # In tests, examples, documentation and definitions of rules, where less depends on it.
    severity_in_examples: Severity | None = None
    matcher: Matcher
    # An ast-grep replacement template, or the tool that makes the change: `ruff` or `codemod`.
    fix: str | None = None
    safety: Safety | None = None
    # Preconditions of the fix (`generation.preconditions`), each by its name, or as {name: argument}.
    requires: tuple[str | dict[str, Any], ...] = ()
    # What the fix of a bug changes on purpose, and nothing else: what the code does now is the bug.
    differs: str | None = Field(default=None, min_length=10)
    # Names of the same rule in other tools, by tool: that tool's configuration and its suppression comments count.
    peers: dict[str, tuple[str, ...]] = {}
    # Of style alone: off, unless a linter of the repository has it on (`project_linters`).
    cosmetic: bool = False
    counter_examples: tuple[CounterExample, ...] = ()
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

    @field_validator("fix")
    @classmethod
    def _bound(cls, fix: str | None, info: Any) -> str | None:
        matcher = info.data.get("matcher")
        if fix is None or matcher is None or matcher.ast_grep is None:
            return fix
        if problem := metavariables.unbound_message(fix, matcher.ast_grep.model_dump()):
            raise ValueError(problem)
        return fix

    @property
    def unused_variables(self) -> list[str]:
        """Metavariables that its pattern binds and nothing uses; one that is meant so begins with _."""
        if self.matcher.ast_grep is None or self.fix is None or self.fix == "codemod":
            return []
        uses = [
            self.fix,
            self.matcher.ast_grep.message,
            self.matcher.where,
            self.matcher.context,
            self.requires,
        ]
        return metavariables.unused(self.matcher.ast_grep.model_dump(), uses)

    @model_validator(mode="after")
    def _fits(self) -> "Rule":
        if self.matcher.ruff and self.language != ("python",):
            raise ValueError("a rule of ruff is for python")
        if self.matcher.engine in ("metric", "function") and self.fix and not self.fix.startswith("codemod"):
            raise ValueError(f"a {self.matcher.engine} rule has no template to fix with")
        if self.matcher.where is not None and "any" in self.language:
            raise ValueError("`where` needs a syntax tree, and so a language: any has none")
        if self.cosmetic and self.category not in ("maintainability", "modernisation"):
            raise ValueError(f"a rule of {self.category} is not cosmetic")
        if self.fix is None and (self.safety or self.requires or self.differs):
            raise ValueError("`safety`, `requires` and `differs` describe a fix, and this rule has none")
        if self.safety == "safe" and self.differs:
            raise ValueError("a fix that `differs` is not safe: it is checked, or a matter of judgement")
        if any(isinstance(requirement, dict) and len(requirement) != 1 for requirement in self.requires):
            raise ValueError("an entry of `requires` is a name, or one name with its argument")
        return self

    @property
    def key(self) -> tuple[str, int]:
        """Id and version."""
        return self.id, self.version

    @property
    def requirements(self) -> list[tuple[str, Any]]:
        """(name, argument) of each precondition of the fix; the argument is None where there is none."""
        pairs = [entry if isinstance(entry, dict) else {entry: None} for entry in self.requires]
        return [next(iter(pair.items())) for pair in pairs]

    @cached_property
    def digest(self) -> bytes:
        """SHA-256 of everything that its matches and fixes depend on."""
        fields = {"language", "matcher", "fix", "id", "version"}
        # Rules without these keep the digest they had before there were any: stored rows stay valid.
        fields |= {name for name in ("requires", "peers") if getattr(self, name)}
        content = self.model_dump(include=fields, mode="json")
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).digest()

    def __copy__(self) -> "Rule":
        # A copy is made to be given other values: it has another digest.
        copied = super().__copy__()
        vars(copied).pop("digest", None)
        return copied


@cache
def load_rules() -> tuple[Rule, ...]:
    """Load the rules of all packs: those shipped, and those in the folders of `QFLOW_RULES_FOLDERS`.

    Raises:
        UsageError: A file cannot be read or is invalid; the message has the position.
    """
    rules: dict[str, Rule] = {}
    for folder in (PACKS, *map(Path, settings().rules.folders)):
        if not folder.is_dir():
            raise UsageError(f"QFLOW_RULES_FOLDERS names {folder}, which is not a folder")
        for path in sorted(folder.glob("*.y*ml")):
            for rule in read_pack(path):
                if rule.id in rules and folder == PACKS:
                    raise UsageError(f"{path}: rule {rule.id} is in two packs")
                # A configured folder may replace a shipped rule.
                rules[rule.id] = rule
    return tuple(rules[id_] for id_ in sorted(rules))


def read_pack(path: Path) -> list[Rule]:
    """Read the rules of one pack.

    Raises:
        UsageError: The file is not a valid pack; the message has the file, line and column.
    """
    document = documents.read(path, own=path.parent == PACKS)
    data = document.data
    if not isinstance(data, dict) or not isinstance(data.get("rules"), list):
        raise UsageError(f"{path}:1:1: a pack is a mapping with `pack`, `owner` and a list `rules`")
    shared = {name: data[name] for name in data if name != "rules"}
    definitions = [{**shared, **rule} if isinstance(rule, dict) else rule for rule in data["rules"]]
    problems = []
    rules: list[Rule] = []
    for number, definition in enumerate(definitions):
        try:
            rules.append(RULE.validate_python(definition))
            check_name(rules[-1].pack, "a rule pack")
            check_name(rules[-1].owner, "an owner of rules")
        except ValidationError as error:
            problems += document.problems(error, ("rules", number))
        except UsageError as error:
            problems.append(f"{document.location(('rules', number))}: {error}")
    if problems:
        raise UsageError("\n".join(problems))
    ids: set[str] = set()
    for number, rule in enumerate(rules):
        if rule.id in ids:
            raise UsageError(f"{document.location(('rules', number, 'id'))}: {rule.id} is there twice")
        ids.add(rule.id)
    return rules


def evaluated(rules: Iterable[Rule]) -> list[Rule]:
    """Return the rules whose status is evaluated (see `EVALUATED`)."""
    return [rule for rule in rules if rule.status in EVALUATED]


RULE = TypeAdapter(Rule)
