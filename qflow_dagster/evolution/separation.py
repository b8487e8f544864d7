"""Telling wanted places from unwanted ones by what is true of them, and not by chance.

Belongs here: the search over sets of places, and what it may believe. Does not belong here: what
is said of places (`constraints`), rules (`variants`).

What is true of a place is an `Atom`; a set of places is the bits of an integer. A separation is up
to `MAX_ATOMS` atoms that hold together at the wanted places and not at unwanted ones. It is weighed as
a message would be (minimum description length): told which places the atoms hold at, the labels
take fewer bits to write down, and the atoms have to be written down as well. Each atom must save
`MARGIN` bits more than it costs. Were the labels given by lot, some atom would do so once in 2 **
`MARGIN` times at most, however many there are to choose from.
"""

import math
from collections.abc import Hashable, Iterator, Sequence
from typing import Generic, NamedTuple, TypeVar

MAX_ATOMS = 3
MARGIN = 4.0
# An atom is about more than one place, on both sides.
LEAST = 2
# Above so many wanted places, this share of them may be lost: people err.
MANY, TOLERANCE = 20, 0.05
# Beginnings that are followed further.
BEAM = 20

What = TypeVar("What", bound=Hashable)


class Atom(NamedTuple, Generic[What]):
    """What can be said, the bits it takes to say it among its like, and the places where it holds."""

    what: What
    bits: float
    holds: int


class Separation(NamedTuple, Generic[What]):
    """Atoms that together hold at `holds`, and the bits that are saved by saying so."""

    atoms: tuple[Atom[What], ...]
    holds: int
    saved: float

    def serves(self, other: "Separation[What]", wanted: int) -> bool:
        """Whether it is as short as the other, excludes what that excludes and loses nothing more."""
        return (
            len(self.atoms) <= len(other.atoms)
            and not self.holds & ~wanted & ~other.holds
            and not other.holds & wanted & ~self.holds
        )


def separate(
    atoms: Sequence[Atom[What]], wanted: int, unwanted: int, *, most_atoms: int = MAX_ATOMS
) -> list[Separation[What]]:
    """The separations worth offering, best first; of those that hold at the same places the first.

    What comes first among `atoms` is preferred where nothing else decides. Which atoms there are must
    not depend on which places are wanted: the bound on chance rests on that.
    """
    everything = wanted | unwanted
    different = _different(atoms, everything)
    if not different:
        return []
    # Naming one of them: its own bits, and as many as their likes fill.
    naming = math.log2(sum(2.0**-atom.bits for atom in different))
    lossy = int(wanted.bit_count() * TOLERANCE) if wanted.bit_count() > MANY else 0
    found: list[Separation[What]] = []
    beginnings = [Separation[What]((), everything, 0.0)]
    for _ in range(most_atoms):
        further = [longer for one in beginnings for longer in _longer(one, different, naming, wanted, lossy)]
        # Stable: what is first among equals stays so.
        beginnings = _distinct(sorted(further, key=lambda one: -one.saved))[:BEAM]
        found += beginnings
    return _distinct(sorted(found, key=lambda one: (-one.saved, len(one.atoms))))


def surprise(places: int, wanted: int, held: int, lost: int) -> float:
    """How many bits it tells that of the wanted ones of `places` all but `lost` are among `held` ones.

    Minus the binary logarithm of the chance that they are, drawn by lot: Fisher's exact test.
    """
    ways = [
        _choose(held, wanted - out) + _choose(places - held, out)
        for out in range(lost + 1)
        if wanted - out <= held and out <= places - held
    ]
    # As powers of the likeliest: the chances themselves are too small to be numbers.
    most = max(ways)
    ways_in_all = most + math.log2(math.fsum(2.0 ** (one - most) for one in ways))
    return max(_choose(places, wanted) - ways_in_all, 0.0)


def _choose(n: int, k: int) -> float:
    return (math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)) / math.log(2)


def _different(atoms: Sequence[Atom[What]], everything: int) -> list[Atom[What]]:
    """One atom, the simplest, for each set of places that is worth telling from the others."""
    simplest: dict[int, Atom[What]] = {}
    for atom in atoms:
        holds = atom.holds & everything
        excludes = everything & ~holds
        if min(holds.bit_count(), excludes.bit_count()) < LEAST:
            continue
        if holds not in simplest or atom.bits < simplest[holds].bits:
            simplest[holds] = atom._replace(holds=holds)
    return list(simplest.values())


def _longer(
    one: Separation[What], atoms: Sequence[Atom[What]], naming: float, wanted: int, lossy: int
) -> Iterator[Separation[What]]:
    """That separation with one more atom that pays for itself."""
    before = one.holds & wanted
    for atom in atoms:
        holds = one.holds & atom.holds
        kept = holds & wanted
        excluded = (one.holds & ~holds & ~wanted).bit_count()
        if kept.bit_count() < max(LEAST, wanted.bit_count() - lossy) or excluded < LEAST:
            continue
        lost = before.bit_count() - kept.bit_count()
        told = surprise(one.holds.bit_count(), before.bit_count(), holds.bit_count(), lost)
        saved = told - atom.bits - naming
        if saved >= MARGIN:
            yield Separation((*one.atoms, atom), holds, one.saved + saved)


def _distinct(separations: Sequence[Separation[What]]) -> list[Separation[What]]:
    first: dict[int, Separation[What]] = {}
    for one in separations:
        first.setdefault(one.holds, one)
    return list(first.values())
