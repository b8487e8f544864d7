"""Classification of files by path: test, vendored, generated, documentation (similar to linguist's rules).

Belongs here: rules on paths. Generated files are also recognised by content, in ``extraction``.
"""

import re
from typing import NamedTuple


class Flags(NamedTuple):
    """The flags of a file according to its path."""

    test: bool
    vendored: bool
    generated: bool
    documentation: bool


def _any(*patterns: str) -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{pattern})" for pattern in patterns))


TEST = _any(
    r"(?:^|/)(?:tests?|testing|specs?|__tests__|__mocks__|testdata|test_data|fixtures?|e2e|integration[-_]?tests?)/",
    r"(?:^|/)src/[\w-]*[tT]est[\w-]*/",
    r"(?:^|/)(?:test_[^/]+|[^/]+_test|[^/]+_tests|conftest)\.(?:py|pyi)$",
    r"_test\.(?:go|c|cc|cpp|rb|exs|dart|rs)$",
    r"[._-](?:spec|test|tests|e2e|cy)\.[cm]?[jt]sx?$",
    r"(?:^|/)[A-Z]\w*(?:Tests?|TestCase|Spec|IT)\.(?:java|kt|scala|swift|cs|php|groovy)$",
    r"_spec\.rb$",
    r"\.bats$",
    r"(?:^|/)[^/]+\.Tests?/",
)
VENDORED = _any(
    r"(?:^|/)(?:vendor|vendors|vendored|node_modules|bower_components|third[-_]?party|3rd[-_]?party|external|extern|"
    r"deps|Godeps|Pods|Carthage|jspm_packages|_vendor|site-packages)/",
    r"(?:^|/)(?:jquery|bootstrap|d3|lodash|underscore|angular|react|vue|moment|modernizr|normalize)"
    r"(?:[.-][\w.-]*)?\.(?:js|css|mjs)$",
    r"(?:^|/)\.(?:yarn|pnp)(?:/|\.c?js$)",
    r"(?:^|/)(?:gradlew(?:\.bat)?|mvnw(?:\.cmd)?)$",
    r"(?:^|/)(?:config\.guess|config\.sub|install-sh|ltmain\.sh|libtool\.m4|aclocal\.m4)$",
)
GENERATED = _any(
    r"[.-]min\.(?:js|css|mjs)$",
    r"\.(?:js|css)\.map$",
    r"\.pb\.(?:go|cc|h|dart|gw\.go)$|_pb2(?:_grpc)?\.pyi?$|_pb\.(?:js|d\.ts|rb)$|\.grpc\.\w+$",
    r"(?:^|/)(?:package-lock\.json|npm-shrinkwrap\.json|yarn\.lock|pnpm-lock\.yaml|bun\.lockb?|composer\.lock|"
    r"Gemfile\.lock|Cargo\.lock|poetry\.lock|uv\.lock|pdm\.lock|Pipfile\.lock|go\.sum|mix\.lock|pubspec\.lock|"
    r"flake\.lock|deno\.lock|Podfile\.lock|packages\.lock\.json|gradle\.lockfile)$",
    r"\.g\.dart$|\.freezed\.dart$|\.designer\.cs$|\.Designer\.cs$|\.g\.cs$|\.generated\.\w+$|_generated\.\w+$",
    r"(?:^|/)zz_generated\.|(?:^|/)mock_[^/]+\.go$|_string\.go$|\.snap$|(?:^|/)__snapshots__/",
    r"(?:^|/)(?:dist|build/generated|generated|gen-src|__generated__|\.next|\.nuxt)/",
    r"\.(?:xcworkspacedata|pbxproj|nib|xib|storyboard)$",
)
DOCUMENTATION = _any(
    r"(?:^|/)(?:docs?|documentation|javadoc|man|examples?|samples?)/",
    r"(?:^|/)(?:readme|changelog|changes|history|news|contributing|copying|license|licence|authors|notice|security|"
    r"code_of_conduct|install|upgrading|todo)(?:[.-][^/]*)?$",
)


def classify(path: str) -> Flags:
    """Return the flags of the file at `path` (as `paths.quote_path` writes it)."""
    return Flags(
        TEST.search(path) is not None,
        VENDORED.search(path) is not None,
        GENERATED.search(path) is not None,
        DOCUMENTATION.search(path.lower()) is not None,
    )
