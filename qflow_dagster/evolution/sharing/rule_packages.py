"""The file format of shared rules: canonical JSON, signatures, the data model, and checks before an import.

A file of another instance is untrusted. It is checked in this order, each step on what passed the one before:
size, JSON without depth or invisible characters, canonical form, signature, shape; the rule itself is
checked in a worker process.
"""

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)
from pydantic_core import from_json

from qflow_dagster.errors import QflowError, UsageError, problem_of
from qflow_dagster.evolution import examples
from qflow_dagster.evolution.rules import Rule
from qflow_dagster.evolution.sharing.instances import Identity, Instance
from qflow_dagster.safety.display import visible
from qflow_dagster.safety.names import check_name

PACKAGE_FORMAT = "qflow-rule/1"
MAX_FILE_BYTES = 1_000_000
# Maximum time that another clock may be ahead of ours.
MAX_CLOCK_SKEW = timedelta(hours=1)
MAX_COUNTED = 1_000_000_000
_Model = TypeVar("_Model", bound="Signed")

Origin = Literal["shipped", "mined", "variant", "imported"]
Fraction = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[float, Field(ge=0, le=MAX_COUNTED)]
Integer = Annotated[int, Field(ge=0, le=MAX_COUNTED)]
Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class PackageRefusedError(QflowError):
    """A file that is refused; the message is the reason in a line."""


def _plausible(moment: datetime) -> datetime:
    if not 2000 <= moment.year <= 2200:
        raise ValueError("a year from 2000 to 2200 is expected")
    return moment.astimezone(UTC)


Moment = Annotated[AwareDatetime, AfterValidator(_plausible)]


class Strict(BaseModel):
    """A model that refuses undeclared fields."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Sender(Strict):
    """The signer of a file: its chosen name, and its public key."""

    name: str = Field(pattern="^[A-Za-z0-9][A-Za-z0-9-]{0,39}$")
    key: str = Field(pattern="^[A-Za-z0-9+/]{43}=$")

    @property
    def instance(self) -> Instance:
        """Return the signer as an instance."""
        return Instance(self.name, base64.b64decode(self.key))


class Signed(Strict):
    """The common fields of signed files, besides `format`."""

    instance: Sender
    signature: str


class Evidence(Strict):
    """The publishing instance's own outcomes of the rule, without those it imported."""

    # Decisions, with the weight that is left of each after decay.
    accepted: Count
    denied: Count
    # Integer outcomes, for the pooled rate of success.
    uses: Integer = 0
    successes: Integer = 0
    outcomes: dict[Annotated[str, Field(pattern="^[a-z_]{1,40}$")], Integer] = Field(
        default={}, max_length=50
    )
    repositories: Integer = 0
    first_at: Moment | None = None
    last_at: Moment | None = None
    # The Brier score of its predictions on held-out outcomes.
    calibration: Fraction | None = None

    @model_validator(mode="after")
    def _fits(self) -> "Evidence":
        if self.successes > self.uses:
            raise ValueError("more successes than uses")
        return self


class Confidence(Strict):
    """The publishing instance's confidence in the rule: the posterior's mean and lower bound."""

    mean: Fraction
    lower: Fraction


class Package(Signed):
    """A published rule."""

    format: Literal["qflow-rule/1"]
    rule: Rule
    # Digest of the rule, so that rules can be compared without parsing.
    digest: Digest
    evidence: Evidence
    confidence: Confidence
    origin: Origin
    # Fingerprints of the instances it came through, the first author first.
    chain: Annotated[
        tuple[Annotated[str, Field(pattern="^[0-9a-f]{16}$")], ...], Field(default=(), max_length=32)
    ]
    tool: str = Field(max_length=100)
    published_at: Moment

    @model_validator(mode="after")
    def _is_of_the_rule(self) -> "Package":
        if self.rule.digest.hex() != self.digest:
            raise ValueError("the digest is not that of the rule")
        return self


def canonical(data: Any) -> bytes:
    """Return the canonical form of JSON data that is signed: keys sorted, no white space, UTF-8.

    Raises:
        ValueError: The data is not valid JSON, or contains an unpaired surrogate.
    """
    encoded = json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return encoded.encode()


