"""Signed packages: nothing in them can be changed unseen, and nothing hostile in them is taken in."""

import base64
import json
import stat
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import from_json

from qflow_dagster.errors import QflowError, UsageError
from qflow_dagster.evolution.rules import Rule, load_rules
from qflow_dagster.evolution.sharing.instances import KEY_FILE, Instance, identity, public_key, trusted_keys
from qflow_dagster.evolution.sharing.rule_packages import (
    MAX_FILE_BYTES,
    Package,
    PackageRefusedError,
    canonical,
    opened,
    read,
    refusals,
    rule_data,
    sign,
)
from qflow_dagster.settings import settings
from tests.evolution.sharing import deadly_checker
from tests.evolution.sharing.rule_instances import AT, Home, Peer, make_home, make_rule, ours, place

__all__ = ["make_home", "ours", "place"]

PEER = Peer()
PACKAGE = PEER.package(make_rule())
VOTE = PEER.vote(make_rule(), "approve", 0.97)


def package(raw: bytes) -> Package:
    return read(opened(raw), Package, AT, "published_at")


def test_what_was_signed_is_read_back() -> None:
    found = package(PACKAGE)
    assert found.rule == make_rule()
    assert found.instance.instance == PEER.identity.instance
    assert (found.evidence.accepted, found.evidence.denied, found.confidence.lower) == (38.0, 2.0, 0.9)
    assert canonical(opened(PACKAGE)) == PACKAGE


@pytest.mark.parametrize("rule", load_rules(), ids=lambda rule: rule.id)
def test_every_rule_that_is_shipped_survives_the_journey(rule: Rule) -> None:
    found = package(PEER.package(rule))
    assert found.rule == rule
    assert found.rule.digest == rule.digest


@pytest.mark.parametrize("name", [b'"signaturf"', b'"signatur "'])
def test_a_file_whose_signature_has_another_name_is_not_signed(name: bytes) -> None:
    for raw in (PACKAGE, VOTE):
        with pytest.raises(PackageRefusedError, match=r"not signed|canonical"):
            opened(raw.replace(b'"signature"', name))


@given(st.data())
def test_a_changed_byte_anywhere_is_found(data: st.DataObject) -> None:
    raw = data.draw(st.sampled_from([PACKAGE, VOTE]))
    position = data.draw(st.integers(0, len(raw) - 1))
    other = data.draw(st.integers(0, 255).filter(lambda byte: byte != raw[position]))
    with pytest.raises(PackageRefusedError):
        opened(raw[:position] + bytes([other]) + raw[position + 1 :])


@given(st.data())
def test_nothing_can_be_added_left_out_or_moved(data: st.DataObject) -> None:
    start, end = sorted(data.draw(st.tuples(*[st.integers(0, len(PACKAGE))] * 2)))
    instead = data.draw(st.binary(max_size=8))
    changed = PACKAGE[:start] + instead + PACKAGE[end:]
    if changed != PACKAGE:
        with pytest.raises(PackageRefusedError):
            opened(changed)


def test_white_space_doubled_keys_and_other_spellings_are_not_what_was_signed() -> None:
    data = json.loads(PACKAGE)
    first = PACKAGE.replace(b'{"chain"', b'{"chain":[],"chain"', 1)
    pretty = json.dumps(data, indent=1).encode()
    escaped = PACKAGE.replace(b"Call bar", rb"C\u0061ll bar")
    # The last digit before the padding carries bits that decoding drops.
    signature = data["signature"]
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    twin = signature[:85] + alphabet[alphabet.index(signature[85]) ^ 1] + "=="
    assert base64.b64decode(twin) == base64.b64decode(signature)
    for raw in (first, pretty, escaped, PACKAGE + b"\n", PACKAGE.replace(signature.encode(), twin.encode())):
        with pytest.raises(PackageRefusedError):
            opened(raw)


def test_another_key_with_the_same_content_is_another_instance() -> None:
    body = {n: v for n, v in json.loads(PACKAGE).items() if n not in ("signature", "instance")}
    other = Peer()
    assert package(sign(body, other.identity)).instance.key == other.key
    claimed = {**json.loads(sign(body, other.identity)), "instance": json.loads(PACKAGE)["instance"]}
    with pytest.raises(PackageRefusedError, match="signature is not that of peer"):
        opened(canonical(claimed))


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"", "not valid JSON"),
        (b"[" * 400_000, "not valid JSON"),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "not valid JSON"),
        (b"9" * 900_000, "not valid JSON|canonical"),
        (b"\xff\xfe{}", "not valid JSON"),
        ("{}".encode("utf-16"), "not valid JSON"),
        (b'{"a":"\\ud800"}', "not valid JSON"),
        (b'{"a":NaN}', "not valid JSON"),
        (b"[]", "canonical"),
        (b'"text"', "canonical"),
        (b"{}", "not signed"),
        (b'{"instance":{"key":1,"name":"x"},"signature":"x"}', "not signed"),
        (b'{"signature":7}', "not signed"),
        (b" " * (MAX_FILE_BYTES + 1), "larger than"),
    ],
    ids=range(14),
)
def test_what_is_no_package_is_refused_in_one_line(raw: bytes, words: str) -> None:
    with pytest.raises(PackageRefusedError, match=words) as refusal:
        opened(raw)
    assert "\n" not in str(refusal.value)


