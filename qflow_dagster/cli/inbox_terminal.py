"""`qflow inbox --terminal`: pending requests in a terminal, to find, read and decide by keys.

Does not belong here: what is shown of a request (`request_view`), deciding
(`approvals.batches`).
"""

from typing import Any, ClassVar
from uuid import UUID

from rich.console import Group
from rich.text import Text
from sqlalchemy import Engine
from textual import on
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.widgets import DataTable, Footer, Input, Static

from qflow_dagster.approvals import arbiter, batches, deciders, lists, records
from qflow_dagster.cli.request_view import request_parts
from qflow_dagster.errors import QflowError
from qflow_dagster.safety.display import visible_line

MAX_ROWS = 500
# Words of the filter that begin with these names and a colon select; the others are searched for.
SELECTORS = {name: name for name in (*lists.FACETS, "status")} | {"repo": "repository"}
COLUMNS = ("", "request", "risk", "kind", "target", "requested by", "owner")


def filter_of(words: str) -> lists.Filter:
    """Return the filter that is written as `risk:high rule:NAME words to find`; without a status: pending ones.

    Raises:
        UsageError: There is no such kind or status.
    """
    selected: dict[str, Any] = {"status": "pending"}
    found: list[str] = []
    for word in words.split():
        name, _, value = word.partition(":")
        if name in SELECTORS and value:
            selected[SELECTORS[name]] = value
        else:
            found.append(word)
    return lists.Filter(**selected, search=" ".join(found) or None)


