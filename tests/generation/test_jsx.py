"""JSX and TSX are looked at and changed like JavaScript and TypeScript."""

from tests.generation.conftest import changes
from tests.improvement_loop import Loop


def test_files_of_jsx_and_tsx_are_changed_like_those_of_javascript_and_typescript(loop: Loop) -> None:
    code = "debugger;\nexport const view = () => <p>{new Object()}</p>;\n"
    loop.repository.commit({"a.jsx": code, "b.tsx": code})
    expected = ["export const view = () => <p>{{}}</p>;"]
    assert changes(loop) == {"a.jsx": expected, "b.tsx": expected}