@given(
    st.binary(max_size=200)
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.floats(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    ).map(lambda data: json.dumps(data).encode())
)
def test_any_other_bytes_are_refused_and_nothing_else_happens(raw: bytes) -> None:
    with pytest.raises(PackageRefusedError):
        opened(raw)


@given(st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**63), 2**64))
def test_numbers_come_back_as_they_were_signed(number: float) -> None:
    assert canonical(from_json(canonical([number]))) == canonical([number])


def changed_rule(**changed: Any) -> dict[str, Any]:
    return {"rule": {**rule_data(make_rule()), **changed}}


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"format": "qflow-rule/2"}, "format"),
        ({"digest": "0" * 64}, "digest is not that of the rule"),
        ({"surprise": 1}, "surprise"),
        (changed_rule(id="../../etc/passwd"), "rule.id"),
        (changed_rule(id="own/.."), "rule.id"),
        (changed_rule(fix="evil($A)"), "digest"),
        ({"evidence": {"accepted": -1, "denied": 0}}, "accepted"),
        ({"evidence": {"accepted": 1e300, "denied": 0}}, "accepted"),
        ({"evidence": {"accepted": 1, "denied": 0, "uses": 1, "successes": 2}}, "more successes"),
        ({"evidence": {"accepted": 1, "denied": 0, "authors": ["ann"]}}, "authors"),
        ({"confidence": {"mean": 2, "lower": 0.9}}, "confidence"),
        ({"published_at": "2025-06-01T12:00:00"}, "published_at"),
        ({"published_at": "0001-01-01T00:00:00+14:00"}, "year"),
        ({"published_at": (AT + timedelta(hours=2)).isoformat()}, "in the future"),
        ({"origin": "heaven"}, "origin"),
        ({"chain": ["../x"]}, "chain"),
    ],
    ids=range(16),
)
def test_a_signed_package_of_another_shape_is_refused(changed: dict[str, Any], words: str) -> None:
    with pytest.raises(PackageRefusedError, match=words):
        package(PEER.package(make_rule(), changed=changed))


@pytest.mark.parametrize("text", ["\x1b[2J", "a\x00b", "\u202egnp.exe", "\x9b31m"])
def test_characters_that_nobody_sees_are_not_signed_and_not_read(text: str) -> None:
    with pytest.raises(PackageRefusedError, match="control characters"):
        PEER.package(make_rule(), changed=changed_rule(rationale=f"Because {text} I say so."))


def test_a_rule_that_is_not_what_it_says_is_refused() -> None:
    rules = [
        make_rule(),
        make_rule(examples=[{"bad": "baz(1)\n", "good": "bar(1)\n"}]),
        make_rule(examples=[{"bad": "foo(1)\n", "good": "evil(1)\n"}]),
        make_rule(matcher={"ast-grep": {"rule": {"kind": "no_such_kind"}}}, fix="bar(1)"),
        make_rule(matcher={"ast-grep": {"rule": {"nonsense": "x"}}}, fix="bar(1)"),
        make_rule(language="cobol"),
        make_rule(matcher={"function": "no_such_function"}, fix=None),
        make_rule(fix="codemod"),
        make_rule(matcher={"ruff": "F401"}, fix="ruff"),
    ]
    found = refusals(rules, {rule.id: rule for rule in load_rules()})
    assert found[0] == ""
    for words, refusal in zip(
        ["not found", "the fix makes", "kind", "", "language", "no function", "no such rule", "no such rule"],
        found[1:],
        strict=True,
    ):
        assert words in refusal
        assert refusal
        assert "\n" not in refusal


def test_a_fix_by_our_own_code_is_taken_for_a_rule_that_we_have() -> None:
    rules = [rule for rule in load_rules() if rule.fix == "codemod"][:2]
    assert refusals(rules, {rule.id: rule for rule in load_rules()}) == ["", ""]
    assert all("no such rule" in words for words in refusals(rules, {}))


def test_a_rule_that_ends_or_hangs_its_checker_takes_no_other_with_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("qflow_dagster.evolution.examples.check_batch", deadly_checker.check_batch)
    found = refusals([make_rule("own/fine"), make_rule("own/deadly")], {})
    assert found == ["", "own/deadly: trying it out took too long or ended its process"]