def sign(body: Mapping[str, Any], identity: Identity) -> bytes:
    """Return the signed file of `body`, with its signer and the signature of all of it.

    Raises:
        PackageRefusedError: Importing instances would refuse it: too large, or with invisible characters.
    """
    sender = {"name": identity.instance.name, "key": identity.instance.key}
    unsigned = {**body, "instance": sender}
    signature = base64.b64encode(identity.sign(canonical(unsigned))).decode()
    raw = canonical({**unsigned, "signature": signature})
    opened(raw)
    return raw


def opened(raw: bytes) -> dict[str, Any]:
    """Verify form and signature of a file, whoever signed it, and return its data.

    Raises:
        PackageRefusedError: The form or the signature is invalid.
    """
    if len(raw) > MAX_FILE_BYTES:
        raise PackageRefusedError(f"it is larger than {MAX_FILE_BYTES:,} bytes")
    try:
        # Refuses what is nested more than some 200 deep.
        data = from_json(raw, allow_inf_nan=False)
        same = canonical(data) == raw
    except (ValueError, RecursionError):
        raise PackageRefusedError("it is not valid JSON") from None
    # White space, duplicate keys, other notations of a number: the canonical form has none of them.
    if not isinstance(data, dict) or not same:
        raise PackageRefusedError("it is not in canonical form")
    # Invisible characters could mislead a person who reads it.
    if any(visible(lines) != lines for text in _texts(data) if (lines := text.replace("\r\n", "\n"))):
        raise PackageRefusedError("it has control characters, or others that hide")
    try:
        sender = Sender.model_validate(data.get("instance"))
        signature = base64.b64decode(data["signature"], validate=True)
    except (KeyError, ValidationError, binascii.Error, TypeError, ValueError):
        raise PackageRefusedError("it is not signed") from None
    content = canonical({name: value for name, value in data.items() if name != "signature"})
    # Base64 has several encodings of some bytes; only the canonical one is accepted.
    spelled = base64.b64encode(signature).decode() == data["signature"] and sender.instance.key == sender.key
    if not spelled or not sender.instance.signed(content, signature):
        raise PackageRefusedError(f"the signature is not that of {sender.instance.label}")
    return data


def read(data: Mapping[str, Any], model: type[_Model], now: datetime, at: str) -> _Model:
    """Parse the data of a signed file as the model of its format; `at` names its time.

    Raises:
        PackageRefusedError: It does not fit the model, or its time is in the future.
    """
    try:
        package = model.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))[:100]
        raise PackageRefusedError(" ".join(f"{where}: {problem_of(first)}".split())[:300]) from None
    if getattr(package, at) > now + MAX_CLOCK_SKEW:
        raise PackageRefusedError(
            f"it is dated {getattr(package, at):%Y-%m-%d %H:%M}, which is in the future"
        )
    return package


def digest_of(raw: bytes) -> bytes:
    """Return the SHA-256 of a file's bytes, which identifies it."""
    return hashlib.sha256(raw).digest()


def rule_data(rule: Rule) -> dict[str, Any]:
    """Return a rule as JSON data from which the same rule can be read."""
    return rule.model_dump(mode="json", by_alias=True, exclude_none=True)


def refusals(rules: Sequence[Rule], local_rules: Mapping[str, Rule]) -> list[str]:
    """Return the reasons why rules cannot be imported, in their order; '' for valid ones."""
    reasons = [_foreign_code(rule, local_rules) or _misleading_name(rule) for rule in rules]
    tried = iter(
        examples.first_problems_of([rule for rule, reason in zip(rules, reasons, strict=True) if not reason])
    )
    return [reason or next(tried) for reason in reasons]


def _foreign_code(rule: Rule, local_rules: Mapping[str, Rule]) -> str:
    """Return why a fix that is code of this instance is refused: it is only for the rules it was written for."""
    by_code = rule.fix is not None and (rule.fix.startswith("codemod") or rule.matcher.ruff is not None)
    if not by_code or rule.id in local_rules:
        return ""
    return f"{rule.id}: its fix is {rule.fix!r}, and this instance has no such rule"


def _misleading_name(rule: Rule) -> str:
    try:
        check_name(rule.pack, "a rule pack")
        check_name(rule.owner, "an owner of rules")
    except UsageError as error:
        return f"{rule.id}: {error}"
    return ""


def _texts(data: Any) -> list[str]:
    if isinstance(data, str):
        return [data]
    if isinstance(data, dict):
        return [text for pair in data.items() for item in pair for text in _texts(item)]
    return [text for item in data for text in _texts(item)] if isinstance(data, list) else []
