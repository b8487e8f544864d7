"""Preconditions of Python about modules: which function a name means, and what else a file does with a module."""

import builtins
import re
from collections.abc import Mapping, Sequence

from ast_grep_py import SgNode

from qflow_dagster.evolution.analysis.nodes import named_children, of_kinds
from qflow_dagster.evolution.matchers import Match
from qflow_dagster.generation.preconditions.file import File, Precondition
from qflow_dagster.generation.preconditions.python_syntax import bindings, is_chain, names_in, node_of


def qualified(file: File, node: SgNode) -> str | None:
    """Return what a name or chain of names means: a builtin, or a name of a module (`json.load`); None: not known."""
    if not is_chain(node):
        return None
    root, _, rest = node.text().partition(".")
    bound = bindings(file)
    if root not in bound:
        return node.text() if "*" not in bound and hasattr(builtins, root) else None
    paths = {imported_path(name) for name in bound[root]}
    path = paths.pop()
    return None if paths or path is None else f"{path}.{rest}".rstrip(".")


def imported_path(name: SgNode) -> str | None:
    """Return the module, or name of a module, that the binding of a name imports."""
    statement = next(
        (
            outer
            for outer in name.ancestors()
            if outer.kind() in ("import_statement", "import_from_statement")
        ),
        None,
    )
    if statement is None:
        return None
    module = statement.field("module_name")
    alias = next((outer for outer in name.ancestors() if outer.kind() == "aliased_import"), None)
    target = named_children(alias)[0].text() if alias is not None else name.text()
    if module is None:
        # `import a.b` binds a.
        return target if alias is not None else target.partition(".")[0]
    return None if module.text().startswith(".") else f"{module.text()}.{target}"


def attribute_not_probed(file: File, match: Match, argument: None) -> str | None:
    """Check that a file neither sets an attribute of a module, nor looks whether there is one."""
    text = file.text[match.start : match.end]
    if re.search(rf"\b{re.escape(text)}\s*=[^=]", file.text):
        return f"the file sets {text}"
    if re.search(rf"\b[gh](et|as)attr\(\s*{re.escape(text.rpartition('.')[0])}\s*,", file.text):
        return f"the file looks whether there is a {text}"
    for outer in file.node(match).ancestors():
        if outer.kind() == "function_definition":
            break
        if outer.kind() == "try_statement":
            return "a try statement looks whether there is one"
    return None


def calls(file: File, match: Match, expected: Mapping[str, Sequence[str]]) -> str | None:
    """Check what functions are: `expected` is {metavariable: [qualified names]}."""
    for variable, names in expected.items():
        if variable not in match.captures:
            continue
        node = file.innermost(match.captures[variable])
        meaning = qualified(file, node)
        if meaning is None:
            return f"what `{node.text()}` is, is not known"
        if meaning not in names:
            return f"`{node.text()}` is {meaning}"
    return None


def imported_as_itself(file: File, match: Match, modules: Sequence[str]) -> str | None:
    """Check that the names of these modules mean the modules, wherever the file uses them."""
    for module in modules:
        paths = {imported_path(name) for name in bindings(file).get(module, ())}
        if paths != {module}:
            return f"`{module}` is not known to be the module of that name"
    return None


def never_uses(file: File, match: Match, names: Sequence[str]) -> str | None:
    """Check that the file uses none of these names, attributes included."""
    used = sorted(set(names) & names_in(file.root))
    return f"the file uses `{used[0]}`" if used else None


def in_test_case(file: File, match: Match, argument: None) -> str | None:
    """Check that `self` is a TestCase of unittest, whose class defines no assertions of its own."""
    owner = next(
        (outer for outer in file.node(match).ancestors() if outer.kind() == "class_definition"), None
    )
    bases = owner.field("superclasses") if owner is not None else None
    if owner is None or bases is None:
        return "the class is not known to be a TestCase"
    if not any(base.text().split(".")[-1].endswith("TestCase") for base in named_children(bases)):
        return "the class is not known to be a TestCase"
    for function in of_kinds(file.root, ("function_definition",)):
        name = function.field("name")
        if name is not None and name.text() in names_in(file.node(match)) | {
            file.text[match.start : match.end]
        }:
            return f"the file defines its own {name.text()}"
    return None


def default_yaml_tags(file: File, match: Match, argument: None) -> str | None:
    """Check that yaml.load of PyYAML is called with a document alone, in a file that has no tags of its own."""
    call = node_of(file, match, "call")
    function = named_children(call)[0] if call is not None else None
    if call is None or function is None or qualified(file, function) != "yaml.load":
        return "this load is not known to be that of PyYAML"
    arguments = named_children(named_children(call)[-1])
    if len(arguments) != 1 or arguments[0].kind() in ("keyword_argument", "list_splat", "dictionary_splat"):
        return "the loader is chosen on purpose"
    own = {
        "add_constructor",
        "add_multi_constructor",
        "YAMLObject",
        "add_path_resolver",
        "add_implicit_resolver",
    }
    own |= {"dump", "dump_all"}
    used = sorted(own & names_in(file.root))
    return f"`{used[0]}` in this file: its documents may have tags of their own" if used else None


PRECONDITIONS = {
    "calls": Precondition("the functions that are called are those of these names", calls),
    "imported-as-itself": Precondition("the names mean the modules of that name", imported_as_itself),
    "attribute-not-probed": Precondition("the file does not test or set the attribute", attribute_not_probed),
    "never-uses": Precondition("the file uses none of these names", never_uses),
    "in-test-case": Precondition("self is a TestCase of unittest", in_test_case),
    "default-yaml-tags": Precondition("the document has only the tags of YAML itself", default_yaml_tags),
}
