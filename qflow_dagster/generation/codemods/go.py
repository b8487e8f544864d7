"""Codemods of Go."""

import re

from ast_grep_py import SgNode

from qflow_dagster.evolution.analysis.nodes import named_children, span_of
from qflow_dagster.evolution.matchers import Edit, Match
from qflow_dagster.generation.codemods.layout import indent_of, newline
from qflow_dagster.generation.fixes import EditsOf
from qflow_dagster.generation.preconditions.file import File

# A mark of fmt with one value; a literal per cent sign.
_MARK = re.compile(r"%[-+#0]*+\d*+(?:\.\d++)?[vTtbcdoOqxXUeEfFgGsp]")
# Files that are no plain content: the start is overwritten on purpose, or they have no end.
_SPECIAL = re.compile(
    r"(?i)/dev/|/proc/|/sys/|lock|pid|pipe|fifo|tty|socket|device|disk|block|patch|header|update|overwrite|index"
)
_READ_OR_MOVED = ("Seek", "Truncate", "WriteAt", "ReadAt", "Read", "Fd", "Stat", "SyscallConn")


def bool_alone(file: File, match: Match) -> list[Edit] | str | None:
    """Write ``ok`` for ``ok == true``, and ``!ok`` for ``ok == false``, with one ``!`` at most."""
    comparison, operand = file.innermost((match.start, match.end)), file.captured(match, "A") or ""
    node = file.innermost(match.captures["A"])
    operator = comparison.field("operator")
    if operator is None:
        return "the comparison was not understood"
    sides = [comparison.field("left"), comparison.field("right")]
    negations = (operator.text() == "!=") + any(side is not None and side.kind() == "false" for side in sides)
    if node.kind() == "binary_expression":
        # It binds as closely as the comparison that it replaces, but less closely than a negation.
        return [Edit(match.start, match.end, f"!({operand})" if negations % 2 else operand)]
    bare = operand.lstrip("!")
    negations += len(operand) - len(bare)
    return [Edit(match.start, match.end, "!" * (negations % 2) + bare)]


def formatting(file: File, match: Match) -> list[Edit] | str | None:
    r"""Write ``fmt.Printf("no %s\n", name)`` for ``fmt.Println("no %s", name)``, and the like of other functions."""
    call = file.innermost((match.start, match.end))
    callee, arguments = call.field("function"), call.field("arguments")
    values = named_children(arguments) if arguments is not None else []
    field = callee.field("field") if callee is not None else None
    if field is None or len(values) < 2 or any(value.text().endswith("...") for value in values):
        return "the call was not understood"
    message, marks = values[0].text(), _MARK.findall(values[0].text().replace("%%", ""))
    if len(marks) != len(values) - 1 or message.replace("%%", "").count("%") != len(marks):
        return "the message does not have a mark for each value"
    line = file.captured(match, "P") == "fmt" and field.text() == "Println"
    name = field.text().removesuffix("ln") + "f"
    at = span_of(values[0])[1] - 1
    return [Edit(*span_of(field), name), *([Edit(at, at, "\\n")] if line else [])]


def returned(file: File, match: Match) -> list[Edit] | str | None:
    """Write ``return`` behind an answer with an error, after which the handler would go on."""
    call = file.innermost((match.start, match.end))
    statement: SgNode = call
    while statement.kind() != "expression_statement":
        statement = statement.parent() or statement
        if statement.kind() == "block":
            return "it is not a statement"
    end = span_of(statement)[1]
    arguments = call.field("arguments")
    writer = named_children(arguments)[0].text() if arguments is not None else ""
    branch = next((outer for outer in statement.ancestors() if outer.kind() == "if_statement"), statement)
    condition, later = branch.field("condition"), [after for after in branch.next_all() if after.is_named()]
    error = condition.text().partition(" ")[0] if condition is not None else ""
    answers = False
    for after in later:
        answers |= _names(after, writer)
        line = file.source.line_of(span_of(after)[0])
        if _names(after, error):
            return f"line {line} looks at {error}"
        if after.kind() not in _PASSED and not _names(after, writer) and not after.text().startswith(_LOGS):
            return f"line {line} would not happen"
    if not answers:
        return f"nothing is written to {writer} afterwards"
    return [Edit(end, end, f"{newline(file)}{indent_of(file, statement)}return")]


