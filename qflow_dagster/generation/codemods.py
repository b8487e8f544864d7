"""Codemods: changes of Python that need the syntax tree, made with libcst.

Each is named after the rule whose finding it fixes, and changes every place in the file that
the rule finds. Does not belong here: fixes that are a template (part of the rule) or ruff's.
"""

from collections.abc import Callable, Sequence
from typing import ClassVar, cast

import libcst as cst
import libcst.matchers as m
from libcst.codemod import CodemodContext
from libcst.codemod.commands.convert_format_to_fstring import ConvertFormatStringCommand
from libcst.codemod.commands.remove_unused_imports import RemoveUnusedImportsCommand
from libcst.codemod.visitors import AddImportsVisitor, RemoveImportsVisitor
from libcst.helpers import get_full_name_for_node

Change = Callable[[cst.Module], cst.Module]
MUTABLE = m.List() | m.Dict() | m.Set() | m.Call(func=m.Name("list") | m.Name("dict") | m.Name("set"))


def rewrite(rule_id: str, text: str) -> str:
    """Return the text after the codemod of that rule; the same text if there is none, or nothing to change.

    Raises:
        libcst.ParserSyntaxError: the text is not Python.
    """
    change = CODEMODS.get(rule_id)
    return text if change is None else change(cst.parse_module(text)).code


class BareExcept(cst.CSTTransformer):
    """``except:`` becomes ``except Exception:``, except where it raises again."""

    def leave_ExceptHandler(  # noqa: N802
        self, original_node: cst.ExceptHandler, updated_node: cst.ExceptHandler
    ) -> cst.ExceptHandler:
        """Change the handler, unless it raises again: then it has to catch everything."""
        if original_node.type is not None or m.findall(original_node.body, m.Raise(exc=None)):
            return updated_node
        return updated_node.with_changes(
            type=cst.Name("Exception"), whitespace_after_except=cst.SimpleWhitespace(" ")
        )


class MutableDefault(cst.CSTTransformer):
    """``x=[]`` becomes ``x=None``, and the list is made at the start of the body."""

    def leave_FunctionDef(  # noqa: N802
        self, original_node: cst.FunctionDef, updated_node: cst.FunctionDef
    ) -> cst.FunctionDef:
        """Change the defaults, unless the body is on the line of its def or an annotation does not allow None."""
        if not isinstance(updated_node.body, cst.IndentedBlock):
            return updated_node
        initialisers: list[cst.BaseStatement] = []

        def without(parameters: Sequence[cst.Param]) -> list[cst.Param]:
            changed = []
            for parameter in parameters:
                default = parameter.default
                if default is None or parameter.annotation is not None or not m.matches(default, MUTABLE):
                    changed.append(parameter)
                    continue
                initialisers.append(_if_none(parameter.name.value, default))
                changed.append(parameter.with_changes(default=cst.Name("None")))
            return changed

        parameters = updated_node.params
        parameters = parameters.with_changes(
            posonly_params=without(parameters.posonly_params),
            params=without(parameters.params),
            kwonly_params=without(parameters.kwonly_params),
        )
        if not initialisers:
            return updated_node
        body = list(updated_node.body.body)
        after = 1 if body and m.matches(body[0], _DOCSTRING) else 0
        block = updated_node.body.with_changes(body=[*body[:after], *initialisers, *body[after:]])
        return updated_node.with_changes(params=parameters, body=block)


_DOCSTRING = m.SimpleStatementLine(body=[m.Expr(value=m.SimpleString() | m.ConcatenatedString())])


def _if_none(name: str, default: cst.BaseExpression) -> cst.BaseStatement:
    statement = cst.parse_statement(f"if {name} is None:\n    {name} = x\n")
    return cast(cst.BaseStatement, statement.deep_replace(_assigned(statement), default))


def _assigned(statement: cst.CSTNode) -> cst.CSTNode:
    [assign] = m.findall(statement, m.Assign())
    return cast(cst.Assign, assign).value


class NoneComparison(cst.CSTTransformer):
    """``x == None`` becomes ``x is None``."""

    def leave_Comparison(  # noqa: N802
        self, original_node: cst.Comparison, updated_node: cst.Comparison
    ) -> cst.Comparison:
        """Change each link of a chain."""
        targets = []
        for target in updated_node.comparisons:
            operator = target.operator
            if m.matches(target.comparator, m.Name("None")) and isinstance(operator, cst.Equal):
                target = target.with_changes(operator=cst.Is())
            elif m.matches(target.comparator, m.Name("None")) and isinstance(operator, cst.NotEqual):
                target = target.with_changes(operator=cst.IsNot())
            targets.append(target)
        return updated_node.with_changes(comparisons=targets)


