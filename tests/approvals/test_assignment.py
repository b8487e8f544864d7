"""Passing a request on, fields that approvers fill in, and decisions on several requests."""

from collections.abc import Callable

import pytest
from sqlalchemy import Connection, Engine

from qflow_dagster.approvals import arbiter, assignment, authorization, batches, deciders, forms, records
from qflow_dagster.approvals.approval import DecisionRefusedError
from qflow_dagster.errors import UsageError
from qflow_dagster.quantumflow import verify_history
from tests import decisions
from tests.approvals.conftest import PATCH, ask

FORM = [
    {"name": "when", "type": "choice", "choices": ["now", "tonight"], "required": True},
    {"name": "ticket", "type": "integer", "minimum": 1},
    {"name": "announce", "type": "boolean", "default": True},
]


def events(connection: Connection, id_: object) -> list[str]:
    return [entry["event"] for entry in records.approval_history(connection, id_)]  # type: ignore[arg-type]


def test_a_request_changes_its_owner_and_all_deciders_may_still_decide(
    engine: Engine, approvals_settings: Callable[..., None]
) -> None:
    approvals_settings(deciders={"edit": ["ada", "team:shop"]}, teams={"shop": ["bob", "cy"]})
    with engine.begin() as connection:
        id_ = ask(connection, owner="ada")
        assignment.reassign(connection, id_, actor="Ada", to="team:shop", reason="it is theirs")
        assert records.show(connection, id_)["owner"] == "team:shop"
        for actor, to, refusal in (
            ("eve", "bob", DecisionRefusedError),
            ("bob", "eve", UsageError),
            ("bob", "bot", UsageError),
            ("bob", "team:none", UsageError),
            ("bob", "c\u200by", UsageError),
            ("bob", "\u3164", UsageError),
        ):
            with pytest.raises(refusal):
                assignment.reassign(connection, id_, actor=actor, to=to, reason="why not")
        for nothing in (" ", "\u200b\u2800", "x" * 2_001):
            with pytest.raises(UsageError, match="needs a reason"):
                assignment.reassign(connection, id_, actor="bob", to="cy", reason=nothing)
        assert decisions.approve(connection, id_, actor="ada").status == "approved"
        assert events(connection, id_) == ["created", "requested", "reassigned", "approve"]
        with pytest.raises(DecisionRefusedError, match="waits for no decision"):
            assignment.reassign(connection, id_, actor="bob", to="cy", reason="late")


def test_a_delegate_decides_in_the_place_of_a_decider_once(
    engine: Engine, approvals_settings: Callable[..., None]
) -> None:
    approvals_settings(deciders={"edit": ["ada", "bob"]}, quorum={"edit": 2})
    with engine.begin() as connection:
        id_ = ask(connection)
        with pytest.raises(DecisionRefusedError, match="may not decide"):
            decisions.approve(connection, id_, actor="dan")
        assignment.delegate(connection, id_, actor="ada", to="dan", reason="on holiday")
        for actor, to, refusal, words in (
            ("eve", "fay", DecisionRefusedError, "may not decide"),
            ("dan", "fay", DecisionRefusedError, "may not decide"),
            ("ada", "fay", DecisionRefusedError, "has delegated this decision to dan"),
            ("bob", "DAN", UsageError, "in the place of ada"),
            ("bob", "Ada", UsageError, "may decide it anyway"),
            ("bob", "bot", UsageError, "asked for this approval"),
            ("bob", "fay\u2066", UsageError, "<U\\+2066>' has characters that hide"),
        ):
            with pytest.raises(refusal, match=words):
                assignment.delegate(connection, id_, actor=actor, to=to, reason="busy")
        with pytest.raises(DecisionRefusedError, match="ada has delegated this decision to dan"):
            decisions.approve(connection, id_, actor="ada")
        assert decisions.approve(connection, id_, actor="Dan").approvals == 1
        with pytest.raises(DecisionRefusedError, match="dan may not decide"):
            assignment.delegate(connection, id_, actor="dan", to="fay", reason="busy")
        assert decisions.approve(connection, id_, actor="bob").status == "approved"
        decided = records.show(connection, id_)["decisions"]
        assert [(row["actor"], row["on_behalf_of"]) for row in decided] == [("Dan", "ada"), ("bob", None)]
        assert verify_history(connection, id_) is None