def _names(node: SgNode, name: str) -> bool:
    return any(part.text() == name for part in node.find_all(kind="identifier"))


def truncated(file: File, match: Match) -> list[Edit] | str | None:
    """Write ``os.O_WRONLY|os.O_CREATE|os.O_TRUNC`` for ``os.O_WRONLY|os.O_CREATE``."""
    name, flags = file.captured(match, "F") or "", match.captures["FLAGS"]
    if file.path.endswith("_test.go"):
        return "a test writes into a folder of its own"
    if _SPECIAL.search(file.captured(match, "PATH") or "") or _SPECIAL.search(name):
        return "the file may not be one whose whole content is written"
    node = file.innermost((match.start, match.end))
    function = next((outer for outer in node.ancestors() if outer.kind() in _FUNCTIONS), None)
    if function is None:
        return "it is not in a function"
    if _SPECIAL.search((function.field("name") or node).text()):
        return "the file may not be one whose whole content is written"
    writes = False
    for use in function.find_all(kind="identifier", regex=f"^{re.escape(name)}$"):
        parent = use.parent()
        if span_of(use)[0] < match.end or parent is None:
            continue
        if parent.kind() == "selector_expression":
            field = parent.field("field")
            if field is not None and field.text() in _READ_OR_MOVED:
                return f"line {file.source.line_of(span_of(use)[0])} uses {parent.text()}"
            writes |= field is not None and field.text().startswith("Write")
        elif parent.kind() == "argument_list":
            called = (parent.parent() or parent).text()
            if not called.startswith(_WRITERS):
                return f"line {file.source.line_of(span_of(use)[0])} hands {name} on"
            writes = True
        else:
            return f"line {file.source.line_of(span_of(use)[0])} hands {name} on"
    return (
        [Edit(flags[1], flags[1], "|os.O_TRUNC")] if writes else "nothing is written to it in this function"
    )


def after_check(file: File, match: Match) -> list[Edit] | str | None:
    """Write ``defer response.Body.Close()`` behind the check of the error."""
    deferred = file.innermost((match.start, match.end))
    check = deferred.next()
    while check is not None and not check.is_named():
        check = check.next()
    if check is None or check.kind() != "if_statement" or check.field("alternative") is not None:
        return "the statement behind it is not the check of the error"
    body = check.field("consequence")
    inner = named_children(body) if body is not None else []
    if inner and inner[-1].kind() == "statement_list":
        inner = named_children(inner[-1])
    last = inner[-1] if inner else None
    if last is None or not (last.kind() == "return_statement" or last.text().startswith(_ENDING)):
        return "the function goes on after an error"
    start, (_, end) = file.source.starts[file.source.line_of(match.start) - 1], span_of(check)
    return [
        Edit(start, file.source.starts[file.source.line_of(match.start)], ""),
        Edit(end, end, f"{newline(file)}{indent_of(file, check)}{deferred.text()}"),
    ]


def iteration_error(file: File, match: Match) -> list[Edit] | str | None:
    """Write ``return lines, scanner.Err()`` for ``return lines, nil``."""
    name = file.captured(match, "S") or ""
    statement = file.innermost((match.start, match.end))
    function = next((outer for outer in statement.ancestors() if outer.kind() in _FUNCTIONS), None)
    result = function.field("result") if function is not None else None
    if function is None or result is None or not re.search(r"\berror\)?$", result.text()):
        return "the function returns no error"
    if any(node.text() == f"{name}.Err" for node in function.find_all(kind="selector_expression")):
        return f"the function looks at {name}.Err"
    if any(
        _keeps(use, match.start) for use in function.find_all(kind="identifier", regex=f"^{re.escape(name)}$")
    ):
        return f"{name} is handed on, or of something that another goroutine may close"
    values = named_children(statement)
    listed = named_children(values[0]) if values and values[0].kind() == "expression_list" else values
    if not listed or listed[-1].kind() != "nil":
        return "the function does not return nil here"
    loops = [loop for loop in function.find_all(kind="for_statement") if span_of(loop)[1] < match.start]
    if any(
        loops and span_of(loops[-1])[1] < span_of(c)[0] < match.start
        for c in function.find_all(kind="comment")
    ):
        return "a comment says what the end of the iteration means"
    for other in function.find_all(kind="return_statement", regex=r"\bnil$"):
        if loops and span_of(loops[-1])[1] < span_of(other)[0] < match.start:
            return "the function returns nil at other places, too"
    return [Edit(*span_of(listed[-1]), f"{name}.Err()")]