class InboxTerminal(App[None]):
    """The inbox of one person; `engine` is the database, `actor` the name under which they decide."""

    TITLE = "qflow inbox"
    ENABLE_COMMAND_PALETTE = False
    CSS = """
    #list { width: 45%; border: solid $primary; }
    #request { width: 1fr; padding: 0 1; border-left: solid $primary; }
    #prompt { display: none; }
    .narrow Horizontal { layout: vertical; }
    .narrow #list { width: 100%; height: 40%; }
    .narrow #request { border-left: none; border-top: solid $primary; }
    """
    HORIZONTAL_BREAKPOINTS = [(0, "narrow"), (110, "wide")]  # noqa: RUF012
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("a", "decide('approve')", "Approve"),
        Binding("d", "decide('deny')", "Deny"),
        Binding("c", "decide('comment')", "Comment"),
        Binding("space", "mark", "Mark"),
        Binding("slash", "filter", "Filter"),
        Binding("s", "sort", "Sort"),
        Binding("r", "read", "Refresh"),
        Binding("j", "move(1)", "Next", show=False),
        Binding("k", "move(-1)", "Previous", show=False),
        Binding("escape", "leave", "Back", show=False),
        Binding("q", "quit", "Quit"),
    ]

    def __init__(self, engine: Engine, actor: str) -> None:
        super().__init__()
        self.engine, self.actor = engine, actor
        self.sort = "oldest"
        # The request on the screen, and those marked, each with the digest of what was shown of it.
        self.shown: dict[str, Any] | None = None
        self.marked: dict[UUID, str] = {}
        self.wanted: tuple[str, dict[UUID, str]] | None = None

    def compose(self) -> ComposeResult:
        """Lay out the filter, the list beside the request, and the line for a reason."""
        yield Input(
            id="filter",
            placeholder="/ filters: words, and risk: kind: rule: repo: owner: status:",
            compact=True,
        )
        with Horizontal():
            yield DataTable[Text](id="list", cursor_type="row")
            with VerticalScroll(id="request"):
                yield Static(id="text", markup=False)
        yield Input(id="prompt")
        yield Footer()

    def on_mount(self) -> None:
        """Read the list."""
        self.table.add_columns(*COLUMNS)
        self.action_read()
        self.table.focus()

    @property
    def table(self) -> DataTable[Text]:
        """The list."""
        return self.query_one("#list", DataTable)

    def action_read(self) -> None:
        """Read the list again, with the filter and the order that are chosen; the cursor stays on its request."""
        try:
            selection = filter_of(self.query_one("#filter", Input).value)
            with self.engine.connect() as connection:
                total, _ = lists.facets(connection, selection)
                rows = lists.find(connection, selection, sort=self.sort, limit=MAX_ROWS)
        except QflowError as error:
            self.say(str(error), "error")
            return
        before = self.shown["id"] if self.shown else None
        self.marked = {row["id"]: self.marked[row["id"]] for row in rows if row["id"] in self.marked}
        self.table.clear()
        for row in rows:
            title = (row["reason"].strip().splitlines() or [row["target"]])[0]
            cells = (
                "x" if row["id"] in self.marked else "",
                title,
                row["risk"],
                row["kind"],
                row["target"],
                row["requested_by"],
                row["owner"],
            )
            self.table.add_row(
                *(Text(visible_line(str(cell or ""), 60)) for cell in cells), key=str(row["id"])
            )
        left_out = f", the first {len(rows)} shown" if total > len(rows) else ""
        self.table.border_title = f"{total} by {self.sort}{left_out}"
        if not rows:
            self.shown = None
            self.query_one("#text", Static).update("No request matches.")
        elif before in (ids := [row["id"] for row in rows]):
            self.table.move_cursor(row=ids.index(before))

    @on(DataTable.RowHighlighted)
    def show_request(self, event: DataTable.RowHighlighted) -> None:
        """Show the request under the cursor."""
        if event.row_key.value is None:
            return
        with self.engine.connect() as connection:
            self.shown = records.show(connection, UUID(event.row_key.value))
            parts = [*request_parts(connection, self.shown)]
            objection = deciders.objection(connection, self.shown, self.actor)
        if objection:
            parts.insert(0, Text(visible_line(f"You cannot decide it: {objection}."), style="bold"))
        self.query_one("#text", Static).update(Group(*parts))
        self.query_one("#request").scroll_home(animate=False)

    def action_move(self, by: int) -> None:
        """Move the cursor of the list."""
        self.table.move_cursor(row=self.table.cursor_row + by)

    def action_mark(self) -> None:
        """Mark the request that is shown for a decision on several, or take the mark away."""
        if self.shown is None:
            return
        id_ = self.shown["id"]
        if self.marked.pop(id_, None) is None:
            self.marked[id_] = self.shown["digest"]
        mark = Text("x" if id_ in self.marked else "")
        self.table.update_cell_at(self.table.cursor_coordinate._replace(column=0), mark)
        self.action_move(1)

    def action_filter(self) -> None:
        """Go to the filter."""
        self.query_one("#filter").focus()

    def action_sort(self) -> None:
        """Choose the next order."""
        names = list(lists.SORTS)
        self.sort = names[(names.index(self.sort) + 1) % len(names)]
        self.action_read()

    def action_leave(self) -> None:
        """Go back to the list, without a decision."""
        self.wanted = None
        self.query_one("#prompt").display = False
        self.table.focus()

    def action_decide(self, decision: str) -> None:
        """Read the reason for a decision on the marked requests, or else on the one that is shown."""
        if self.shown is None:
            return
        seen = (
            self.marked if self.marked and decision != "comment" else {self.shown["id"]: self.shown["digest"]}
        )
        with self.engine.connect() as connection:
            objections = [
                deciders.objection(connection, records.show(connection, id_), self.actor) for id_ in seen
            ]
        if decision != "comment" and all(objections):
            self.say(str(objections[0]), "error")
            return
        self.wanted = (decision, dict(seen))
        prompt = self.query_one("#prompt", Input)
        prompt.value = ""
        about = "it" if len(seen) == 1 else f"{len(seen)} marked requests"
        prompt.placeholder = f"{decision} {about}: a reason; Enter confirms, Escape goes back"
        prompt.display = True
        prompt.focus()

    @on(Input.Submitted, "#filter")
    def choose(self) -> None:
        """Read the list with the filter that was written."""
        self.action_read()
        self.table.focus()

    @on(Input.Submitted, "#prompt")
    def decide(self, event: Input.Submitted) -> None:
        """Record the decision with its reason, and say what became of it."""
        wanted, words = self.wanted, event.value.strip()
        self.action_leave()
        if wanted is None:
            return
        decision, seen = wanted
        try:
            if decision == "comment":
                with self.engine.begin() as connection:
                    arbiter.comment(connection, next(iter(seen)), actor=self.actor, words=words)
                self.say("commented")
            else:
                results = batches.decide_all(
                    self.engine, decision, seen, actor=self.actor, comment=words or None
                )
                for id_, result, problem in results:
                    if result is None:
                        self.say(f"{id_}: {problem}", "error")
                    else:
                        self.say(
                            f"{id_} is {result.status} ({result.approvals} of {result.required} approvals)"
                        )
                self.marked.clear()
        except QflowError as error:
            self.say(str(error), "error")
        self.action_read()

    def say(self, words: str, severity: Any = "information") -> None:
        """Show a message; what it quotes is text, not markup."""
        self.notify(visible_line(words), severity=severity, markup=False)
