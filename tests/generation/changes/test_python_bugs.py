"""Programs with a bug that a rule finds: what they do now, and what they do after the fix, and nothing else."""

import contextlib
import io
import re
import warnings
from pathlib import Path
from typing import NamedTuple

import pytest

from qflow_dagster.evolution.rules import load_rules
from qflow_dagster.generation.fixed_text import fix_text

RULES = {rule.id.removeprefix("python/"): rule for rule in load_rules()}


class Program(NamedTuple):
    """A program, its output now, and after the fix; an exception ends the output with its name."""

    rule: str
    code: str
    now: str
    fixed: str


PROGRAMS = [
    Program(
        "missing-f-prefix",
        'def load(path):\n    print("loads {path}")\n    raise ValueError("no {path}")\n\n\n'
        'try:\n    load("a")\nexcept ValueError as error:\n    print(error)\n',
        "loads {path}\nno {path}\n",
        "loads a\nno a\n",
    ),
    Program(
        "exception-with-format-arguments",
        'def load(path):\n    raise ValueError("no %s of %r", path, 1)\n\n\n'
        "def shown(pair):\n    try:\n        load(pair)\n    except ValueError as error:\n        return str(error)\n\n\n"
        "print(shown((1, 2)))\n",
        "('no %s of %r', (1, 2), 1)\n",
        "no (1, 2) of 1\n",
    ),
    Program(
        "logging-without-marks",
        "import logging\nimport sys\n\nlogging.raiseExceptions = False\nlogger = logging.getLogger(__name__)\n"
        "logger.propagate = False\nlogger.addHandler(logging.StreamHandler(sys.stdout))\n"
        'logger.warning("%s is read", "a")\nlogger.warning("{} is read", "b")\nlogger.warning("failed", 1, 2)\n',
        "a is read\n",
        "a is read\nb is read\nfailed: 1 2\n",
    ),
    Program(
        "undefined-name",
        'import sys\n\n\ndef size(text):\n    return len(unichr(233) + text), json.dumps(text), sys.maxsize > 0\n\n\nprint(size("a"))\n',
        "NameError",
        "(2, '\"a\"', True)\n",
    ),
    Program(
        "raise-not-implemented",
        "def area():\n    raise NotImplemented\n\n\narea()\n",
        "TypeError",
        "NotImplementedError",
    ),
    Program(
        "assert-on-tuple",
        'def double(x):\n    assert (x > 0, "positive")\n    return 2 * x\n\n\nprint(double(1))\nprint(double(-1))\n',
        "2\n-2\n",
        "2\nAssertionError",
    ),
    Program(
        "except-or",
        "def number(x):\n    try:\n        return int(x)\n    except ValueError or TypeError:\n        return 0\n\n\n"
        'print(number("a"))\nprint(number(None))\n',
        "0\nTypeError",
        "0\n0\n",
    ),
    Program(
        "exception-not-raised",
        'def root(x):\n    if x < 0:\n        ValueError("negative")\n    return abs(x) ** 0.5\n\n\n'
        "print(root(4))\nprint(root(-4))\n",
        "2.0\n2.0\n",
        "2.0\nValueError",
    ),
    Program(
        "strip-of-a-word",
        'def host(url: str) -> str:\n    return url.lstrip("http://")\n\n\nprint(host("http://example.org"))\n'
        'print(host("http://httpbin.org"))\n',
        "example.org\nbin.org\n",
        "example.org\nhttpbin.org\n",
    ),
    Program(
        "missing-await",
        'import asyncio\n\n\nasync def save():\n    print("saved")\n\n\nasync def main():\n    save()\n    print("end")\n\n\n'
        "asyncio.run(main())\n",
        "end\n",
        "saved\nend\n",
    ),
    Program(
        "changed-while-iterating",
        "def drop_short(words: list[str]) -> None:\n    for word in words:\n        if len(word) < 3:\n"
        '            words.remove(word)\n\n\nwords = ["a", "b", "long"]\ndrop_short(words)\nprint(words)\n',
        "['b', 'long']\n",
        "['long']\n",
    ),
    Program(
        "shared-fromkeys-value",
        'groups = dict.fromkeys("ab", [])\ngroups["a"].append(1)\nprint(groups)\n',
        "{'a': [1], 'b': [1]}\n",
        "{'a': [1], 'b': []}\n",
    ),
    Program(
        "flags-as-count",
        'import re\n\nprint(re.sub("a", "-", "aAaAa", re.IGNORECASE))\n',
        "-A-Aa\n",
        "-----\n",
    ),
    Program(
        "stop-iteration-in-generator",
        "def until(items, end):\n    for item in items:\n        if item == end:\n            raise StopIteration\n"
        "        yield item\n\n\nprint(list(until([1, 2, 3], 3)))\n",
        "RuntimeError",
        "[1, 2]\n",
    ),
    Program(
        "sql-from-values",
        "import sqlite3\n\n\ndef count(connection: sqlite3.Connection, name: str) -> None:\n"
        "    rows = connection.execute(f\"SELECT count(*) FROM users WHERE name = '{name}'\")\n    print(*rows.fetchone())\n"
        '\n\nwith sqlite3.connect(":memory:") as connection:\n    connection.execute("CREATE TABLE users (name TEXT)")\n'
        '    connection.execute("INSERT INTO users VALUES (\'Eve\')")\n    count(connection, "Eve")\n'
        "    count(connection, \"' OR '1' = '1\")\n",
        "1\n1\n",
        "1\n0\n",
    ),
    Program(
        "shell-true",
        "import subprocess\nfrom pathlib import Path\n\n\ndef show(path: str) -> None:\n"
        "    done = subprocess.run(f\"ls '{path}'\", shell=True, capture_output=True, text=True)\n"
        "    print(done.stdout, end=\"\")\n\n\nPath(\"it's\").touch()\nPath(\"plain\").touch()\n"
        'show("plain")\nshow("it\'s")\n',
        "plain\n",
        "plain\nit's\n",
    ),
    Program(
        "digest-compared",
        "import hmac\n\n\ndef valid(signature: str) -> bool:\n"
        '    return hmac.new(b"k", b"x", "sha256").hexdigest() == signature\n\n\n'
        'print(valid(hmac.new(b"k", b"x", "sha256").hexdigest()), valid("\\u00e9"))\n',
        "True False\n",
        "True False\n",
    ),
    Program(
        "check-before-makedirs",
        'import os\n\n\ndef prepare(folder):\n    if not os.path.exists(folder):\n        os.makedirs(folder)\n\n\n'
        'prepare("a/b")\nprepare("a/b")\nprint(os.listdir("a"))\n',
        "['b']\n",
        "['b']\n",
    ),
    Program(
        "file-as-argument",
        "import json\n\n\ndef save(data, path):\n    json.dump(data, open(path, \"w\"))\n\n\ndef load(path):\n"
        '    data = json.load(open(path))\n    return data\n\n\nsave([1], "x")\nprint(load("x"))\n',
        "[1]\n",
        "[1]\n",
    ),
    Program(
        "loop-over-open-file",
        'from pathlib import Path\n\nPath("x").write_text("a\\nb\\n")\n\n\ndef first(path):\n    for line in open(path):\n'
        '        # The first one.\n        if line:\n            return line\n\n    return None\n\n\nprint(first("x"))\n',
        "a\n\n",
        "a\n\n",
    ),
    Program(
        "utcfromtimestamp",
        'import datetime\n\nprint(datetime.datetime.utcfromtimestamp(86400).strftime("%d %H"))\n',
        "02 00\n",
        "02 00\n",
    ),
    Program(
        "csv-file-with-newlines",
        'import csv\n\n\ndef save(path):\n    with open(path, "w") as file:\n        csv.writer(file).writerow([1, 2])\n\n\n'
        'save("x")\nwith open("x", newline="") as file:\n    print(repr(file.read()))\n',
        "'1,2\\r\\n'\n",
        "'1,2\\r\\n'\n",
    ),
    Program(
        "tuple-without-comma",
        'def size(kind):\n    return 4 if kind in ("integer") else 8\n\n\ndef is_text(kind):\n    return kind == "text"\n\n\n'
        'print(size("integer"), size("int"), size(""))\n',
        "4 4 4\n",
        "4 8 8\n",
    ),
    Program(
        "seconds-without-days",
        "from datetime import datetime, timedelta\n\n\ndef passed(start):\n    return (datetime.now() - start).seconds\n\n\n"
        "print(passed(datetime.now() - timedelta(days=2)))\n",
        "0\n",
        "172800\n",
    ),
    Program(
        "default-computed-once",
        'import time\n\n\ndef stamp(at=time.time()):\n    """Return a time."""\n    return at\n\n\nfirst = stamp()\n'
        "while time.time() <= first:\n    pass\nprint(stamp() > first)\n",
        "False\n",
        "True\n",
    ),
    Program(
        "find-as-condition",
        'def kind(url):\n    if url.find(".torrent"):\n        return "torrent"\n    return url.split("/")[0]\n\n\n'
        'print(kind("a/b"), kind("a.torrent"))\n',
        "torrent torrent\n",
        "a torrent\n",
    ),
    Program(
        "text-method-dropped",
        'def plain(name: str):\n    if name.startswith("["):\n        name.strip("[]")\n    return name\n\n\nprint(plain("[a]"))\n',
        "[a]\n",
        "a\n",
    ),
    Program("invalid-escape", 'print("\\d+", "a\\d\\n")\n', "\\d+ a\\d\n\n", "\\d+ a\\d\n\n"),
]


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.rule)
def test_a_fix_changes_the_bug_and_nothing_else(
    program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    after = fix_text(RULES[program.rule], program.code, "program.py", "python")
    assert after != program.code
    for number, (code, output) in enumerate(((program.code, program.now), (after, program.fixed))):
        folder = tmp_path / str(number)
        folder.mkdir()
        monkeypatch.chdir(folder)
        assert _output(code) == output, code


def _output(code: str) -> str:
    with contextlib.redirect_stdout(io.StringIO()) as printed, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            exec(compile(code, "program.py", "exec"), {"__name__": "program"})
        except Exception as error:
            return printed.getvalue() + type(error).__name__
    return printed.getvalue()


def test_every_rule_whose_fix_differs_says_so_in_one_sentence() -> None:
    for rule in RULES.values():
        assert rule.differs is None or (rule.fix and re.fullmatch(r"[^.]+", rule.differs)), rule.id
