"""Code within files of another language is read on its lines; changes are put back, and every other byte stays."""

import json
from typing import Any

import pytest

from qflow_dagster.evolution import embedded
from qflow_dagster.evolution.embedded import Embedded, NotMergedError

VUE = """\
<script>
export default { name: "list" }
</script>
<script setup lang="ts">
const total: number = 1
</script>
<template>
  <p @click="total = 2" title="<script>no()</script>">{{ a < b }}</p>
</template>
<docs><script>no()</script></docs>
"""


def read(kind: str, file: str) -> Embedded:
    inner = embedded.read(kind, file)
    assert inner is not None
    return inner


def code(kind: str, file: str) -> str:
    """Return the code alone, without blanks at the ends of lines and without blank lines."""
    lines = (line.rstrip() for line in read(kind, file).code.text.splitlines())
    return "\n".join(line for line in lines if line)


def notebook(*cells: list[str], language: str = "python", **more: Any) -> str:
    """Return a notebook as Jupyter writes it, with a cell of prose before each cell of code."""
    content = {
        "cells": [
            cell
            for source in cells
            for cell in (
                {"cell_type": "markdown", "metadata": {}, "source": ["import prose\n", "%prose"]},
                {
                    "cell_type": "code",
                    "execution_count": 1,
                    "metadata": {"tags": ["é"]},
                    "outputs": [{"name": "stdout", "output_type": "stream", "text": ["import output\n"]}],
                    "source": source,
                },
            )
        ],
        "metadata": {"language_info": {"name": language}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    return json.dumps({**content, **more}, indent=1, ensure_ascii=False) + "\n"


def lines_of(kind: str, file: str) -> list[tuple[int, str]]:
    """Return (line, text) of each line of code."""
    lines = read(kind, file).code.text.split("\n")
    return [(number, line) for number, line in enumerate(lines, start=1) if line.strip()]


def test_scripts_of_vue_are_one_program_where_all_blocks_have_one_language() -> None:
    assert code("Vue", VUE) == 'export default { name: "list" }'
    assert read("Vue", VUE).code.language == "javascript"
    both = VUE.replace("<script>\nexport", '<script lang="ts">\nexport')
    assert code("Vue", both).replace(" ", "") == 'exportdefault{name:"list"}\n{}\nconsttotal:number=1'
    assert read("Vue", both).code.language == "typescript"


def test_code_stands_where_it_stands_in_the_file() -> None:
    inner = read("Vue", VUE)
    assert len(inner.code.text) == len(VUE)
    at = VUE.index("export default")
    assert inner.code.text[at : at + 31] == VUE[at : at + 31]
    assert inner.code.text.count("\n") == VUE.count("\n")


def test_names_of_a_template_and_of_other_scripts_are_used_outside() -> None:
    assert {"total", "a", "b"} <= read("Vue", VUE).code.names
    page = (
        '<p onclick="show(item)"></p><script>let a</script><script type="application/json">{"b": 1}</script>'
    )
    assert {"show", "item", "b"} <= read("HTML", page).code.names


def test_properties_and_stores_of_svelte_are_used_outside() -> None:
    file = "<script>\nexport let items = [];\nlet own = [];\n</script>\n<p>{$count}</p>\n"
    assert {"items", "count", "$count"} <= read("Svelte", file).code.names
    assert "own" not in read("Svelte", file).code.names


@pytest.mark.parametrize(
    "file",
    [
        "<!-- <script>a()</script> -->",
        "<textarea><script>a()</script></textarea>",
        "<title><script>a()</script></title>",
        "<template><script>a()</script></template>",
        '<p title="<script>a()</script>"></p>',
        '<script src="a.js">a()</script>',
        '<script type="application/json">{"a": 1}</script>',
        '<script type="text/x-template"><p>{{ a }}</p></script>',
        '<script type="importmap">{}</script>',
        "<script></script>",
        "<script>a()",
        "<p>no script</p>",
    ],
)
def test_scripts_of_html_that_are_not_run_where_they_are_are_not_read(file: str) -> None:
    assert embedded.read("HTML", file) is None


def test_scripts_of_a_page_are_read_whatever_surrounds_them() -> None:
    page = '{#if a < b}\n<P CLASS=x>\n<SCRIPT TYPE="text/javascript">\na()\n</SCRIPT>\n<script type=module>b()</script>'
    assert code("HTML", page).split() == ["a()", "{b()}"]


def test_a_page_may_be_a_template_of_a_language_that_is_not_known() -> None:
    for mark in ("{{ url }}", "{% if a %}", "<%= a %>", "<?php a ?>"):
        assert read("HTML", f"<p></p><script>f('{mark}')</script>").code.doubt
    assert not read("HTML", "<p>{{ url }}</p><script>f('url')</script>").code.doubt


def test_only_the_changed_characters_of_a_script_change() -> None:
    file = VUE.replace("\n", "\r\n")
    inner = read("Vue", file)
    assert inner.merged(inner.code.text.replace('"list"', '"ärger"')) == file.replace('"list"', '"ärger"')


@pytest.mark.parametrize(
    "after",
    [
        VUE.replace("{{ a < b }}", "{{ a }}"),
        " " + VUE,
        VUE.replace('"list"', '"</script>"'),
        VUE.replace("export default", "export  default").replace("<docs>", "<docs >"),
    ],
)
def test_a_change_that_would_change_the_markup_is_refused(after: str) -> None:
    inner = read("Vue", VUE)
    changed = inner.code.text[:0] + "".join(
        new if new != old else kept for new, old, kept in zip(after, VUE, inner.code.text, strict=False)
    )
    with pytest.raises(NotMergedError):
        inner.merged(changed + after[len(VUE) :])


def test_cells_of_a_notebook_are_one_module_on_the_lines_of_the_file() -> None:
    file = notebook(["import os\n", "\n", "x = '\\t\"é'"], ["print(x)"])
    numbered = lines_of(embedded.notebooks.LANGUAGE, file)
    assert [line for _, line in numbered] == ["import os", "x = '\\t\"é'", "print(x)"]
    rows = file.split("\n")
    assert all(json.dumps(line, ensure_ascii=False)[1:-1] in rows[number - 1] for number, line in numbered)


@pytest.mark.parametrize(
    ("line", "code_line"),
    [
        ("%matplotlib inline", "get_ipython()"),
        ("!pip install x", "get_ipython()"),
        ("    !ls", "    get_ipython()"),
        ("files = !ls {folder}", "files = get_ipython()"),
        ("t = %timeit -o f()", "t = get_ipython()"),
        ("?print", "get_ipython()"),
        ("x.copy??", "get_ipython()"),
        ("a != b", "a != b"),
        ("x = a if b else '?'", "x = a if b else '?'"),
    ],
)
def test_a_call_stands_for_a_magic_command(line: str, code_line: str) -> None:
    before = ["if x:\n", "    y\n"] if line.startswith(" ") else []
    file = notebook([*before, line])
    assert lines_of("Jupyter Notebook", file)[-1][1] == code_line
    names = read("Jupyter Notebook", file).code.names
    assert names if line != code_line else not names


def test_a_line_that_goes_on_with_the_one_before_is_no_magic_command() -> None:
    lines = ["x = (a\n", "% b)\n", 'y = """\n', "!no\n", "%s\n", '"""\n', "z = a \\\n", "%b"]
    file = notebook(lines)
    assert [line for _, line in lines_of("Jupyter Notebook", file)] == [line.rstrip("\n") for line in lines]


def test_a_cell_for_another_program_is_blank_and_its_names_are_used_outside() -> None:
    file = notebook(["%%bash\n", "echo $folder"], ["%%time\n", "run(data)"], ["x = 1"])
    assert [line for _, line in lines_of("Jupyter Notebook", file)] == ["x = 1"]
    assert {"folder", "data"} <= read("Jupyter Notebook", file).code.names


@pytest.mark.parametrize(
    "file",
    [
        notebook(["x <- 1"], language="R"),
        notebook(),
        json.dumps(json.loads(notebook(["x = 1\n", "y = 2"]))),
        notebook(["x = 1\n"]).replace('"x = 1\\n"', '"x = 1\\ny = 2"'),
        notebook(["x = '\\ud800'"]).replace("\\\\ud800", "\\ud800"),
        notebook(["x = 1"]).replace('"cell_type"', '"cell"'),
        "[]",
        "{",
        "",
        "[" * 100_000,
    ],
)
def test_what_is_no_notebook_of_python_with_a_line_of_code_per_line_is_not_read(file: str) -> None:
    assert embedded.read("Jupyter Notebook", file) is None


def test_a_notebook_of_format_3_is_read() -> None:
    cell = {"cell_type": "code", "input": ["x = 1"], "language": "python", "outputs": []}
    file = json.dumps({"nbformat": 3, "metadata": {}, "worksheets": [{"cells": [cell]}]}, indent=1)
    inner = read("Jupyter Notebook", file)
    assert inner.merged(inner.code.text.replace("x = 1", "x = 2")) == file.replace("x = 1", "x = 2")


@pytest.mark.parametrize(
    ("source", "old", "new", "expected"),
    [
        (["import os\n", "x = 1"], "import os\n", "", ["x = 1"]),
        (["import os\n", "import sys"], "import sys\n", "", ["import os"]),
        (["x = 1"], "x = 1\n", "", []),
        (["x = '\"é'"], "x =", "y =", ["y = '\"é'"]),
        (["a = 1\n", "b = 2"], "a = 1\n", "a = 1\na.b\n", ["a = 1\n", "a.b\n", "b = 2"]),
        (["a = 1\n", "b = 2"], "b = 2\n", "b = 2\nc = 3\n", ["a = 1\n", "b = 2\n", "c = 3"]),
        (["a = 1\n", "%x\n", "b = 2"], "b = 2", "b = 3", ["a = 1\n", "%x\n", "b = 3"]),
        (["a = 1\n"], "a = 1", "a = 2", ["a = 2\n"]),
    ],
)
def test_only_the_changed_lines_of_a_cell_change(
    source: list[str], old: str, new: str, expected: list[str]
) -> None:
    file = notebook(["first = 1"], source, ["last = 1"])
    inner = read("Jupyter Notebook", file)
    merged = inner.merged(inner.code.text.replace(old, new, 1))
    assert json.loads(merged) == json.loads(notebook(["first = 1"], expected, ["last = 1"]))
    before, after = file.splitlines(keepends=True), merged.splitlines(keepends=True)
    kept = len([line for line in source if line in expected])
    assert len(set(before) - set(after)) <= len(source) - kept + 1


def test_escapes_of_a_notebook_stay() -> None:
    file = json.dumps(json.loads(notebook(["x = 'é'\n", "y = 1"])), indent=4)
    inner = read("Jupyter Notebook", file)
    assert inner.merged(inner.code.text.replace("x =", "z =")) == file.replace("x =", "z =")
    unusual = file.replace("y = 1", "\\u0079 = 1")
    inner = read("Jupyter Notebook", unusual)
    with pytest.raises(NotMergedError, match="escapes characters"):
        inner.merged(inner.code.text.replace("x =", "z ="))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("get_ipython()", "pass"),
        ("x == None", "y = x == None"),
        ("plot();", "plot()"),
        ("import os", "import os\n\n \t \t\nimport sys"),
    ],
)
def test_a_change_of_magic_or_of_what_a_cell_shows_is_refused(old: str, new: str) -> None:
    inner = read("Jupyter Notebook", notebook(["import os\n", "%load_ext x\n", "x == None"], ["plot();"]))
    with pytest.raises(NotMergedError):
        inner.merged(inner.code.text.replace(old, new))


def test_a_script_of_svelte_begins_a_line() -> None:
    file = "<svelte:head>\n  <script>a()</script>\n</svelte:head>\n<p class={a > '<b'}>{b <c}</p>\n<script>d()</script>"
    assert code("Svelte", file).strip() == "d()"


def test_blocks_of_vue_within_blocks_are_not_read() -> None:
    file = "<template>\n<template #a />\n<template #b></template>\n<script>a()</script>\n</template>\n<script>b()</script>"
    assert code("Vue", file).strip() == "b()"


@pytest.mark.parametrize(
    "part", ["<", "<a ", "<!--", "<a b='", "<script>", "<template>", "{#if ", "</", "<a>", "<a b", "<a b= "]
)
def test_markup_that_is_not_closed_is_read_in_one_pass(part: str) -> None:
    for kind in ("HTML", "Vue", "Svelte"):
        assert embedded.read(kind, part * (100_000 // len(part))) is None
