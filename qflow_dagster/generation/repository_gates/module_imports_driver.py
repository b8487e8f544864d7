"""The program that imports modules by themselves before and after a change, inside the sandbox.

It runs with whatever Python the repository has (3.8 or later), so it uses the standard library alone, and nothing of
this project. `driver.py JOB` reads {"paths", "files"} and prints its report as JSON after a mark: what is broken, or
how many modules can be imported. A module that is not loaded any more, where it was before, must have done nothing.
"""

import ast
import builtins
import json
import os
import signal
import sys
from pathlib import Path

MARK = "qflow-report:"
SECONDS = 20
# What may be called at the top of a module without being seen elsewhere.
_CALLS = {
    *(
        "TypeVar",
        "ParamSpec",
        "NewType",
        "namedtuple",
        "getLogger",
        "compile",
        "object",
        "frozenset",
        "set",
        "dict",
    ),
    *("tuple", "list", "field"),
}
_DECORATORS = {
    *("staticmethod", "classmethod", "property", "abstractmethod", "dataclass", "overload", "final", "wraps"),
    *("lru_cache", "cache", "cached_property", "contextmanager", "total_ordering", "unique", "setter"),
}


def main(arguments):
    """Import all modules before and after the change, and print what differs."""
    job = json.loads(Path(arguments[0]).read_text())
    before = [imported(path) for path in job["paths"]]
    for path, text in job["files"].items():
        Path(path).write_bytes(text.encode())
    after = [imported(path) for path in job["paths"]]
    sys.stdout.write(f"\n{MARK}{json.dumps(compared(job['paths'], before, after))}\n")


def compared(paths, before, after):
    """Return what is broken, or how many modules can be imported, and an error of those that cannot."""
    lost = set()
    for number, path in enumerate(paths):
        old, new = before[number], after[number]
        if isinstance(old, str):
            continue
        if isinstance(new, str):
            return {"broken": f"{path} cannot be imported by itself any more: {new}"}
        lost |= set(old) - set(new)
    for path in sorted(lost):
        reason = effect(Path(path).read_text()) or relied_on(path)
        if reason:
            return {"broken": f"{path} is not loaded any more with another module, and {reason}"}
    errors = [old for old in before if isinstance(old, str)]
    counts = [sum(isinstance(files, list) for files in loaded) for loaded in (before, after)]
    return {"before": counts[0], "after": counts[1], "error": errors[0] if errors else None}


