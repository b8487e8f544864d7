"""The licence: by the text of a file, by its name or address, and as a manifest states it."""

import pytest
from sqlalchemy import Engine

from qflow_dagster.ingestion.queries import current_snapshot
from qflow_dagster.knowledge import answers, licences
from qflow_dagster.knowledge.questions import ParsedQuestion
from tests.ingestion.conftest import GitRepository, Ingested

NAMED = [
    ("Licenced under Apache 2.0: http://www.apache.org/licenses/LICENSE-2.0", ["Apache-2.0"]),
    ("Licensed under the Apache License, Version 2.0.", ["Apache-2.0"]),
    ("http://opensource.org/licenses/mit", ["MIT"]),
    ("MIT OR Apache-2.0", ["Apache-2.0", "MIT"]),
    ("SPDX-License-Identifier: BSD-3-Clause", ["BSD-3-Clause"]),
    ("Distributed under the three-clause BSD license.", ["BSD-3-Clause"]),
    ("Simplified BSD License", ["BSD-2-Clause"]),
    ("BSD License", ["BSD"]),
    ("GPLv3", ["GPL-3.0"]),
    ("the GNU General Public License, version 2", ["GPL-2.0"]),
    ("SPDX-License-Identifier: GPL-2.0-only", ["GPL-2.0"]),
    ("https://www.gnu.org/licenses/gpl-3.0.html", ["GPL-3.0"]),
    ("LGPL-2.1", ["LGPL"]),
    ("AGPL-3.0-or-later", ["AGPL-3.0"]),
    ("https://mozilla.org/MPL/2.0/", ["MPL-2.0"]),
    ("MPL-2.0", ["MPL-2.0"]),
    ("The ISC license", ["ISC"]),
    ("See <https://unlicense.org>", ["Unlicense"]),
    ("All rights reserved, permitted or not.", []),
]
PROJECTS = [
    (
        {"License.txt": "\nThe library is licenced under Apache 2.0.\n"},
        ["the licence is Apache-2.0, which License.txt names", "is not the text of a licence"],
        ("License.txt", 2),
    ),
    (
        {
            "LICENSE": "Permission is hereby granted, free of charge, ...\n",
            "package.json": '{"license": "MIT"}',
        },
        ["the licence is MIT, by the text of LICENSE"],
        ("LICENSE", 1),
    ),
    (
        {"COPYING": "SPDX-License-Identifier: ISC\n", "package.json": '{"name": "a",\n"license": "MIT"}'},
        ["the licence is ISC, which COPYING names; but package.json:2 says MIT"],
        ("package.json", 2),
    ),
    (
        {"LICENSE": "Apache License\nVersion 2.0\n\nPermission is hereby granted, free of charge, ...\n"},
        ["the licence is Apache-2.0"],
        ("LICENSE", 1),
    ),
    (
        {"a.gemspec": 'x do |s|\n  s.license = "MIT"\nend\n'},
        ["the licence is MIT, as a.gemspec says"],
        ("a.gemspec", 2),
    ),
    (
        {"src/A.csproj": "<Project>\n<PackageLicenseExpression>MIT</PackageLicenseExpression>\n</Project>\n"},
        ["the licence is MIT, as src/A.csproj says"],
        ("src/A.csproj", 2),
    ),
    ({"LICENSE": "Ask us.\n"}, ["the licence is of no usual kind, by the text of LICENSE"], ("LICENSE", 1)),
    (
        {
            "MIT-LICENSE": "Permission is hereby granted, free of charge, ...\n",
            "package.json": '{"license": "UNLICENSED"}',
        },
        ["the licence is MIT, by the text of MIT-LICENSE; but package.json:1 says UNLICENSED"],
        ("MIT-LICENSE", 1),
    ),
    (
        {
            "LICENSE": "Redistribution and use in source and binary forms\n",
            "pyproject.toml": '[project]\nlicense = {text = "BSD License"}\n',
        },
        ["the licence is BSD-2-Clause"],
        ("LICENSE", 1),
    ),
]


@pytest.mark.parametrize(("text", "names"), NAMED)
def test_licences_are_known_by_names_and_addresses(text: str, names: list[str]) -> None:
    assert sorted(licences.named_in(text)) == names


@pytest.mark.parametrize(("files", "words", "place"), PROJECTS)
def test_the_licence_of_a_project(
    files: dict[str, str],
    words: list[str],
    place: tuple[str, int],
    engine: Engine,
    repository: GitRepository,
    ingested: Ingested,
) -> None:
    repository.commit(files)
    ingested(repository)
    with engine.connect() as connection:
        snapshot = current_snapshot(connection, "project")
        answer = answers.of(connection, snapshot, ParsedQuestion("licence", ""))
    assert all(word in answer.words for word in words), answer.words
    assert ("; but" in answer.words) == any("; but" in word for word in words)
    assert place in [(item.path, item.line) for item in answer.evidence]
