"""Text from outside is shown as it is: nothing hides, reorders, overprints or looks like a space."""

import json
import re
import sys
import unicodedata
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from qflow_dagster.safety.display import visible, visible_json, visible_line

# Unicode 16, DerivedCoreProperties.txt: what a renderer may leave away (Default_Ignorable_Code_Point).
IGNORABLE = [
    (0xAD, 0xAD),
    (0x34F, 0x34F),
    (0x61C, 0x61C),
    (0x115F, 0x1160),
    (0x17B4, 0x17B5),
    (0x180B, 0x180F),
    (0x200B, 0x200F),
    (0x202A, 0x202E),
    (0x2060, 0x206F),
    (0x3164, 0x3164),
    (0xFE00, 0xFE0F),
    (0xFEFF, 0xFEFF),
    (0xFFA0, 0xFFA0),
    (0xFFF0, 0xFFF8),
    (0x1BCA0, 0x1BCA3),
    (0x1D173, 0x1D17A),
    (0xE0000, 0xE0FFF),
]
# A tabulator and a newline are shown as what they are; an ideographic space is wide, and seen.
MAX_ROWS = {"\t", "\n", " ", "\u3000"}


def test_every_character_that_hides_or_moves_something_is_written_out() -> None:
    hidden = {chr(c) for first, last in IGNORABLE for c in range(first, last + 1)}
    categories = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp", "Zs"}
    hidden |= {c for c in map(chr, range(sys.maxunicode + 1)) if unicodedata.category(c) in categories}
    assert [hex(ord(c)) for c in sorted(hidden - MAX_ROWS) if visible(c) != f"<U+{ord(c):04X}>"] == []
    assert [c for c in sorted(MAX_ROWS) if visible(c) != c] == []


def test_letters_marks_and_signs_of_every_script_stay() -> None:
    changed = [
        c
        for c in map(chr, range(sys.maxunicode + 1))
        if unicodedata.category(c)[0] in "LNPS" and visible(c) != c
    ]
    # Blanks that count as letters, and a symbol without a picture: nothing is seen of them.
    assert changed == ["\u115f", "\u1160", "\u2800", "\u3164", "\uffa0", "\U0001d159"]
    for text in ("naïve Straße", "Việt", "नमस्ते", "שלום", "مرحبا", "你好", "e\u0301", "→ ✓ “quoted”"):
        assert visible(text) == text


def test_marks_piled_on_one_letter_stop_before_they_cover_other_lines() -> None:
    assert visible("e" + "\u0301" * 6) == "e" + "\u0301" * 4 + "<U+0301>" * 2
    for mark in "\u0e49\u05b0\u0610\U0001e944\u0ec8\u0f71\u20dd":
        assert visible(mark * 6) == mark * 4 + f"<U+{ord(mark):04X}>" * 2


def test_the_escapes_of_a_terminal_and_a_carriage_return_are_written_out() -> None:
    assert (
        visible("ok\x1b[1A\x1b[2K\x9b31m\rEVIL\r\n")
        == "ok<U+001B>[1A<U+001B>[2K<U+009B>31m<U+000D>EVIL<U+000D>\n"
    )


def test_a_line_is_one_line() -> None:
    assert visible_line("a\nb\tc") == "a<U+000A>b<U+0009>c"
    assert visible_line("x" * 20, 10) == "x" * 9 + "…"


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
@example({"\u0300" * 5: "e" + "\u0301" * 9})
def test_json_reads_back_as_it_was_and_holds_nothing_hidden(value: object) -> None:
    shown = visible_json(value)
    assert json.loads(shown) == value
    assert visible(shown) == shown


@given(st.text())
def test_what_is_visible_stays_as_it_is(text: str) -> None:
    assert visible(visible(text)) == visible(text)


@pytest.mark.parametrize("folder", ["cli", "assets", "jobs", "sensors", "checks"])
def test_commands_print_through_the_safe_console_alone(folder: str) -> None:
    """A console of rich's own, or an echo of typer's, would show text from outside as it is."""
    package = Path(__file__).parents[2] / "qflow_dagster" / folder
    for path in package.glob("*.py"):
        if path.name != "output.py":
            source = path.read_text()
            for call in (
                " Console(",
                "typer.echo(",
                "typer.secho(",
                "click.echo(",
                "sys.stdout.write",
                "markup=True",
            ):
                assert call not in source, f"{path.name} prints by {call}: use cli/output.py"


def test_every_module_logs_through_the_safe_logger() -> None:
    package = Path(__file__).parents[2] / "qflow_dagster"
    plain = re.compile(
        r"^\w+ = logging\.getLogger|logging\.(?:info|warning|error|exception|critical)\(", re.MULTILINE
    )
    assert [path.name for path in package.rglob("*.py") if plain.search(path.read_text())] == []
