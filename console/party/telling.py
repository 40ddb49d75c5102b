"""What a role has its launcher told besides answers: phases, what a query adopts, and news."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from unfed.plugins import CLIENT, Answer, Metric, Note, Phase, Route, Token, UnfedError

from .control import Adopted, Happened
from .link import ControlLink

Yielded = TypeVar("Yielded", Token, Metric, Note, Route, Answer)

_encode = msgspec.msgpack.Encoder().encode
_DECODERS: dict[type, Callable[[bytes], Any]] = {
    kind: msgspec.msgpack.Decoder(kind).decode for kind in (Token, Metric, Note, Route, Answer)
}


class Telling:
    """Of the party called `name`."""

    def __init__(self, name: str, link: ControlLink) -> None:
        self._name, self._link = name, link

    def phase(self, query: str, phase: Phase) -> None:
        if query and (self._name == CLIENT or phase.kind != "setup"):
            self._link.send(Happened(query, phase))

    def adopt(self, query: str, id: str) -> None:
        self._link.send(Adopted(query, id))

    def news(self, note: Note) -> None:
        """Something that is no query's. Raises UnfedError where it is no note, or not the client's."""
        if self._name != CLIENT:
            raise UnfedError("only the client tells of what is no query's", kind="role", party=self._name)
        self._link.send(Happened("", checked(msgspec.structs.replace(note, at=0.0), Note)))


def checked(event: Yielded, kind: type[Yielded]) -> Yielded:
    """The event with fields of the types that it declares, as a role's numpy or torch scalars are not.

    Raises:
        UnfedError: they are not; the value is not repeated.
    """
    try:
        found: Yielded = _DECODERS[kind](_encode(event))
        return found
    except (TypeError, OverflowError, msgspec.ValidationError) as error:
        raise UnfedError(f"the role yielded a {kind.__name__} that is none: {error}", kind="role") from None
