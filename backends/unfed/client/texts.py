"""What decoys ask: texts that somebody has put beside the model, each used once, or such as the model itself writes."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path

import msgspec

from unfed.plugins import UnfedError

_random = secrets.SystemRandom()


class _Line(msgspec.Struct):
    prompt: str


def read_texts(path: Path) -> list[str]:
    """Prompts, one on a line of JSON each.

    Raises:
        UnfedError: (`bad-input`) the file cannot be read, or a line is none.
    """
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise UnfedError(f"cannot read {path}: {error.strerror}", kind="bad-input") from error
    found = []
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                found.append(msgspec.json.decode(line, type=_Line).prompt)
            except msgspec.MsgspecError as error:
                raise UnfedError(f"{path}, line {number}: {error}", kind="bad-input") from None
    return found


class Texts:
    """Decoys that have not been used.

    Args:
        prompts: texts that are used up, in any order.
        encode: makes token ids of a text.
    """

    def __init__(self, prompts: list[str], encode: Callable[[str], list[int]]) -> None:
        self._ids = [encode(prompt) for prompt in prompts]

    def __len__(self) -> int:
        return len(self._ids)

    def add(self, ids: list[int]) -> None:
        self._ids.append(ids)

    def take(self, length: int) -> list[int]:
        """One whose length comes nearest to `length`, drawn among several; it does not come again."""
        off = [abs(len(ids) - length) for ids in self._ids]
        least = min(off)
        return self._ids.pop(_random.choice([number for number, each in enumerate(off) if each == least]))
