"""Separating wanted from unwanted locations by properties of their code, more reliably than by chance.

The properties come from `constraints`, the separations are used in `variants`.

A property is an `Atom`; a set of locations is the bits of an integer. A separation consists of up to
`MAX_ATOMS` atoms that all hold at the wanted locations and do not all hold at unwanted ones. It is
evaluated by minimum description length: given the locations where the atoms hold, the labels take fewer
bits to encode, but the atoms have to be encoded as well. Each atom must save `MARGIN` bits more than
it costs. If the labels were random, some atom would do so with probability 2 ** -`MARGIN` at most,
however many atoms there are.
"""

import math
from collections.abc import Hashable, Iterator, Sequence
from typing import Generic, NamedTuple, TypeVar

MAX_ATOMS = 3
MARGIN = 4.0
# The number of locations an atom must hold at, and must exclude.
MIN_LOCATIONS = 2
# Above so many wanted locations, this share of them may be lost: some labels are wrong.
MIN_LOSSY_LOCATIONS, TOLERANCE = 20, 0.05
# Width of the beam search: partial separations that are extended.
BEAM = 20

Property = TypeVar("Property", bound=Hashable)


class Atom(NamedTuple, Generic[Property]):
    """A property, its description length in bits, and the locations where it holds."""

    content: Property
    bits: float
    holds: int


class Separation(NamedTuple, Generic[Property]):
    """Atoms that together hold at `holds`, and the bits they save."""

    atoms: tuple[Atom[Property], ...]
    holds: int
    saved: float

    def serves(self, other: "Separation[Property]", wanted: int) -> bool:
        """Return whether it is as short as the other, excludes all that excludes, and loses no more."""
        return (
            len(self.atoms) <= len(other.atoms)
            and not self.holds & ~wanted & ~other.holds
            and not other.holds & wanted & ~self.holds
        )


def separate(
    atoms: Sequence[Atom[Property]], wanted: int, unwanted: int, *, max_atoms: int = MAX_ATOMS
) -> list[Separation[Property]]:
    """Return useful separations, best first; of those that hold at the same locations only the first.

    Among equals, the order of `atoms` decides. The choice of atoms must not depend on the labels:
    the bound on random separations relies on that.
    """
    everything = wanted | unwanted
    different = _different(atoms, everything)
    if not different:
        return []
    # The bits to identify one atom among all.
    naming = math.log2(sum(2.0**-atom.bits for atom in different))
    lossy = int(wanted.bit_count() * TOLERANCE) if wanted.bit_count() > MIN_LOSSY_LOCATIONS else 0
    separations: list[Separation[Property]] = []
    partial = [Separation[Property]((), everything, 0.0)]
    for _ in range(max_atoms):
        extended = [
            longer for prefix in partial for longer in _longer(prefix, different, naming, wanted, lossy)
        ]
        # The sort is stable: the order among equals is kept.
        partial = _distinct(sorted(extended, key=lambda separation: -separation.saved))[:BEAM]
        separations += partial
    return _distinct(sorted(separations, key=lambda separation: (-separation.saved, len(separation.atoms))))


def surprise(locations: int, wanted: int, held: int, lost: int) -> float:
    """Return the information in bits of: all but `lost` of the wanted locations are among the `held` ones.

    That is minus the binary logarithm of the probability of this under random labels (Fisher's exact
    test, hypergeometric distribution) for `wanted` of `locations` locations.
    """
    ways = [
        _choose(held, wanted - missed) + _choose(locations - held, missed)
        for missed in range(lost + 1)
        if wanted - missed <= held and missed <= locations - held
    ]
    # Relative to the largest: the probabilities themselves underflow.
    largest = max(ways)
    ways_in_all = largest + math.log2(math.fsum(2.0 ** (bits - largest) for bits in ways))
    return max(_choose(locations, wanted) - ways_in_all, 0.0)


def _choose(n: int, k: int) -> float:
    return (math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)) / math.log(2)


def _different(atoms: Sequence[Atom[Property]], everything: int) -> list[Atom[Property]]:
    """Return the simplest atom for each distinct set of locations that splits them on both sides."""
    simplest: dict[int, Atom[Property]] = {}
    for atom in atoms:
        holds = atom.holds & everything
        excludes = everything & ~holds
        if min(holds.bit_count(), excludes.bit_count()) < MIN_LOCATIONS:
            continue
        if holds not in simplest or atom.bits < simplest[holds].bits:
            simplest[holds] = atom._replace(holds=holds)
    return list(simplest.values())


def _longer(
    separation: Separation[Property], atoms: Sequence[Atom[Property]], naming: float, wanted: int, lossy: int
) -> Iterator[Separation[Property]]:
    """Yield the separation extended by one more atom that saves `MARGIN` bits."""
    before = separation.holds & wanted
    for atom in atoms:
        holds = separation.holds & atom.holds
        kept = holds & wanted
        excluded = (separation.holds & ~holds & ~wanted).bit_count()
        if kept.bit_count() < max(MIN_LOCATIONS, wanted.bit_count() - lossy) or excluded < MIN_LOCATIONS:
            continue
        lost = before.bit_count() - kept.bit_count()
        information = surprise(separation.holds.bit_count(), before.bit_count(), holds.bit_count(), lost)
        saved = information - atom.bits - naming
        if saved >= MARGIN:
            yield Separation((*separation.atoms, atom), holds, separation.saved + saved)


def _distinct(separations: Sequence[Separation[Property]]) -> list[Separation[Property]]:
    first: dict[int, Separation[Property]] = {}
    for separation in separations:
        first.setdefault(separation.holds, separation)
    return list(first.values())
