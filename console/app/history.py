"""Prompts asked in this session, for the up and down keys. Never written to disk."""

from __future__ import annotations


class History:
    """A list with a place in it; what was being typed is kept below its end."""

    def __init__(self) -> None:
        self._asked: list[str] = []
        self._place: int | None = None
        self._draft = ""

    def add(self, text: str) -> None:
        """`text` was asked; going up starts from it again."""
        if not self._asked or self._asked[-1] != text:
            self._asked.append(text)
        self._place = None

    def older(self, typed: str) -> str | None:
        """The prompt before the one shown; None at the oldest."""
        if self._place is None:
            self._draft, place = typed, len(self._asked) - 1
        else:
            place = self._place - 1
        if place < 0:
            return None
        self._place = place
        return self._asked[place]

    def newer(self) -> str | None:
        """The prompt after the one shown, the draft after the latest; None where nothing is shown."""
        if self._place is None:
            return None
        self._place += 1
        if self._place < len(self._asked):
            return self._asked[self._place]
        self._place = None
        return self._draft
