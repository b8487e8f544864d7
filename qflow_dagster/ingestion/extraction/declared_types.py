"""The types that a file declares for names, read from its text, which takes a fraction of the time of the tree.

Belongs here: annotations, declarations of fields and variables, and the first value of a variable. Does not belong
here: the meaning of a type (``call_targets`` of ``knowledge``).
"""

import re
from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from qflow_dagster.ingestion.extraction.names import go_receiver
from qflow_dagster.ingestion.extraction.receivers import EXPRESSION, LETTERS, MAX_RECEIVER
from qflow_dagster.ingestion.extraction.structure import FUNCTIONS, Definition, innermost

# The type of a string, a list or another literal.
LITERAL = b"literal"
# Before the type that a smart pointer points to.
POINTER = b"*"


class _Declaration(NamedTuple):
    """A way to declare a type; `called`: the type is that of a called value.

    Every pattern begins with a character that is rare in code, and reads on from there. The name is in the group
    `name`, or stands before the match.
    """

    pattern: "re.Pattern[bytes]"
    called: bool = False
    # What may be between the name and the match.
    between: bytes = b" \t?!"
    # The value points to one of the type, and is an object itself.
    pointer: bool = False


# `: Type`, also `: &mut Type`; `Optional[Type]` is of that type.
_COLON = _Declaration(
    re.compile(
        rb":(?<!::)\s*+(?:[&*'\"?]|(?:mut|dyn)\b\s*+|Optional\[)*+"
        rb"(?P<type>(?:\w++(?:\.|::))*+(?:[A-Z]\w*+|str|int|float|bool|bytes|dict|list|set|tuple|string|number))(?![\w(])"
    )
)
# `= Type(...)`, `= new Type`, `:= &Type{`; `= function(...)` has the type that the function returns.
_VALUE = (
    rb"\s*+(?:(?:await|new|try[!?]?)\b\s*+|&)*+"
    rb"(?:(?P<type>(?:[\w$]++(?:\.|::|->|\\))*+[A-Za-z_]\w*+)(?=\s*+[({])|[\[\"'`{])"
)
_ASSIGNED = _Declaration(re.compile(rb"=(?<![=!<>+*/-]=)" + _VALUE), called=True, between=b" \t:")
# Without spaces it is an argument.
_SPACED = _Declaration(re.compile(rb"=(?<=\s=)(?=\s)" + _VALUE), called=True)
_WITH = _Declaration(
    re.compile(rb"\bwith\s++(?P<type>(?:\w++\.)*+\w++)\([^()\n]*+\)\s++as\s++(?P<name>\w++)"), called=True
)
# `Type name`, followed by what ends a declaration.
_TYPE_FIRST = _Declaration(
    re.compile(
        rb"(?P<type>[A-Z](?<!\w[A-Z])\w*+)(?:<[^<>;(){}]*+>)?+[\s?*&\[\]]++(?P<name>\$?[A-Za-z_]\w*+)"
        rb"(?=\s*+(?:[=;,){]|:(?!:)))"
    )
)
# `Type name(arguments)`, of C++.
_CONSTRUCTED = _Declaration(
    re.compile(rb"(?P<type>[A-Z](?<!\w[A-Z])\w*+)(?:<[^<>;(){}]*+>)?+\s++(?P<name>[a-z_]\w*+)(?=[({])")
)
# `unique_ptr<Type> name` and `= make_unique<Type>(...)`: what follows an arrow is called on the type.
_SMART_POINTER = _Declaration(
    re.compile(
        rb"ptr<\s*+(?:const\s++)?+(?P<type>(?:\w++::)*+\w++)(?:<[^<>;(){}]*+>)?+>[\s&*]*+"
        rb"(?P<name>[A-Za-z_]\w*+)(?=\s*+[=;,)({:])"
    ),
    pointer=True,
)
_MADE = _Declaration(
    re.compile(
        rb"=\s*+(?:\w++::)*+[Mm]ake_?(?:[Uu]nique|[Ss]hared)\w*+<\s*+(?:const\s++)?+(?P<type>(?:\w++::)*+\w++)"
    ),
    pointer=True,
)
_GO = _Declaration(re.compile(rb"(?P<type>[A-Z](?<!\w[A-Z])\w*+)(?=[\s,){=`]|$)"))
_GO_POINTER = _Declaration(re.compile(rb"\*\s*+(?P<type>\w++)(?=[\s,){=`]|$)"))
_RUBY = _Declaration(
    re.compile(rb"=(?<![=!<>]=)\s*+(?P<type>(?:\w++::)*+[A-Z]\w*+)\.new\b"), called=True, between=b" \t|"
)
_DECLARATIONS = {
    "python": (_COLON, _SPACED, _WITH),
    **dict.fromkeys(
        ("javascript", "typescript", "tsx", "kotlin", "swift", "scala", "rust"), (_COLON, _ASSIGNED)
    ),
    **dict.fromkeys(("java", "csharp", "php"), (_TYPE_FIRST, _ASSIGNED)),
    "cpp": (_TYPE_FIRST, _ASSIGNED, _CONSTRUCTED, _SMART_POINTER, _MADE),
    "go": (_GO, _GO_POINTER, _ASSIGNED),
    "ruby": (_RUBY,),
}
LOOK_BACK = 80
LOOK_AHEAD = 500
_BRACKETS = re.compile(rb"[()\[\]{}]")
_OWN = re.compile(rb"^(?:(?:self|this|\$this)\.|@{1,2})")
_SCOPES = re.compile(rb"::|->|\\")
_CONSTRUCTORS = frozenset({"__init__", "constructor", "__construct"})


