"""Views as something to search: raw bytes, texts and streams of numbers put together from pieces, and arrays."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import msgspec
import numpy as np

from ..view import Entry, View

Numbers = np.ndarray[Any, np.dtype[Any]]

_KINDS = {
    **{f"{sign}int{8 * size}": f"i{size}" for sign in ("", "u") for size in (1, 2, 4, 8)},
    **{f"float{8 * size}": f"f{size}" for size in (2, 4, 8)},
}


class Seen(NamedTuple):
    """One entry of one party's view."""

    party: str
    entry: Entry

    @property
    def where(self) -> str:
        if self.entry.kind == "held":
            return f"what {self.party} holds as {self.entry.name!r}"
        return f"{self.entry.name or 'reply'!r} from {self.entry.sender} to {self.party}"


class Haystack:
    """What one party saw, made ready for any number of searches."""

    def __init__(self, seen: Sequence[Seen]) -> None:
        self.seen = seen

    @cached_property
    def texts(self) -> dict[str, str]:
        return texts(self.seen)

    @cached_property
    def streams(self) -> dict[str, Numbers]:
        return streams(self.seen)

    @cached_property
    def arrays(self) -> list[Placed]:
        return arrays(self.seen)

    @cached_property
    def size(self) -> int:
        """Bytes and numbers in it."""
        return sum(len(data) for each in self.seen for data, _ in raw(each.entry))


class Placed(NamedTuple):
    """An array, where it was seen, and its turn among those seen there."""

    party: str
    where: str
    turn: int
    values: Numbers


def entries_after(view: View, skip: int) -> list[Seen]:
    """The entries of a view after its first `skip`."""
    return [Seen(view.party, entry) for place, entry in enumerate(view) if place >= skip]


def raw(entry: Entry) -> Iterator[tuple[bytes, str]]:
    """Every run of bytes in an entry, as `View.haystack` gives them for a whole view; and for arrays, of which kind of
    number they are, as `Run` has it."""
    yield entry.frame, ""
    yield entry.name.encode(), ""
    yield msgspec.msgpack.encode(entry.fields), ""
    for array in entry.arrays.values():
        yield array.data, _KINDS.get(array.dtype, "")


def texts(seen: Iterable[Seen]) -> dict[str, str]:
    """Letters and digits of all strings that came in one place, put together in the order they came in."""
    pieces: defaultdict[str, list[str]] = defaultdict(list)
    for each in seen:
        for path, value in _leaves(each.entry.fields):
            if isinstance(value, str | bytes):
                text = value if isinstance(value, str) else value.decode("utf-8", "replace")
                pieces[f"{each.where}, field {path}"].append(text)
    return {
        where: "".join(letter for text in found for letter in text if letter.isalnum()).casefold()
        for where, found in pieces.items()
    }


def streams(seen: Iterable[Seen], *, pooled: bool = False) -> dict[str, Numbers]:
    """Whole numbers that came in one place, one after the other: single ones, lists, arrays, and rows with one entry.

    Args:
        pooled: put together what different parties received under the same name, by time.
    """
    pieces: defaultdict[str, list[Numbers]] = defaultdict(list)
    ordered = sorted(seen, key=lambda each: each.entry.at) if pooled else seen
    for each in ordered:
        where = f"{each.entry.name!r} to all of them" if pooled else each.where
        loose: defaultdict[str, list[int]] = defaultdict(list)
        for path, value in _leaves(each.entry.fields):
            if isinstance(value, int | float) and not isinstance(value, bool) and value == value // 1:
                loose[path].append(min(max(int(value), -(2**63)), 2**63 - 1))
        for path, values in loose.items():
            pieces[f"{where}, field {path}"].append(np.array(values, dtype=np.int64))
        for name, array in each.entry.arrays.items():
            for form, whole in _whole(array.numpy()):
                pieces[f"{where}, field {name}{form}"].append(whole)
    return {where: np.concatenate(found) for where, found in pieces.items()}


def arrays(seen: Iterable[Seen]) -> list[Placed]:
    """Every array, and bytes fields as arrays of bytes."""
    turns: defaultdict[tuple[str, str], int] = defaultdict(int)
    found = []
    for each in seen:
        mine = [(name, array.numpy()) for name, array in each.entry.arrays.items()]
        for path, value in _leaves(each.entry.fields):
            if isinstance(value, bytes) and value:
                mine.append((path, np.frombuffer(value, dtype=np.uint8)))
        for name, values in mine:
            where = f"{each.where}, field {name}"
            found.append(Placed(each.party, where, turns[each.party, where], values))
            turns[each.party, where] += 1
    return found


def rows_of(values: Numbers, width: int) -> Numbers | None:
    """An array as rows [n, width] in float64, if it can be read so; complex or empty arrays cannot."""
    if values.size < width or values.dtype.kind not in "fiu":
        return None
    if values.ndim and values.shape[-1] > width:  # padded, as vocabularies often are
        values = values.reshape(-1, values.shape[-1])[:, :width]
    elif values.size % width:
        return None
    with np.errstate(invalid="ignore"):
        rows = values.reshape(-1, width).astype(np.float64)
    return rows[np.isfinite(rows).all(axis=1)] if values.dtype.kind == "f" else rows


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Scalars within nested fields, with the path to each; the places in a list all have the same path."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _leaves(inner, f"{path}.{key}" if path else str(key))
    elif isinstance(value, Sequence) and not isinstance(value, str | bytes):
        for inner in value:
            yield from _leaves(inner, f"{path}[]")
    else:
        yield path or "value", value


def _whole(values: Numbers) -> Iterator[tuple[str, Numbers]]:
    """An array as whole numbers, if that is what it holds; and the places of the ones where each row has just one."""
    if not values.size or values.dtype.kind not in "fiu":
        return
    whole = values.dtype.kind in "iu"
    if whole or (np.isfinite(values).all() and (values == np.floor(values)).all() and (np.abs(values) < 2**53).all()):
        yield "", values.reshape(-1).astype(values.dtype if whole and values.itemsize == 1 else np.int64, copy=False)
    if values.ndim and values.shape[-1] >= 16:
        rows = values.reshape(-1, values.shape[-1])
        if (np.count_nonzero(rows, axis=1) == 1).all():
            yield " (one-hot)", np.abs(rows).argmax(axis=1).astype(np.int64)