class LazyLogging(cst.CSTTransformer):
    """``log.info(f"read {path}")`` becomes ``log.info("read %s", path)``."""

    CALL = m.Call(
        func=m.Attribute(
            value=m.Name("log")
            | m.Name("logger")
            | m.Name("logging")
            | m.Name("LOG")
            | m.Name("LOGGER")
            | m.Name("_log")
            | m.Name("_logger")
            | m.Attribute(attr=m.Name("log") | m.Name("logger")),
            attr=m.Name("debug") | m.Name("info") | m.Name("warning") | m.Name("error"),
        ),
        args=[m.Arg(value=m.FormattedString(), keyword=None)],
    )

    def leave_Call(self, original_node: cst.Call, updated_node: cst.Call) -> cst.Call:  # noqa: N802
        """Change a call with plain values only: a format specification has no equivalent there."""
        if not m.matches(updated_node, self.CALL):
            return updated_node
        text = cast(cst.FormattedString, updated_node.args[0].value)
        if text.start.lower() not in ('f"', "f'"):
            return updated_node
        format_, values = [], []
        for part in text.parts:
            if isinstance(part, cst.FormattedStringText):
                format_.append(part.value.replace("%", "%%").replace("{{", "{").replace("}}", "}"))
            elif isinstance(part, cst.FormattedStringExpression) and not (part.format_spec or part.equal):
                if part.conversion not in (None, "r", "s"):
                    return updated_node
                format_.append("%r" if part.conversion == "r" else "%s")
                values.append(cst.Arg(part.expression))
            else:
                return updated_node
        quote = text.end
        arguments = [cst.Arg(cst.SimpleString(f"{quote}{''.join(format_)}{quote}")), *values]
        return updated_node.with_changes(
            args=[argument.with_changes(comma=cst.MaybeSentinel.DEFAULT) for argument in arguments]
        )


class ReadWithin(cst.CSTTransformer):
    """``return open(p).read()`` and ``x = open(p).read()`` close their file with ``with``."""

    READ = m.Call(
        func=m.Attribute(value=m.Call(func=m.Name("open")), attr=m.Name("read") | m.Name("readlines"))
    )
    LINE = m.SimpleStatementLine(
        body=[m.Return(value=READ) | m.Assign(targets=[m.AssignTarget(target=m.Name())], value=READ)]
    )

    def leave_SimpleStatementLine(  # noqa: N802
        self, original_node: cst.SimpleStatementLine, updated_node: cst.SimpleStatementLine
    ) -> cst.BaseStatement:
        """Change complete statements only: elsewhere the order of evaluation would change."""
        if not m.matches(updated_node, self.LINE):
            return updated_node
        [call] = m.findall(updated_node, self.READ)
        opened = cst.ensure_type(cst.ensure_type(call, cst.Call).func, cst.Attribute).value
        inner = cast(cst.SimpleStatementLine, updated_node.deep_replace(opened, cst.Name("file")))
        item = cst.WithItem(item=cast(cst.BaseExpression, opened), asname=cst.AsName(cst.Name("file")))
        block = cst.IndentedBlock(body=[inner.with_changes(leading_lines=[])])
        return cst.With(items=[item], body=block, leading_lines=updated_node.leading_lines)


class AwareNow(m.MatcherDecoratableTransformer):
    """``datetime.utcnow()`` becomes ``datetime.now(timezone.utc)``."""

    def __init__(self) -> None:
        super().__init__()
        self.changed = False

    def leave_Call(self, original_node: cst.Call, updated_node: cst.Call) -> cst.Call:  # noqa: N802
        """Change calls of the class, imported by name or through its module."""
        if m.matches(updated_node, m.Call(func=m.Attribute(m.Name("datetime"), m.Name("utcnow")), args=[])):
            self.changed = True
            return cst.ensure_type(cst.parse_expression("datetime.now(timezone.utc)"), cst.Call)
        through = m.Attribute(m.Attribute(m.Name("datetime"), m.Name("datetime")), m.Name("utcnow"))
        if m.matches(updated_node, m.Call(func=through, args=[])):
            return cst.ensure_type(
                cst.parse_expression("datetime.datetime.now(datetime.timezone.utc)"), cst.Call
            )
        return updated_node


def _aware_now(module: cst.Module) -> cst.Module:
    transformer = AwareNow()
    module = module.visit(transformer)
    if not transformer.changed:
        return module
    context = CodemodContext()
    AddImportsVisitor.add_needed_import(context, "datetime", "timezone")
    return AddImportsVisitor(context).transform_module(module)


