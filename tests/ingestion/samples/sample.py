"""What a sample is: a small program of a language, with what is to be found in it."""

from typing import NamedTuple


class Sample(NamedTuple):
    """A program; symbols as `kind qualified.name`, documented ones marked `*`; imports; names called."""

    language: str
    source: str
    symbols: list[str]
    imports: list[str]
    calls: list[str]
    # cyclomatic, cognitive, nesting, parameters of the function `f` (or a method of that name)
    measures: tuple[int, int, int, int]
