"""Separations: what tells wanted from unwanted, weighed against what chance would do."""

import itertools
import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qflow_dagster.evolution.separation import MARGIN, Atom, Separation, separate, surprise


def bits(places: list[int]) -> int:
    return sum(1 << place for place in places)


@given(st.integers(1, 8), st.data())
def test_surprise_is_the_chance_that_counting_gives(places: int, data: st.DataObject) -> None:
    wanted = data.draw(st.integers(0, places))
    held = data.draw(st.integers(0, places))
    lost = data.draw(st.integers(max(wanted - held, 0), wanted))
    ways = list(itertools.combinations(range(places), wanted))
    as_good = sum(sum(place >= held for place in way) <= lost for way in ways)
    assert surprise(places, wanted, held, lost) == pytest.approx(-math.log2(as_good / len(ways)), abs=1e-9)


def test_surprise_has_no_largest_number() -> None:
    assert 4900 < surprise(5000, 2500, 2500, 0) < 5000


def test_the_simpler_of_two_that_hold_at_the_same_places_is_told() -> None:
    wanted, unwanted = bits(list(range(20))), bits(list(range(20, 40)))
    atoms = [Atom("name", 4.0, wanted), Atom("kind", 1.0, wanted), Atom("other", 1.0, wanted)]
    assert [[atom.content for atom in one.atoms] for one in separate(atoms, wanted, unwanted)] == [["kind"]]


def test_atoms_that_exclude_different_places_are_joined() -> None:
    wanted, unwanted = bits(list(range(20))), bits(list(range(20, 40)))
    atoms = [
        Atom("half", 1.0, wanted | bits(list(range(30, 40)))),
        Atom("other half", 1.0, wanted | bits(list(range(20, 30)))),
    ]
    found = [{atom.content for atom in one.atoms} for one in separate(atoms, wanted, unwanted)]
    assert found == [{"half", "other half"}, {"half"}, {"other half"}]


def test_a_second_atom_has_to_pay_for_itself() -> None:
    wanted, unwanted = bits(list(range(20))), bits(list(range(20, 40)))
    most, rest = wanted | bits([20, 21]), wanted | bits(list(range(22, 40)))
    for bits_of_rest, joined in ((1.0, True), (9.0, False)):
        best = separate([Atom("most", 1.0, most), Atom("rest", bits_of_rest, rest)], wanted, unwanted)[0]
        assert (len(best.atoms) == 2) is joined
        assert best.atoms[0].content == "most"


def test_one_serves_for_another_that_is_no_shorter_and_no_better() -> None:
    wanted = bits([0, 1, 2, 3])
    atom = Atom("any", 1.0, 0)
    best = Separation((atom,), bits([0, 1, 2]), 9.0)
    assert best.serves(best, wanted)
    assert best.serves(Separation((atom, atom), bits([0, 1, 5]), 8.0), wanted)
    assert not best.serves(Separation((), bits([0, 1, 5]), 8.0), wanted)
    assert not best.serves(Separation((atom,), bits([0, 1, 2, 3]), 8.0), wanted)
    assert not Separation((atom,), bits([0, 1, 2, 5]), 8.0).serves(best, wanted)


@pytest.mark.parametrize(
    ("wanted", "lost", "offered"),
    [(20, 1, False), (21, 1, True), (21, 2, False), (60, 3, True), (60, 4, False)],
)
def test_of_more_than_20_wanted_places_one_in_20_may_be_lost(wanted: int, lost: int, offered: bool) -> None:
    unwanted = bits(list(range(wanted, 2 * wanted)))
    atoms = [Atom("most", 1.0, bits(list(range(wanted - lost))))]
    assert bool(separate(atoms, bits(list(range(wanted))), unwanted)) is offered


def test_one_unwanted_place_is_no_separation() -> None:
    wanted = bits(list(range(500)))
    assert separate([Atom("all", 0.0, wanted)], wanted, 1 << 500) == []
    assert separate([Atom("all", 0.0, wanted)], 0, 0) == []
    assert separate([], wanted, 1 << 500) == []


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 1000))
def test_labels_by_lot_are_explained_no_more_often_than_the_margin_says(seed: int) -> None:
    lot = random.Random(seed)
    places, atoms = lot.randint(10, 60), lot.randint(5, 200)
    offered = 0
    for _ in range(40):
        said = [Atom(i, float(lot.randint(1, 5)), lot.getrandbits(places)) for i in range(atoms)]
        wanted = lot.getrandbits(places)
        offered += bool(separate(said, wanted, ~wanted & (1 << places) - 1))
    # 40 at 1 in 2 ** MARGIN are 2.5: above 9 is less likely than 1 in 1,000.
    assert offered <= 9, MARGIN
