"""Functions of Python that a compiler reads: numba, TorchScript, Triton, Taichi, Cython and others.

Such a compiler understands a part of the language, or gives it another meaning, so what its functions contain is left
as it is. It is told of them by a decorator, by a call that is given the function or its class, or by a comment or an
import for the whole file. Does not belong here: what else a decorator may do.
"""

import re
from collections import defaultdict
from functools import lru_cache

from ast_grep_py import SgNode

from qflow_dagster.evolution.analysis.nodes import named_children, of_kinds, span_of
from qflow_dagster.generation.preconditions.file import File

# Packages whose decorators compile, and members of larger ones that do; a name with `jit` as a word in it, of anyone.
_PACKAGES = (
    r"catalyst|cudaq|cupyx|cutlass|cython|dace|gt4py|guppylang|helion|hidet|lpython|micropython|myhdl|neuronxcc|numba\w*"
    r"|onnxscript|pyccel|pythran|quadrants|rp2|taichi|tilelang|transonic|triton|tvm|warp"
)
_COMPILING = re.compile(
    rf"(?:{_PACKAGES}|torch\.(?:jit|compile|_dynamo|export|fx)|tensorflow\.(?:function|autograph)|cupy\.fuse)(?:\.|$)"
    r"|(?:.*[._])?[a-z]?jit(?:class)?(?:[._].*|$)"
)
_MENTIONED = re.compile(rf"jit|\b(?:{_PACKAGES}|torch|tensorflow|cupy|distutils)\b")
# The compiler reads the whole file.
_WHOLE_FILE = re.compile(r"^(?:# *(?:cython|distutils) *:|# *(?:pythran|transonic) +\w)", re.MULTILINE)
_DEFINITIONS = ("function_definition", "class_definition")


def compiled(file: File, start: int, end: int) -> str | None:
    """Return why a span of a Python file is read by a compiler; None: it is not."""
    for (first, last), compiler in _spans(file):
        if first < max(end, start + 1) and start < last:
            return f"`{compiler}` compiles the code here, and may understand other code otherwise"
    return None


@lru_cache(maxsize=16)
def _spans(file: File) -> list[tuple[tuple[int, int], str]]:
    """Return the spans of a file that a compiler reads, each with what says so."""
    if not _MENTIONED.search(file.text):
        return []
    imported = _imported(file.root)
    whole = _WHOLE_FILE.search(file.text)
    if whole is not None or "cython" in imported.values():
        return [((0, len(file.text)), whole[0] if whole is not None else "cython")]
    compilers = _Compilers(imported)
    compilers.learn(file.root)
    given = _given(file.root, compilers)
    spans = []
    for definition in of_kinds(file.root, _DEFINITIONS):
        name, outer = definition.field("name"), definition.parent()
        decorated = outer if outer is not None and outer.kind() == "decorated_definition" else definition
        decorators = [child for child in named_children(decorated) if child.kind() == "decorator"]
        compiler = next(filter(None, map(compilers.in_node, decorators)), None)
        compiler = compiler or given.get(name.text() if name is not None else "") or given.get("*")
        if compiler:
            spans.append((span_of(decorated), compiler))
    return spans


class _Compilers:
    """What compiles, among the names of a file."""

    def __init__(self, imported: dict[str, str]) -> None:
        self._full = imported
        self._own: set[str] = set()

    def learn(self, root: SgNode) -> None:
        """Find the names that the file gives to compilers: fast = numba.njit(cache=True), or a function around it."""
        for assignment in of_kinds(root, ("assignment",)):
            left, right = assignment.field("left"), assignment.field("right")
            if left is not None and right is not None and left.kind() == "identifier":
                self._learn(left, right)
        for function in of_kinds(root, ("function_definition",)):
            name, parameters, body = (function.field(part) for part in ("name", "parameters", "body"))
            # Without a parameter there is no function for it to compile.
            if (
                name is not None
                and body is not None
                and parameters is not None
                and named_children(parameters)
            ):
                self._learn(name, body)

    def _learn(self, name: SgNode, value: SgNode) -> None:
        calls = of_kinds(value, ("call", "attribute"))
        if any(self.in_node(call.field("function") or call) for call in calls):
            self._own.add(name.text())

    def in_node(self, node: SgNode) -> str | None:
        """Return the first name in an expression that is of a compiler, as it is written."""
        for part in of_kinds(node, ("attribute", "identifier")):
            outer = part.parent()
            if outer is not None and outer.kind() == "attribute":
                continue
            text = "".join(part.text().split())
            root, dot, rest = text.partition(".")
            if root in self._own or _COMPILING.match(self._full.get(root, root) + dot + rest):
                return text
        return None


def _imported(root: SgNode) -> dict[str, str]:
    """Return what each imported name of a file stands for, in full."""
    full = {}
    for statement in of_kinds(root, ("import_statement", "import_from_statement")):
        module = statement.field("module_name")
        prefix = f"{module.text()}." if module is not None else ""
        for name in named_children(statement):
            if module is not None and span_of(name) == span_of(module):
                continue
            target, alias = name.field("name") or name, name.field("alias")
            if alias is not None:
                full[alias.text()] = prefix + target.text()
            elif prefix:
                full[target.text()] = prefix + target.text()
            else:
                full[target.text().partition(".")[0]] = target.text().partition(".")[0]
    return full


def _given(root: SgNode, compilers: _Compilers) -> dict[str, str]:
    """Return the names that calls of compilers are given, with the call; `*`: all functions of the file."""
    values: dict[str, list[SgNode]] = defaultdict(list)
    for assignment in of_kinds(root, ("assignment",)):
        left, right = assignment.field("left"), assignment.field("right")
        if left is not None and right is not None:
            values[left.text()].append(right)
    given: dict[str, str] = {}
    for call in of_kinds(root, ("call",)):
        function, arguments = call.field("function"), call.field("arguments")
        compiler = compilers.in_node(function) if function is not None else None
        if compiler is None or arguments is None:
            continue
        if compiler.endswith("jit_module"):
            given["*"] = compiler
        for name in _names(arguments, values):
            given.setdefault(name, compiler)
    return given


def _names(node: SgNode, values: dict[str, list[SgNode]]) -> set[str]:
    """Return the names in an expression, and those in what is assigned to them."""
    names = {part.text() for part in of_kinds(node, ("identifier",))}
    texts = names | {part.text() for part in of_kinds(node, ("attribute",))}
    return names | {
        part.text()
        for text in texts
        for value in values.get(text, ())
        for part in of_kinds(value, ("identifier",))
    }