def imported(path):
    """Return the files of the repository that importing one loads, in a process of its own; text: why it cannot be."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(SECONDS)
        out = os.fdopen(write, "w")
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.dup2(1, 2)
        try:
            folder, name = module_of(Path(path).resolve())
            sys.path[:0] = [folder, str(Path.cwd())]
            __import__(name)
            root = str(Path.cwd()) + os.sep
            files = [getattr(module, "__file__", None) or "" for module in list(sys.modules.values())]
            result = sorted(
                {file[len(root) :] for file in files if file.startswith(root) and file != __file__}
            )
        except BaseException as error:
            result = f"{type(error).__name__}: {error}"[:200]
        out.write(json.dumps(result))
        out.flush()
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        text = pipe.read()
    os.waitpid(child, 0)
    return json.loads(text) if text else "it did not end"


def module_of(path):
    """Return the folder that a module is imported from, and its name with that of its package."""
    folder, parts = path.parent, [path.stem] if path.stem != "__init__" else []
    while (folder / "__init__.py").exists():
        parts.insert(0, folder.name)
        folder = folder.parent
    return str(folder), ".".join(parts)


def effect(text):
    """Return what a module may do when it is imported, beside defining names; None: nothing."""
    tree = ast.parse(text)
    own = {node.name for node in tree.body if isinstance(node, ast.ClassDef)}
    origins = {}
    for node in tree.body:
        if isinstance(node, ast.ImportFrom):
            origins.update({a.asname or a.name: "." * node.level + (node.module or "") for a in node.names})
        elif isinstance(node, ast.Import):
            origins.update({a.asname or a.name.split(".")[0]: a.name for a in node.names})
    return next(
        (reason for node in tree.body for reason in [_of_statement(node, own, origins)] if reason), None
    )


def _of_statement(node, own, origins):
    at = f"its line {node.lineno} may do something"
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        module = node.names[0].name if isinstance(node, ast.Import) else node.module
        outside = (
            not getattr(node, "level", 0) and not _standard(module or "") and not _of_repository(module or "")
        )
        return f"its line {node.lineno} imports {module}" if outside else None
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
        arguments = node.args
        values = [*arguments.defaults, *(value for value in arguments.kw_defaults if value is not None)]
        return None if all(map(_pure, values)) and all(map(_plain, node.decorator_list)) else at
    if isinstance(node, ast.ClassDef):
        known = all(_known(base, own, origins) for base in node.bases) and not node.keywords
        inside = next((r for each in node.body for r in [_of_statement(each, own, origins)] if r), None)
        return inside if known and all(map(_plain, node.decorator_list)) else at
    if isinstance(node, (ast.Assign, ast.AnnAssign)):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        named = all(isinstance(name, ast.Name) for target in targets for name in _elements(target))
        return None if named and (node.value is None or _pure(node.value)) else at
    if isinstance(node, ast.If):
        for_types = isinstance(node.test, (ast.Name, ast.Attribute)) and ast.dump(node.test).count(
            "'TYPE_CHECKING'"
        )
        return None if for_types and not node.orelse else at
    return None if isinstance(node, ast.Pass) or (isinstance(node, ast.Expr) and _pure(node.value)) else at


def _elements(target):
    return target.elts if isinstance(target, (ast.Tuple, ast.List)) else [target]


def _pure(value):
    """Return whether evaluating an expression does nothing that is seen elsewhere."""
    for node in ast.walk(value):
        if isinstance(node, ast.Call) and _name(node.func) not in _CALLS:
            return False
        if isinstance(node, (ast.Await, ast.Yield, ast.YieldFrom, ast.NamedExpr)):
            return False
    return True


def _plain(decorator):
    return _name(decorator.func if isinstance(decorator, ast.Call) else decorator) in _DECORATORS


def _name(node):
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def _known(base, own, origins):
    """Return whether a base class is one of this module, of Python, or of its library: others may register classes."""
    value = base.value if isinstance(base, ast.Subscript) else base
    while isinstance(value, ast.Attribute):
        value = value.value
    name = getattr(value, "id", "")
    if name in origins:
        return _standard(origins[name])
    return name in own or hasattr(builtins, name)


def _standard(module):
    names = getattr(sys, "stdlib_module_names", ())
    return module.split(".")[0] in names if not module.startswith(".") else False


def _of_repository(module):
    top = module.split(".")[0]
    return any(
        (Path(root) / top).is_dir() or (Path(root) / (top + ".py")).is_file() for root in (".", "src", "lib")
    )


def relied_on(path):
    """Return which file reads a module as an attribute of its package, as if somebody else had loaded it; or None."""
    name = module_of(Path(path).resolve())[1]
    if "." not in name:
        return None
    for file in Path().rglob("*.py"):
        try:
            tree = ast.parse(file.read_text())
        except (OSError, SyntaxError, ValueError, RecursionError):
            continue
        nodes = list(ast.walk(tree))
        if any(alias.name == name for node in nodes if isinstance(node, ast.Import) for alias in node.names):
            continue
        for node in nodes:
            if isinstance(node, ast.Attribute) and _dotted(node) == name and str(file) != path:
                return f"{file} reads {name} in line {node.lineno}"
    return None


def _dotted(node):
    parts = []
    while isinstance(node, ast.Attribute):
        parts.insert(0, node.attr)
        node = node.value
    return ".".join([node.id, *parts]) if isinstance(node, ast.Name) else ""


if __name__ == "__main__":
    main(sys.argv[1:])
