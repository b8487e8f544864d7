"""Plugins of Ruby, which code loads by a symbol instead of their module: `plugin :sessions` of Roda, Sequel and others.

Belongs here: which name a plugin has, and the lines that load it. Does not belong here: what types take in by the name
of a module (`mixins`), answers (`use_answers`).
"""

import posixpath
import re

from qflow_dagster.knowledge import git_facts, lookups
from qflow_dagster.knowledge.evidence import QuestionContext
from qflow_dagster.knowledge.git_facts import Line

# The folders in which frameworks look for plugins, and what loads one: in the syntax of git grep.
_FOLDERS = frozenset(["plugin", "plugins", "extension", "extensions"])
_LOADS = r"(^|[^[:alnum:]_:])(load_)?(plugin|extension)s?[ (]+([^#]*, *)?[:\"']{0}([^[:alnum:]_]|$)"


def loading(context: QuestionContext, path: str, module: str = "") -> list[Line]:
    """Return the lines of code that load the plugin that a file defines, if it does: the given module, or any.

    The plugin has the name of its file, and its module that name in capitals.
    """
    name = posixpath.splitext(posixpath.basename(path))[0]
    if not path.endswith(".rb") or _FOLDERS.isdisjoint(path.split("/")[:-1]):
        return []
    defined = {
        lookups.short_name(symbol.name)
        for symbol in lookups.within(context.connection, context.snapshot, path, nested=True)
        if symbol.kind == "module"
    }
    if not any(_plain(each) == _plain(name) for each in ({module} & defined if module else defined)):
        return []
    rows = git_facts.lines_matching(
        context.objects(), context.snapshot.commit_oid, _LOADS.format(re.escape(name))
    )
    code = lookups.code_paths(context.connection, context.snapshot, [row.path for row in rows])
    own = [row for row in rows if row.path in code and row.path != path and not row.text.startswith("#")]
    return sorted(own, key=lambda row: (code[row.path], row.line))


def _plain(name: str) -> str:
    return name.replace("_", "").lower()