def test_the_key_is_made_once_kept_from_others_and_never_shown(
    ours: Home, caplog: pytest.LogCaptureFixture
) -> None:
    with ours.active():
        path = ours.home / KEY_FILE
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        secret = path.read_text()
        first = identity()
        assert identity().instance == first.instance
        assert secret not in repr(first) + str(first) + caplog.text
        assert first.instance.key != secret
        assert len(first.instance.fingerprint) == 16
        assert first.instance.label == f"ours-{first.instance.fingerprint}"
        assert [file.name for file in ours.home.iterdir()] == [KEY_FILE]


def test_machines_on_one_database_may_be_given_one_key(ours: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    with ours.active():
        secret = (ours.home / KEY_FILE).read_text()
        monkeypatch.setenv("QFLOW_HOME", str(ours.home / "elsewhere"))
        monkeypatch.setenv("QFLOW_EVOLUTION_KEY", secret)
        settings.cache_clear()
        assert identity().instance.key == ours.key
        assert secret not in repr(settings())
        monkeypatch.setenv("QFLOW_EVOLUTION_KEY", "planted-secret")
        settings.cache_clear()
        with pytest.raises(UsageError, match="QFLOW_EVOLUTION_KEY is not an ed25519 key") as refusal:
            identity()
        assert "planted" not in str(refusal.value)


def test_trust_is_a_list_of_keys_and_says_who_named_which(
    ours: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours.trusted = [PEER.key]
    other = Peer()
    with ours.active():
        assert trusted_keys() == {public_key(PEER.key): None}
        assert trusted_keys([other.key], "ada") == {public_key(PEER.key): None, public_key(other.key): "ada"}
        with pytest.raises(UsageError, match="'nonsense' is not an ed25519 key"):
            trusted_keys(["nonsense"], "ada")
    ours.trusted = ["nonsense"]
    with ours.active(), pytest.raises(UsageError, match="QFLOW_EVOLUTION_TRUSTED"):
        settings()


def test_a_home_that_cannot_be_written_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("QFLOW_HOME", str(tmp_path / "file" / "home"))
    settings.cache_clear()
    with pytest.raises(QflowError, match="set QFLOW_EVOLUTION_KEY instead"):
        identity()
    settings.cache_clear()


PRIME = 2**255 - 19
ORDER_8 = bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05")
# Every spelling of the eight points of small order: both signs, and y not below the prime.
SMALL_ORDER = sorted(
    {
        (y | sign << 255).to_bytes(32, "little")
        for small in (
            0,
            1,
            PRIME - 1,
            int.from_bytes(ORDER_8, "little"),
            PRIME - int.from_bytes(ORDER_8, "little"),
        )
        for y in (small, small + PRIME)
        if y < 2**255
        for sign in (0, 1)
    }
)
IDENTITY = b"\x01" + bytes(31)
# R is the identity, S is 0: the equation holds for every message under the identity as key.
FORGED = IDENTITY + bytes(32)


def test_a_key_of_small_order_is_nobodys() -> None:
    assert len(SMALL_ORDER) == 14
    # The library would take it: what is refused is a real forgery.
    Ed25519PublicKey.from_public_bytes(IDENTITY).verify(FORGED, b"any content")
    for key in SMALL_ORDER:
        encoded = base64.b64encode(key).decode()
        assert not any(Instance("x", key).signed(content, FORGED) for content in (b"", b"a", b"b"))
        with pytest.raises(UsageError, match="anybody can sign under it"):
            public_key(encoded)
        with pytest.raises(UsageError, match="anybody can sign under it"):
            trusted_keys([encoded])
        whole = {**opened(PACKAGE), "instance": {"name": "peer", "key": encoded}}
        whole["signature"] = base64.b64encode(FORGED).decode()
        with pytest.raises(PackageRefusedError, match="signature is not that of"):
            opened(canonical(whole))


def test_a_key_that_is_not_in_its_one_spelling_is_refused() -> None:
    for y in range(PRIME, 2**255):
        with pytest.raises(UsageError):
            public_key(base64.b64encode(y.to_bytes(32, "little")).decode())
    assert public_key(PEER.key) == PEER.identity.instance.public_key


@pytest.mark.parametrize(
    "text",
    ["zero\u200bwidth", "soft\u00adhyphen", "filler\u3164", "carriage\rreturn", "tag\U000e0041", "x\ufe0f"],
)
def test_text_that_hides_something_makes_no_package(text: str) -> None:
    with pytest.raises(PackageRefusedError, match="that hide"):
        PEER.package(make_rule(rationale=f"because of {text}"))


@pytest.mark.parametrize("field", ["pack", "owner"])
def test_a_pack_whose_name_looks_like_another_is_not_taken_in(field: str) -> None:
    assert "looks like another letter" in refusals([make_rule(**{field: "\u0441\u043e\u0440"})], {})[0]
