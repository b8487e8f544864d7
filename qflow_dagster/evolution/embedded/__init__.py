"""Code within files of another language: scripts of HTML, Vue and Svelte, the cells of notebooks.

Such code is a text of its own, on the same lines as in its file; everything else is blank. Rules, generators and gates
look at this text as they look at any file; what they make of it is put back into the file, of which every other byte
stays. Belongs here: which files hold code, and putting changes back. Does not belong here: what a format looks like
(`markup`, `notebooks`).
"""

from dataclasses import dataclass

from qflow_dagster.evolution.embedded import markup, notebooks
from qflow_dagster.evolution.embedded.protocol import Code, NotMergedError
from qflow_dagster.ingestion import languages

__all__ = ["LANGUAGES", "Code", "Embedded", "NotMergedError", "of_file", "read"]

# The language of a file, as detected -> the languages that its code may be in, as rules name them.
LANGUAGES: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(markup.KINDS, ("javascript", "typescript", "tsx")),
    notebooks.LANGUAGE: ("python",),
}


@dataclass(frozen=True)
class Embedded:
    """The code of a file: the language of the file, its content, and the code."""

    kind: str
    file: str
    code: Code

    def merged(self, after: str) -> str:
        """Return the content of the file with another text of its code.

        Raises:
            NotMergedError: the text differs in more than code, or the file would be read otherwise.
        """
        merge = notebooks.merged if self.kind == notebooks.LANGUAGE else markup.merged
        file = merge(self.file, self.code, after)
        if self.text_of(file) != after:
            raise NotMergedError("the file would be read otherwise after the change")
        return file

    def text_of(self, file: str) -> str | None:
        """Return the text of the code in another content of the file; None: it has none that can be read."""
        inner = read(self.kind, file)
        return None if inner is None else inner.code.text


def of_file(path: str, file: str) -> Embedded | None:
    """Return the code of a file by its path; None: it is no file with code of another language."""
    kind = languages.detect(path, file[:4096].encode())
    return read(kind, file) if kind in LANGUAGES else None


def read(kind: str, file: str) -> Embedded | None:
    """Return the code of a file of this language (a key of `LANGUAGES`); None: it has none that can be read."""
    code = notebooks.read(file) if kind == notebooks.LANGUAGE else markup.read(file, kind)
    return None if code is None else Embedded(kind, file, code)
