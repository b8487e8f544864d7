"""Scripts of pages and components, and cells of notebooks, are changed like code in files of their own."""

import json

from sqlalchemy import text

from qflow_dagster.ingestion import git
from tests.improvement_loop import Loop

VUE = """\
<template>
  <p @click="items = null">{{ new Object() }}</p>
</template>

<script setup>
const options = new Object();
// eslint-disable-next-line no-object-constructor
const kept = new Object();
let items = [];
items = [1];
const last = items.indexOf(1) !== -1;
</script>
<style>p { color: red }</style>
"""
HTML = """\
<p onclick="new Object()">&lt;</p><script>f(new Object())</script>
<script type="text/x-template"><p>{{ new Object() }}</p></script>
<script>f("{% url %}")</script>
"""
CELLS = [
    ["import os\n", "import sys\n", "\n", "!ls {os.sep}"],
    ["%%bash\n", "echo x == None"],
    ["def missing(value):\n", "    return value == None\n", "\n", "\n", "missing(1) == None"],
]


def notebook(cells: list[list[str]]) -> str:
    about = {
        "cell_type": "code",
        "execution_count": 3,
        "metadata": {},
        "outputs": [{"text": ["x == None\n"]}],
    }
    content = {"cells": [{**about, "source": cell} for cell in cells], "metadata": {}}
    return json.dumps({**content, "nbformat": 4, "nbformat_minor": 4}, indent=1, ensure_ascii=False) + "\n"


def applied(loop: Loop, files: dict[str, str]) -> dict[str, set[str]]:
    """Return the contents that the applied changes give to each file."""
    loop.repository.commit(files)
    for suggestion in loop.improve():
        loop.approve(suggestion)
    contents: dict[str, set[str]] = {}
    for result in loop.apply():
        assert result.commit, result
        for path, before in files.items():
            after = git.run(
                loop.repository.path / ".git", "cat-file", "blob", f"{result.branch}:{path}"
            ).decode()
            if after != before:
                contents.setdefault(path, set()).add(after)
    return contents


def withheld(loop: Loop) -> set[tuple[str, int, str]]:
    with loop.engine.connect() as connection:
        rows = connection.execute(text("SELECT path, line, reason FROM withheld_locations"))
        return {(row.path, row.line, row.reason) for row in rows}


def test_scripts_change_and_the_rest_of_the_file_keeps_every_byte(loop: Loop) -> None:
    files = {
        "a.vue": VUE,
        "b.svelte": "<script>\n  export let items = [];\n  const x = new Object()\n</script>\n{#if items < 1}<p>{x}</p>{/if}\n",
        "c.html": HTML.replace("{% url %}", "url").replace("\n", "\r\n"),
        "d.html": HTML,
        "e.html": "<script>\nvar items = ['a'];\nf(items.indexOf('a') !== -1);\n</script>\n",
    }
    after = applied(loop, files)
    assert after["a.vue"] == {VUE.replace("options = new Object()", "options = {}")}
    assert after["b.svelte"] == {files["b.svelte"].replace("new Object()", "{}")}
    assert after["c.html"] == {files["c.html"].replace("f(new Object())", "f({})")}
    assert "d.html" not in after
    assert withheld(loop) == {
        ("a.vue", 11, "`items` may be used outside of the code, too"),
        ("d.html", 1, "the script may be a template, in which marks such as {{ }} stand for other code"),
        ("e.html", 3, "`items` may be used outside of the code, too"),
    }


def test_cells_change_and_outputs_stay(loop: Loop) -> None:
    before = notebook(CELLS)
    after = applied(loop, {"a.ipynb": before, "ruff.toml": "line-length = 60\n"})
    expected = before.replace("value == None", "value is None").replace(
        "missing(1) == None", "missing(1) is None"
    )
    removed = before.replace('    "import sys\\n",\n', "")
    assert after["a.ipynb"] == {expected, removed}
    assert [reason for _, _, reason in withheld(loop)] == ["`os` may be used outside of the code, too"]
    with loop.engine.connect() as connection:
        query = text(
            "SELECT gate, verdict FROM gate_results WHERE gate IN ('format', 'types', 'project_linter')"
        )
        verdicts = set(connection.execute(query).all())
    assert verdicts == {("format", "passed"), ("types", "passed"), ("project_linter", "passed")}
