"""The prompt box: Enter asks, up and down go through what was asked."""

from __future__ import annotations

from textual.message import Message
from textual.widgets import TextArea

from ..actions import bindings
from ..history import History

ASK = "Type a prompt; Enter asks it of every column. ^g brings an example."
ASK_IMAGE = "Name an image's file; Enter asks it of every column. ^g brings an example."


class PromptBox(TextArea):
    """Several lines of text that grow with what is typed; a pasted text keeps its lines."""

    HELP = (
        "The prompt; for a model of images the path of a file (8-bit PNG or .npy). "
        "Sending asks it of every column: one after the other, or all at once in race mode. "
        "What you asked before in this session comes back from the first and last line of the box. "
        "Only the client party of each backend ever receives the prompt as you typed it: "
        "the badge of a column says who else can read it."
    )
    BINDINGS = bindings("prompt")

    class Sent(Message):
        """The operator wants `text` asked."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    def __init__(self, history: History) -> None:
        super().__init__(
            id="prompt",
            compact=True,
            highlight_cursor_line=False,
            placeholder=ASK,
        )
        self.asked = history

    def action_send(self) -> None:
        # A key of high priority overtakes those typed before it: wait until they are in the box.
        self.call_later(lambda: self.post_message(self.Sent(self.text)))

    def action_newline(self) -> None:
        self.call_later(self.insert, "\n")

    def action_older(self) -> None:
        if self.cursor_location[0] > 0:
            self.action_cursor_up()
        elif (text := self.asked.older(self.text)) is not None:
            self.put(text)

    def action_newer(self) -> None:
        if self.cursor_location[0] < self.document.line_count - 1:
            self.action_cursor_down()
        elif (text := self.asked.newer()) is not None:
            self.put(text)

    def put(self, text: str) -> None:
        """Replace what is typed, cursor at its end."""
        self.load_text(text)
        self.move_cursor(self.document.end)
