"""The report that a repository's tests leave: read as far as it is one, and as small as one."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from qflow_dagster.generation import repository_tests

SUITE = (
    '<?xml version="1.0" encoding="utf-8"?><testsuites><testsuite><properties><property name="x"/></properties>'
    '<testcase classname="a" name="one"/>'
    '<testcase classname="a" name="two"><failure message="m">words &lt;</failure></testcase>'
    '<testcase classname="a" name="three"><skipped/></testcase>'
    '<testcase classname="a" name="four"/><testcase classname="a" name="four"><error/></testcase>'
    '<testcase classname="a" name="five"><error/></testcase><testcase classname="a" name="five"/>'
    '<testcase classname="a" name="\u00e4"><failure/><skipped/></testcase>'
    "</testsuite></testsuites>"
)
ENTITY = '<!DOCTYPE s [<!ENTITY e "x">]><s><testcase classname="&e;" name="entity"/></s>'


@pytest.fixture
def report(tmp_path: Path) -> Path:
    return tmp_path / repository_tests.REPORT


def test_each_test_has_its_outcome(report: Path) -> None:
    report.write_text(SUITE, "utf-8")
    assert repository_tests._junit(report) == {
        "a::one": "passed",
        "a::two": "failed",
        "a::three": "skipped",
        "a::four": "failed",
        "a::five": "failed",
        "a::\u00e4": "failed",
    }


@pytest.mark.parametrize(
    "codec", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-7", "cp037"]
)
@pytest.mark.parametrize("said", ["", "UTF-8", "UTF-16", "UTF-7", "cp037", "ISO-8859-1"])
def test_no_encoding_brings_an_entity_in(report: Path, codec: str, said: str) -> None:
    declaration = f'<?xml version="1.0" encoding="{said}"?>' if said else ""
    report.write_bytes((declaration + ENTITY).encode(codec))
    assert repository_tests._junit(report) == {}
    report.write_bytes(declaration.encode() + ENTITY.encode(codec))
    assert repository_tests._junit(report) == {}


@pytest.mark.parametrize("codec", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "latin-1"])
def test_a_report_that_is_not_utf_8_is_none(report: Path, codec: str) -> None:
    report.write_bytes(SUITE.replace("utf-8", codec).encode(codec))
    assert repository_tests._junit(report) == {}


def _link(report: Path) -> None:
    (report.parent / "other").write_text(SUITE)
    report.symlink_to("other")


MADE: dict[str, Callable[[Path], None]] = {
    "link": _link,
    "pipe": os.mkfifo,
    "folder": Path.mkdir,
    "none": lambda report: None,
    "empty": Path.touch,
    "too large": lambda report: report.write_text(SUITE + " " * repository_tests.MAX_REPORT_BYTES) and None,
    "cut short": lambda report: report.write_text(SUITE[:-20]) and None,
    "NUL": lambda report: report.write_text(SUITE.replace("one", "o\0e")) and None,
}


@pytest.mark.parametrize("what", MADE)
def test_what_is_no_report_says_nothing(report: Path, what: str) -> None:
    MADE[what](report)
    assert repository_tests._junit(report) == {}


@pytest.mark.parametrize("part", ["<a/>", "<a>", "<a b='1'/>", "<testcase/>", "x"])
def test_a_large_report_costs_little(report: Path, part: str) -> None:
    report.write_text("<s>" + part * ((repository_tests.MAX_REPORT_BYTES - 10) // len(part)) + "</s>")
    program = (
        "import resource, sys; from pathlib import Path; from qflow_dagster.generation import repository_tests\n"
        "usage = lambda: resource.getrusage(resource.RUSAGE_SELF)\n"
        "before = usage(); repository_tests._junit(Path(sys.argv[1])); after = usage()\n"
        "print((after.ru_maxrss - before.ru_maxrss) // 1024, after.ru_utime - before.ru_utime)"
    )
    done = subprocess.run([sys.executable, "-c", program, report], capture_output=True, text=True, check=True)
    megabytes, seconds = done.stdout.split()
    assert int(megabytes) < 150
    assert float(seconds) < 10