class PathQueries(cst.CSTTransformer):
    """``os.path.exists(p)`` becomes ``Path(p).exists()``, ``open(os.path.join(a, b))`` becomes ``open(Path(a, b))``.

    The result is the same for paths of type str; pathlib refuses paths of bytes.
    """

    NAMES: ClassVar = {"exists": "exists", "isfile": "is_file", "isdir": "is_dir"}

    def __init__(self) -> None:
        super().__init__()
        self.changed = False

    def leave_Call(self, original_node: cst.Call, updated_node: cst.Call) -> cst.Call:  # noqa: N802
        """Change the inner call first, so that a join inside a query becomes the parts of its Path."""
        name = get_full_name_for_node(original_node.func) or ""
        arguments = updated_node.args
        if name == "open" and arguments and m.matches(arguments[0].value, _JOIN):
            joined = cst.ensure_type(arguments[0].value, cst.Call).with_changes(func=cst.Name("Path"))
            updated_node = updated_node.with_changes(
                args=[arguments[0].with_changes(value=joined), *arguments[1:]]
            )
        elif (
            name.removeprefix("os.path.") in self.NAMES
            and name.startswith("os.path.")
            and len(arguments) == 1
        ):
            inner = arguments[0].value
            parts = cst.ensure_type(inner, cst.Call).args if m.matches(inner, _JOIN) else arguments
            path = cst.Call(cst.Name("Path"), [part.with_changes(keyword=None) for part in parts])
            method = self.NAMES[name.removeprefix("os.path.")]
            updated_node = cst.Call(cst.Attribute(path, cst.Name(method)))
        else:
            return updated_node
        self.changed = True
        return updated_node


_JOIN = m.Call(func=m.Attribute(m.Attribute(m.Name("os"), m.Name("path")), m.Name("join")))


def _path_queries(module: cst.Module) -> cst.Module:
    transformer = PathQueries()
    changed = module.visit(transformer)
    # A class named Path that the file defines or imports would be mistaken for pathlib's.
    if not transformer.changed or m.findall(module, _OTHER_PATH):
        return module
    context = CodemodContext()
    AddImportsVisitor.add_needed_import(context, "pathlib", "Path")
    RemoveImportsVisitor.remove_unused_import(context, "os")
    changed = AddImportsVisitor(context).transform_module(changed)
    return RemoveImportsVisitor(context).transform_module(changed)


_OTHER_PATH = (
    m.ClassDef(name=m.Name("Path"))
    | m.AssignTarget(target=m.Name("Path"))
    | m.ImportFrom(
        module=m.DoesNotMatch(m.Name("pathlib")),
        names=[m.ZeroOrMore(), m.ImportAlias(name=m.Name("Path")), m.ZeroOrMore()],
    )
)


class DocstringSkeleton(cst.CSTTransformer):
    """A public function without a docstring gets one made of its signature, to be filled in."""

    def visit_ClassDef(self, node: cst.ClassDef) -> bool:  # noqa: N802
        """Skip methods, which are another rule's."""
        return False

    def visit_FunctionDef(self, node: cst.FunctionDef) -> bool:  # noqa: N802
        """Skip functions inside functions."""
        return False

    def leave_FunctionDef(  # noqa: N802
        self, original_node: cst.FunctionDef, updated_node: cst.FunctionDef
    ) -> cst.FunctionDef:
        """Add the docstring, unless the function is private or on one line."""
        name, body = updated_node.name.value, updated_node.body
        if (
            name.startswith("_")
            or not isinstance(body, cst.IndentedBlock)
            or updated_node.get_docstring() is not None
        ):
            return updated_node
        lines = [name.replace("_", " ").strip().capitalize() + "."]
        all_ = updated_node.params
        parameters = [*all_.posonly_params, *all_.params, *all_.kwonly_params]
        if parameters:
            lines += ["", "    Args:"]
            lines += [f"        {p.name.value}: {_type(p.annotation)}" for p in parameters]
        if updated_node.returns is not None and not m.matches(
            updated_node.returns.annotation, m.Name("None")
        ):
            lines += ["", "    Returns:", f"        {_type(updated_node.returns)}"]
        text = "\n".join(lines) + ("\n    " if len(lines) > 1 else "")
        docstring = cst.SimpleStatementLine([cst.Expr(cst.SimpleString(f'"""{text}"""'))])
        return updated_node.with_changes(body=body.with_changes(body=[docstring, *body.body]))


def _type(annotation: cst.Annotation | None) -> str:
    if annotation is None:
        return "not said."
    return cst.Module([]).code_for_node(annotation.annotation).strip("\"'").replace('"', "'") + "."


def _f_strings(module: cst.Module) -> cst.Module:
    try:
        return ConvertFormatStringCommand(CodemodContext()).transform_module(module)
    except cst.CSTValidationError:
        # The command adds a prefix to strings that have one (u"..."), and libcst refuses that.
        return module


CODEMODS: dict[str, Change] = {
    "python/bare-except": lambda module: module.visit(BareExcept()),
    "python/mutable-default": lambda module: module.visit(MutableDefault()),
    "python/comparison-to-none": lambda module: module.visit(NoneComparison()),
    "python/logging-with-f-string": lambda module: module.visit(LazyLogging()),
    "python/open-without-with": lambda module: module.visit(ReadWithin()),
    "python/os-path": _path_queries,
    "python/undocumented-function": lambda module: module.visit(DocstringSkeleton()),
    "python/utcnow": _aware_now,
    "python/format-call": _f_strings,
    "python/unused-import": lambda module: RemoveUnusedImportsCommand(CodemodContext()).transform_module(
        module
    ),
}