class DeclaredTypes:
    """The types that a file declares for the names of some variables, parameters and fields.

    A declaration holds in the definition around it; one of a field of the object itself (`self.x`), in its class.
    """

    def __init__(self, grammar: str, source: bytes, definitions: Sequence[Definition]) -> None:
        self._grammar, self._source, self._definitions = grammar, source, definitions
        self._types: dict[tuple[int, bytes], list[tuple[int, bytes]]] = defaultdict(list)
        wanted = {
            name
            for definition in definitions
            for written, _ in definition.calls
            for name in (written, _declared(written), written.partition(b".")[2])
            if name and name != EXPRESSION
        }
        declarations = _DECLARATIONS.get(grammar, ()) if wanted else ()
        if grammar == "go" and declarations:
            declarations += _of_package(definitions)
        starts = [definition.start for definition in definitions] if declarations else []
        for declaration in declarations:
            for match in declaration.pattern.finditer(source):
                start, name = _name(declaration, match, source)
                own = _OWN.match(name)
                if name in wanted or own:
                    written = match["type"] or LITERAL
                    called = b"()" if declaration.called and written != LITERAL else b""
                    if called and _continues(source, match.end()):
                        written = called = b""
                    index = innermost(definitions, starts, start)
                    index = self._holder(index) if own else index
                    plain = declaration.pointer * POINTER + _SCOPES.sub(b".", written)[:MAX_RECEIVER]
                    self._types[index, name].append((start, plain + called))

    def of(self, written: bytes, within: int, position: int) -> bytes:
        """Return the type declared for a receiver in the definition `within`, last before a position; b'' if none."""
        found = self._declared_for(written, within, position)
        if not found.startswith(POINTER):
            return found
        return found.removeprefix(POINTER) if self._source[:position].endswith(b"->") else LITERAL

    def _declared_for(self, written: bytes, within: int, position: int) -> bytes:
        name = self._field(written, within)
        if name:
            holder = self._holder(within)
            owner = (
                self._definitions[holder].name.partition("<")[0]
                or self._definitions[within].name.partition(".")[0]
            )
            places = [(holder, written), (holder, name)]
            # Parameters of the constructor; other parts of the type.
            places += [
                (index, name)
                for index, definition in enumerate(self._definitions)
                if (definition.parent == holder and definition.name in _CONSTRUCTORS)
                or (definition.kind == "struct" and definition.name.partition("<")[0] == owner)
            ]
            return next((found[-1][1] for place in places if (found := self._types.get(place))), b"")
        scope: int | None = within
        while scope is not None:
            found = self._types.get((scope, written), ())
            # What is around the function may follow it.
            inside = [plain for at, plain in found if at < position or scope != within]
            if inside:
                return inside[-1]
            scope = self._definitions[scope].parent
        # Fields of the class, of a member that is defined outside it.
        owner = self._definitions[within].name.rpartition("::")[0].rpartition("::")[2]
        for index, definition in enumerate(self._definitions if owner and self._grammar == "cpp" else ()):
            if definition.name == owner and (found := self._types.get((index, written))):
                return found[-1][1]
        return b""

    def _field(self, written: bytes, within: int) -> bytes:
        """Return the name of a field of the object itself; b'' for other receivers."""
        if _OWN.match(written):
            return _declared(written)
        method = self._definitions[within]
        if self._grammar == "go" and method.kind == "method" and method.node is not None:
            variable, _, name = written.partition(b".")
            return name if variable == go_receiver(method.node)[0] else b""
        return b""

    def _holder(self, index: int) -> int:
        scope: int | None = index
        while scope and self._definitions[scope].kind in FUNCTIONS:
            scope = self._definitions[scope].parent
        return scope or 0


def _of_package(definitions: Sequence[Definition]) -> tuple[_Declaration, ...]:
    """Return the declarations with a type of the file that other packages cannot use: `name type`."""
    names = {
        d.name for d in definitions if d.kind in ("struct", "interface", "type") and d.name[:1].islower()
    }
    if not names:
        return ()
    words = "|".join(sorted(map(re.escape, names))).encode()
    return (_Declaration(re.compile(rb"(?<=\s)(?P<type>" + words + rb")(?=[\s,){=]|$)")),)


def _declared(written: bytes) -> bytes:
    """Return the name in the declaration of a field of the object itself: `$name` for PHP's `$this.name`."""
    return _OWN.sub(lambda own: b"$" if own[0] == b"$this." else b"", written)


def _name(declaration: _Declaration, match: "re.Match[bytes]", source: bytes) -> tuple[int, bytes]:
    """Return where a declaration starts, and the name it declares; b'' if none stands before."""
    start = match.start()
    if "name" in declaration.pattern.groupindex:
        return start, match["name"]
    text = source[max(start - LOOK_BACK, 0) : start]
    if declaration in (_GO, _GO_POINTER):
        # `pkg.` and `*` may be between the name and the type.
        text = (text[:-1].rstrip(LETTERS) if text.endswith(b".") else text).removesuffix(b"*")
        if not text[-1:].isspace():
            return start, b""
    text = text.rstrip(declaration.between)
    rest = text.rstrip(LETTERS)
    name = text[len(rest) :]
    for own, length in ((b"self.", 5), (b"this.", 5), (b"$this->", 7)):
        if rest.endswith(own):
            return start, own.replace(b"->", b".")[:length] + name
    return start, b"" if rest.endswith((b".", b"->")) else name


def _continues(source: bytes, position: int) -> bool:
    """Return whether what is called at a position is called on, so that the value is of another type."""
    depth = 0
    end = min(position + LOOK_AHEAD, len(source))
    for match in _BRACKETS.finditer(source, position, end):
        depth += 1 if match[0] in b"([{" else -1
        if depth <= 0:
            return (
                source[match.end() : match.end() + 20].lstrip().startswith((b".", b"?.", b"->", b"::", b"["))
            )
    return True
