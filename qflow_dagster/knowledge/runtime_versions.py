"""Which versions of languages, runtimes and build tools a repository needs, as its manifests and build files say.

Belongs here: the formats in which they say it, and the names of what has such versions. Does not belong here: packages
(`manifests`), answers (`configuration_answers`), the wordings of questions (`question_patterns`).
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

# What has versions, and its names in questions, in lower case.
_RUNTIMES = {
    "Node.js": ("node", "nodejs", "node.js"),
    "Python": ("python", "cpython", "python3"),
    "PHP": ("php",),
    "Ruby": ("ruby",),
    "Rust": ("rust", "rustc", "msrv"),
    "Go": ("go", "golang"),
    "Java": ("java", "jdk", "jre", "jvm"),
    "Kotlin": ("kotlin",),
    "Scala": ("scala",),
    "Elixir": ("elixir",),
    "Swift": ("swift",),
    ".NET": (".net", "dotnet"),
    "C#": ("c#", "csharp"),
    "C++": ("c++", "cpp", "cxx"),
    "C": ("c",),
    "CMake": ("cmake",),
    "Meson": ("meson",),
    "npm": ("npm",),
    "Android": ("android",),
}
_BY_NAME = {name: runtime for runtime, names in _RUNTIMES.items() for name in names}
# "go" and "c" are words, too: they are names in capitals, or before "version".
_WORDS = {
    "go": r"(?-i:Go)|go(?=[ -](?:versions?|release|toolchain|directive)\b)",
    "c": r"(?-i:C)(?= (?:standard|version)\b)",
}
NAMES = rf"(?<![\w.])(?:{'|'.join(_WORDS.get(name) or re.escape(name) for name in _BY_NAME)})(?![\w#+]|\.\w)"
_GRADLE = r"(?:^|/)build\.gradle(?:\.kts)?$"
_DOTNET = r"\.(?:cs|fs|vb)proj$|(?:^|/)Directory\.Build\.(?:props|targets)$"
_CMAKE = r"(?:^|/)CMakeLists\.txt$"
_FLAGS = r"(?:^|/)(?:CMakeLists\.txt|Makefile(?:\.am)?|configure\.ac|meson\.build)$"
_PLAIN = r"\A\s*(?P<version>[\w./*-]+)\s*\Z"
# The files, what they need a version of, what precedes it, and how it is said in the answer if not alone.
_FORMATS = tuple(
    (re.compile(files), runtime, re.compile(pattern, re.MULTILINE), said)
    for files, runtime, pattern, said in (
        (
            r"(?:^|/)package\.json$",
            "Node.js",
            r"\"engines\"\s*:\s*\{[^{}]*?\"node\"\s*:\s*\"(?P<version>[^\"]+)",
            "",
        ),
        (
            r"(?:^|/)package\.json$",
            "npm",
            r"\"engines\"\s*:\s*\{[^{}]*?\"npm\"\s*:\s*\"(?P<version>[^\"]+)",
            "",
        ),
        (r"(?:^|/)\.(?:nvmrc|node-version)$", "Node.js", _PLAIN, "for development"),
        (r"(?:^|/)pyproject\.toml$", "Python", r"^requires-python\s*=\s*[\"'](?P<version>[^\"']+)", ""),
        (
            r"(?:^|/)pyproject\.toml$",
            "Python",
            r"^python\s*=\s*(?:\{\s*version\s*=\s*)?[\"'](?P<version>[^\"']+)",
            "",
        ),
        (
            r"(?:^|/)setup\.(?:cfg|py)$",
            "Python",
            r"^[ \t]*python_requires\s*=\s*[\"']?(?P<version>[^\"'\n#]+)",
            "",
        ),
        (r"(?:^|/)\.python-version$", "Python", _PLAIN, "for development"),
        (
            r"(?:^|/)composer\.json$",
            "PHP",
            r"\"require\"\s*:\s*\{[^{}]*?\"php(?:-64bit)?\"\s*:\s*\"(?P<version>[^\"]+)",
            "",
        ),
        (
            r"\.gemspec$",
            "Ruby",
            r"^[^#\n]*\brequired_ruby_version\s*=?[\s(\[]*(?:Gem::Requirement\.new\(?\s*)?(?P<version>[^\n#]+)",
            "",
        ),
        (r"(?:^|/)Gemfile$", "Ruby", r"^[ \t]*ruby[\s(]+[\"'](?P<version>[^\"']+)", ""),
        (r"(?:^|/)\.ruby-version$", "Ruby", _PLAIN, "for development"),
        (r"(?:^|/)Cargo\.toml$", "Rust", r"^rust-version\s*=\s*[\"'](?P<version>[^\"']+)", ""),
        (r"(?:^|/)Cargo\.toml$", "Rust", r"^edition\s*=\s*[\"'](?P<version>[^\"']+)", "edition"),
        (
            r"(?:^|/)rust-toolchain(?:\.toml)?$",
            "Rust",
            r"^channel\s*=\s*[\"'](?P<version>[^\"']+)",
            "toolchain",
        ),
        (r"(?:^|/)go\.(?:mod|work)$", "Go", r"^go\s+(?P<version>\d\S*)", ""),
        (r"(?:^|/)go\.(?:mod|work)$", "Go", r"^toolchain\s+(?P<version>\S+)", "toolchain"),
        (
            r"(?:^|/)pom\.xml$",
            "Java",
            r"<(?P<said>maven\.compiler\.(?:source|target|release)|(?:java|jdk)\.version|source|target|release)>\s*"
            r"(?P<version>[\d.]+)\s*</",
            "",
        ),
        (
            _GRADLE,
            "Java",
            r"^[^/\n]*\b(?P<said>(?:source|target)Compatibility)\s*[=( ]\s*(?:JavaVersion\.)?(?:toVersion\()?"
            r"[\"']?(?P<version>\w[\w.]*)",
            "",
        ),
        (_GRADLE, "Java", r"^[^/\n]*\bJavaLanguageVersion\.of\(\s*[\"']?(?P<version>\w[\w.]*)", "toolchain"),
        (_GRADLE, "Java", r"^[^/\n]*\bjvmToolchain\(\s*(?P<version>\w+)", "toolchain"),
        (
            _GRADLE,
            "Java",
            r"^[^/\n]*\b(?P<said>options\.release|jvmTarget)(?:\.set\(|\s*=)\s*(?:JvmTarget\.)?"
            r"[\"']?(?P<version>\w[\w.]*)",
            "",
        ),
        (
            _GRADLE,
            "Kotlin",
            r"^[^/\n]*(?:kotlin\(\"\w+\"\)|org\.jetbrains\.kotlin[\w.]*[\"']\)?)\s*version\s*[\"'](?P<version>[^\"']+)",
            "",
        ),
        (
            _GRADLE,
            "Android",
            r"^[^/\n]*\b(?P<said>minSdk)(?:Version)?\s*[=( ]\s*(?P<version>\d+)",
            "",
        ),
        (
            r"(?:^|/)libs\.versions\.toml$",
            "Java",
            r"^(?:java|jdk|jvm)[\w-]*\s*=\s*[\"'](?P<version>\d[\w.]*)",
            "",
        ),
        (r"(?:^|/)libs\.versions\.toml$", "Kotlin", r"^kotlin\s*=\s*[\"'](?P<version>\d[\w.-]*)", ""),
        (r"(?:^|/)build\.sbt$", "Scala", r"\b(?:cross)?[sS]calaVersions?\s*:=\s*(?P<version>[^\n]+)", ""),
        (r"(?:^|/)mix\.exs$", "Elixir", r"\belixir:\s*\"(?P<version>[^\"]+)", ""),
        (
            r"(?:^|/)Package(?:@swift-[\d.]+)?\.swift$",
            "Swift",
            r"swift-tools-version\s*:\s*(?P<version>[\d.]+)",
            "",
        ),
        (r"\.podspec$", "Swift", r"\bswift_versions?\s*=\s*(?P<version>[^\n#]+)", ""),
        (_DOTNET, ".NET", r"<TargetFrameworks?(?:\s[^>]*)?>(?P<version>[^<]+)</", ""),
        (_DOTNET, "C#", r"<LangVersion(?:\s[^>]*)?>(?P<version>[^<]+)</", ""),
        (
            r"(?:^|/)global\.json$",
            ".NET",
            r"\"sdk\"\s*:\s*\{[^{}]*?\"version\"\s*:\s*\"(?P<version>[^\"]+)",
            "SDK",
        ),
        (_CMAKE, "CMake", r"^[ \t]*cmake_minimum_required\s*\(\s*VERSION\s+(?P<version>[^\s)]+)", ""),
        (_CMAKE, "C++", r"^[^#\n]*(?<![A-Z])CXX_STANDARD\s+\"?(?P<version>\d\d)", ""),
        (_CMAKE, "C++", r"^[^#\n]*\bcxx_std_(?P<version>\d\d)", ""),
        (_CMAKE, "C", r"^[^#\n]*(?<![A-Z])C_STANDARD\s+\"?(?P<version>\d\d)", ""),
        (_CMAKE, "C", r"^[^#\n]*\bc_std_(?P<version>\d\d)", ""),
        (_FLAGS, "C++", r"^[^#\n]*(?:-std=|\bcpp_std=)(?P<version>(?:gnu|c)\+\+\w+)", ""),
        (_FLAGS, "C", r"^[^#\n]*(?:-std=|\bc_std=)(?P<version>(?:gnu|c|iso)\d\w*(?::\w+)?)", ""),
        (r"(?:^|/)meson\.build$", "Meson", r"\bmeson_version\s*:\s*'(?P<version>[^']+)", ""),
    )
)
# The names of the files, for the database.
FILES = (
    r"^(?:package\.json|\.nvmrc|\.(?:node|python|ruby)-version|pyproject\.toml|setup\.(?:cfg|py)|composer\.json|"
    r".*\.gemspec|Gemfile|Cargo\.toml|rust-toolchain(?:\.toml)?|go\.(?:mod|work)|pom\.xml|build\.gradle(?:\.kts)?|"
    r"libs\.versions\.toml|build\.sbt|mix\.exs|Package(?:@swift-[\d.]+)?\.swift|.*\.podspec|.*\.(?:cs|fs|vb)proj|"
    r"Directory\.Build\.(?:props|targets)|global\.json|CMakeLists\.txt|Makefile(?:\.am)?|configure\.ac|meson\.build)$"
)


class Version(NamedTuple):
    """A version of something that a line of a file says is needed; `said` is what it is of that: its edition."""

    runtime: str
    version: str
    line: int
    said: str = ""

    @property
    def words(self) -> str:
        """Return it as an answer says it; what is no number is a name, whose value is not looked for."""
        version = self.version if re.search(r"\d", self.version) else f"by the value of {self.version}"
        return " ".join(word for word in (self.runtime, self.said, version) if word)


def runtime_of(name: str) -> str | None:
    """Return what a name in a question means that has versions; None if it is nothing of that kind."""
    return _BY_NAME.get(name.lower())


def read(path: str, content: str) -> Iterator[Version]:
    """Yield the versions that a file says are needed, in the order of its lines."""
    found: dict[tuple[str, int, str], Version] = {}
    for files, runtime, pattern, said in _FORMATS:
        for match in pattern.finditer(content) if files.search(path) else ():
            line = content.count("\n", 0, match.start("version")) + 1
            version = _plain(match["version"])
            words = said or match.groupdict().get("said") or ""
            found.setdefault((runtime, line, version), Version(runtime, version, line, words))
    yield from sorted(found.values(), key=lambda version: version.line)


def _plain(version: str) -> str:
    """Return a version as it is said: without quotes and the brackets that enclose it."""
    return version.rstrip("\"')],; \t\r\n").lstrip("\"'([ \t").replace('", "', ", ")