def _keeps(use: SgNode, before: int) -> bool:
    """Return whether an iteration before a position is handed on, or what it reads may be closed elsewhere."""
    statement = use.parent()
    if span_of(use)[0] >= before or statement is None or statement.kind() == "selector_expression":
        return False
    declared = statement.parent()
    if declared is None or declared.kind() != "short_var_declaration":
        return True
    _, _, read = (declared.field("right") or use).text().partition("NewScanner(")
    return bool(_CLOSED_ELSEWHERE.search(read))


def narrower(file: File, match: Match) -> list[Edit] | str | None:
    """Write ``strconv.ParseInt(text, 10, 32)`` for ``64`` where only ``int32`` of the number is used."""
    name, bits = file.captured(match, "X") or "", match.captures["BITS"]
    unsigned = (file.captured(match, "F") or "") == "ParseUint"
    function = next((o for o in file.node(match).ancestors() if o.kind() in _FUNCTIONS), None)
    if file.captured(match, "BASE") != "10":
        return "a number that is not decimal may be bits, with the sign among them"
    error = re.escape(file.captured(match, "E") or "")
    if function is None or not re.search(rf"\b{error}\s*[!=]=\s*nil\b", function.text()):
        return "the error of the number is not looked at"
    widths = set()
    for use in function.find_all(kind="identifier", regex=f"^{re.escape(name)}$"):
        if span_of(use)[0] < match.end:
            continue
        arguments = use.parent()
        call = arguments.parent() if arguments is not None and arguments.kind() == "argument_list" else None
        converted = re.fullmatch(r"(u?)int(8|16|32)\(\w+\)", call.text()) if call is not None else None
        if converted is None or bool(converted[1]) != unsigned:
            return f"line {file.source.line_of(span_of(use)[0])} uses {name} as it is"
        widths.add(converted[2])
    return [Edit(*bits, widths.pop())] if len(widths) == 1 else "the number is converted to several types"


_FUNCTIONS = ("function_declaration", "method_declaration", "func_literal")
_WRITERS = (
    "fmt.Fprint",
    "io.Copy(",
    "io.WriteString(",
    "json.NewEncoder(",
    "yaml.NewEncoder(",
    "toml.NewEncoder(",
)
_WRITERS += ("bufio.NewWriter(", "csv.NewWriter(", "xml.NewEncoder(", "gob.NewEncoder(")
# Statements whose effect stays within the handler.
_PASSED = (
    "short_var_declaration",
    "var_declaration",
    "if_statement",
    "for_statement",
    "return_statement",
    "comment",
)
_LOGS = ("log.", "fmt.Print", "logger.", "slog.")
# Reading a terminal or a connection ends with an error where it is closed on purpose.
_CLOSED_ELSEWHERE = re.compile(r"(?i)conn|sock|pty|tty|pipe|stream|stdout|stderr")
_ENDING = ("panic(", "log.Fatal", "os.Exit(", "t.Fatal", "b.Fatal")

CODEMODS: dict[str, EditsOf] = {
    "go/bool-comparison": bool_alone,
    "go/deferred-before-check": after_check,
    "go/http-error-without-return": returned,
    "go/iteration-error-ignored": iteration_error,
    "go/number-parsed-too-wide": narrower,
    "go/open-without-truncate": truncated,
    "go/print-with-marks": formatting,
}
