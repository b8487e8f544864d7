"""Codemods of Python that repair names: modules that are not imported, and names that Python 2 had."""

import re
import sys

from ast_grep_py import SgNode

from qflow_dagster.evolution.analysis.nodes import named_children, of_kinds, span_of
from qflow_dagster.evolution.matchers import Edit, Match
from qflow_dagster.generation.codemods.layout import alone_on_its_lines, newline
from qflow_dagster.generation.fixes import EditsOf
from qflow_dagster.generation.preconditions.file import File
from qflow_dagster.generation.preconditions.python_syntax import in_try, node_of

# Modules of the standard library that are used by attribute, and names that show which module is meant.
_MODULES = {
    "base64": "b64encode b64decode urlsafe_b64encode urlsafe_b64decode",
    "collections": "Counter OrderedDict defaultdict deque namedtuple",
    "copy": "copy deepcopy",
    "datetime": "date datetime time timedelta timezone",
    "functools": "cached_property lru_cache partial reduce wraps",
    "hashlib": "md5 new sha1 sha256 sha512",
    "inspect": "getmembers getsource isclass isfunction signature",
    "io": "BytesIO StringIO TextIOWrapper open",
    "itertools": "chain count cycle groupby islice product repeat",
    "json": "JSONDecodeError dump dumps load loads",
    "logging": "DEBUG ERROR INFO WARNING debug error exception getLogger info warning",
    "math": "ceil exp floor inf isnan log log10 log2 nan pi pow sqrt",
    "os": "chdir environ getcwd getenv getpid kill listdir makedirs mkdir path remove rename sep unlink walk",
    "random": "choice choices randint random randrange sample shuffle uniform",
    "re": "IGNORECASE MULTILINE compile escape findall finditer match search split sub",
    "shutil": "copy copy2 copyfile copytree move rmtree which",
    "signal": "SIGINT SIGKILL SIGTERM signal",
    "socket": "AF_INET SOCK_STREAM error gaierror gethostbyname gethostname socket timeout",
    "string": "ascii_letters ascii_lowercase digits punctuation",
    "subprocess": "CalledProcessError PIPE Popen call check_call check_output run",
    "sys": "argv exc_info executable exit maxsize modules path platform stderr stdin stdout version_info",
    "tempfile": "NamedTemporaryFile TemporaryDirectory mkdtemp mkstemp",
    "threading": "Event Lock RLock Thread Timer current_thread",
    "time": "localtime monotonic perf_counter sleep strftime time",
    "traceback": "format_exc format_exception print_exc print_stack",
    "uuid": "UUID uuid1 uuid4",
    "warnings": "catch_warnings filterwarnings simplefilter warn",
}
_RENAMED = {"raw_input": "input", "unichr": "chr", "unicode": "str", "xrange": "range"}
# A file that imports one of these runs on Python 2 alone.
_GONE = re.compile(
    r"^[ \t]*(?:import|from)[ \t]++(?:ConfigParser|Queue|StringIO|cPickle|commands|httplib|urllib2|urlparse)\b",
    re.M,
)


def defined(file: File, match: Match) -> list[Edit] | str | None:
    """Import the module of the standard library that is meant, or write the name that Python 3 has."""
    node = node_of(file, match, "identifier")
    if node is None:
        return "the name was not understood"
    if in_try(node):
        return "an except clause may be there for the missing name"
    if "*" in {child.text() for child in of_kinds(file.root, ("wildcard_import",))}:
        return "an import of * may bind it"
    name, parent = node.text(), node.parent()
    if name in _RENAMED:
        if _GONE.search(file.text):
            return "the file is for Python 2 alone"
        if parent is None or parent.kind() not in (
            "call",
            "keyword_argument",
            "argument_list",
            "for_statement",
        ):
            return f"`{name}` may be looked for on purpose"
        return [Edit(*span_of(node), _RENAMED[name])]
    attribute = parent.field("attribute") if parent is not None and parent.kind() == "attribute" else None
    if name not in _MODULES or attribute is None or attribute.text() not in _MODULES[name].split():
        return "what the name was meant to be is not known"
    return _import(file, name)


def _import(file: File, module: str) -> list[Edit] | str | None:
    """Return the edit that imports a module beside the imports at the head of the file, in their order."""
    head: list[SgNode] = []
    for statement in named_children(file.root):
        if statement.kind() == "import_statement" and alone_on_its_lines(file, statement):
            head.append(statement)
        elif head:
            break
    if not head:
        return "the file has no imports beside which it could be imported"
    own = [name for name in map(_single, head) if name is not None and _is_standard(name)]
    if not own:
        return "the file imports no module of the standard library beside which it could be imported"
    end = newline(file)
    for statement in head:
        name = _single(statement)
        if name is not None and name.lower() > module and _is_standard(name):
            at = span_of(statement)[0]
            return [Edit(at, at, f"import {module}{end}")]
    last = next(statement for statement in reversed(head) if _single(statement) == own[-1])
    at = span_of(last)[1]
    return [Edit(at, at, f"{end}import {module}")]


def _single(statement: SgNode) -> str | None:
    names = named_children(statement)
    return names[0].text() if len(names) == 1 and names[0].kind() == "dotted_name" else None


def _is_standard(name: str) -> bool:
    return name.partition(".")[0] in sys.stdlib_module_names


CODEMODS: dict[str, EditsOf] = {"python/undefined-name": defined}