def test_where_everybody_may_decide_nothing_is_delegated(engine: Engine) -> None:
    with engine.begin() as connection, pytest.raises(UsageError, match="reassign it to dan instead"):
        assignment.delegate(connection, ask(connection), actor="ada", to="dan", reason="busy")


def test_an_approval_needs_the_answers_that_the_request_demands_and_the_action_gets_them(
    engine: Engine,
) -> None:
    with engine.begin() as connection:
        id_ = ask(connection, form=FORM, required_approvals=2)
        for answers, words in (
            (None, "needs an answer to 'when'"),
            ({"when": "later"}, "one of now, tonight is expected, not 'later'"),
            ({"when": "now", "ticket": "0"}, "at least 1 is expected"),
            ({"when": "now", "ticket": "1.5"}, "a whole number"),
            ({"when": "now", "announce": "maybe"}, "yes or no"),
            ({"when": "now", "other": "x"}, "no field 'other'"),
        ):
            with pytest.raises(UsageError, match=words):
                decisions.approve(connection, id_, actor="ada", answers=answers)
        decisions.approve(connection, id_, actor="ada", answers={"when": "now", "ticket": "12"})
        with pytest.raises(DecisionRefusedError, match="ada approved it with other answers"):
            decisions.approve(connection, id_, actor="bob", answers={"when": "tonight", "ticket": 12})
        token = decisions.approve(connection, id_, actor="bob", answers={"when": "now", "ticket": 12}).token
        used = authorization.authorize_edit(connection, token or "", "src/a.py", PATCH, actor="run")
        assert used.answers == {"when": "now", "ticket": 12, "announce": True}
        assert verify_history(connection, id_) is None
        denied = ask(connection, form=FORM)
        assert decisions.deny(connection, denied, actor="ada").status == "denied"


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ({"name": "x"}, "at its root"),
        ([{"name": "X"}], "0.name"),
        ([{"name": "x", "type": "choice"}], "needs them"),
        ([{"name": "x", "choices": ["a"]}], "needs them"),
        ([{"name": "x", "multiple": True}], "multiple"),
        ([{"name": "x", "minimum": 1}], "of numbers"),
        ([{"name": "x", "type": "integer", "default": "z"}], "a whole number"),
        ([{"name": "x", "type": "number", "minimum": float("nan")}], "finite"),
        ([{"name": "x"}, {"name": "x"}], "two fields 'x'"),
        ([{"name": "x", "pattern": "(a+)+"}], "x|pattern"),
        ([{"name": f"x{i}"} for i in range(31)], "at most 30"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_an_invalid_form_is_refused_with_the_request(engine: Engine, form: object, words: str) -> None:
    with engine.begin() as connection, pytest.raises(UsageError, match=words):
        ask(connection, form=form)


def test_numbers_and_several_choices_are_taken_as_their_type() -> None:
    fields = forms.parse(
        [
            {"name": "share", "type": "number", "maximum": 1},
            {"name": "regions", "type": "choice", "choices": ["eu", "us"], "multiple": True},
        ]
    )
    assert forms.check(fields, {"share": "0.5", "regions": "eu"}) == {"share": 0.5, "regions": ["eu"]}
    assert forms.check(fields, {"regions": ["us", "eu", "us"]}) == {"regions": ["us", "eu"]}
    for wrong in ("nan", "1e400", "0_1", True, "9" * 40, [1]):
        with pytest.raises(UsageError, match="share"):
            forms.check(fields, {"share": wrong})


def test_what_shows_nothing_is_no_answer_and_a_wrong_answer_is_not_repeated_whole() -> None:
    fields = forms.parse(
        [
            {"name": "why", "required": True},
            {"name": "when", "type": "choice", "choices": ["now"]},
        ]
    )
    for nothing in (None, "", " \n", "\u200b", "\u3164\u2800"):
        with pytest.raises(UsageError, match="needs an answer to 'why'"):
            forms.check(fields, {"why": nothing})
    for wrong in ({"when": "x" * 100_000}, {"x" * 100_000: 1}, {"when": "\x1b[31m"}):
        with pytest.raises(UsageError) as refused:
            forms.check(fields, {"why": "because", **wrong})
        assert len(str(refused.value)) < 150
        assert "\x1b" not in str(refused.value)


def test_several_requests_are_decided_each_by_itself(engine: Engine) -> None:
    with engine.begin() as connection:
        good, own, shaped = ask(connection), ask(connection, requested_by="ada"), ask(connection, form=FORM)
        seen = {id_: decisions.seen(connection, id_) for id_ in (good, own, shaped)}
        other = ask(connection)
    results = batches.decide_all(engine, "approve", {**seen, other: "0" * 64}, actor="ada", comment="a batch")
    assert [(id_, result and result.status) for id_, result, _ in results] == [
        (good, "approved"),
        (own, None),
        (shaped, None),
        (other, None),
    ]
    assert all(result is None or result.token is None for _, result, _ in results)
    problems = [str(problem) for _, _, problem in results]
    for problem, words in zip(problems[1:], ("somebody else", "needs an answer", "look again"), strict=True):
        assert words in problem
    with pytest.raises(UsageError, match="approve or deny"):
        batches.decide_all(engine, "revoke", seen, actor="ada")


def test_a_page_knows_who_may_decide(engine: Engine, approvals_settings: Callable[..., None]) -> None:
    approvals_settings(deciders={"edit": ["ada", "bob"]})
    with engine.begin() as connection:
        id_ = ask(connection, required_approvals=2)
        decisions.approve(connection, id_, actor="ada")
        with pytest.raises(DecisionRefusedError, match="has decided already"):
            assignment.delegate(connection, id_, actor="ada", to="fay", reason="busy")
        shown = records.show(connection, id_)
        objections = {
            name: deciders.objection(connection, shown, name) for name in ("ADA", "bob", "bot", "eve")
        }
        revokers = [name for name in objections if deciders.may_revoke(shown, name)]
    assert objections["bob"] is None
    assert "has decided already (approve)" in str(objections["ADA"])
    assert "somebody else has to decide" in str(objections["bot"])
    assert "may not decide" in str(objections["eve"])
    assert revokers == ["ADA", "bob", "bot"]


def test_a_name_that_looks_like_another_one_of_the_request_decides_nothing(engine: Engine) -> None:
    # The first letter of the second name is Cyrillic.
    with engine.begin() as connection:
        id_ = ask(connection, requested_by="ada", required_approvals=2)
        for decide in (decisions.approve, decisions.deny):
            with pytest.raises(DecisionRefusedError, match="looks like ada"):
                decide(connection, id_, actor="\u0430da")
        decisions.approve(connection, id_, actor="o'neil")
        # Also beside letters of ASCII that have others that look like them.
        for actor in ("\u043e'neil", "o\u2019neil"):
            with pytest.raises(DecisionRefusedError, match="looks like o'neil"):
                decisions.approve(connection, id_, actor=actor)
        # A name in letters of its own is that of a person.
        assert decisions.approve(connection, id_, actor="\u0416\u0435\u043d\u044f").approvals == 2


def test_a_request_has_at_most_so_many_comments(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arbiter, "MAX_COMMENTS", 3)
    with engine.begin() as connection:
        id_ = ask(connection)
        for n in range(3):
            arbiter.comment(connection, id_, actor="cy", words=f"why {n}")
        with pytest.raises(DecisionRefusedError, match="3 comments already"):
            arbiter.comment(connection, id_, actor="cy", words="why")
        assert decisions.approve(connection, id_, actor="bob", comment="it is good").status == "approved"
