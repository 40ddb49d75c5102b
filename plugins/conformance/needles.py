"""What to look for in a view: a secret in every form that we know how to recognise.

Sequences of token ids are searched in windows: three ids at least where the vocabulary is large, more where it is
small, and as many more as `chance` asks for. A window that repeats or merely counts is too common to prove anything.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import msgspec
import numpy as np

from .runs import Run
from .spelled import Spelled
from .windows import Window

Floats = np.ndarray[Any, np.dtype[np.float32]]
Integers = np.ndarray[Any, np.dtype[np.int64]]

BITS = 32
"""Windows of ids hold at least this much information, however little is searched."""
LETTERS = 10
"""Letters that make a word distinctive."""
_PACKED = 5
_BYTES = 6
"""Bytes that packed ids, and ids of one byte each, take at least to be told from chance."""
FRACTIONS = (0, 8, 10, 12, 13, 14, 15, 16, 18, 20, 24, 32)
"""Bits after the point that fixed-point numbers are tried with."""
_PIXELS = 8
"""Consecutive pixels that identify an image of random ones."""
_CHUNK = 8
"""Consecutive values of a row that identify it when searched as raw bytes."""


class Needles(msgspec.Struct):
    """Forms of one asset, each under the name that a report uses.

    Attributes:
        raw: runs of bytes.
        words: casefolded letters and digits, to be found in texts put together from pieces.
        spelled: ids written out as decimals.
        windows: consecutive ids or characters, to be found in streams of numbers.
        rows: [n, width] vectors, to be found in arrays up to scale; `shift` says up to a constant, too.
    """

    raw: list[Run] = []
    words: list[tuple[str, str]] = []
    spelled: list[Spelled] = []
    windows: list[Window] = []
    rows: list[tuple[str, Floats, bool]] = []

    def add_words(self, what: str, words: Iterable[str]) -> None:
        """Text, by its distinctive words."""
        for word in words:
            for form, data in _spellings(word):
                self.raw.append(Run(f"{what} as {form}", data))
            letters = "".join(letter for letter in word if letter.isalnum()).casefold()
            if len(letters) >= LETTERS:
                self.words.append((f"{what} as pieces", letters))
            for form in (word, word.upper()):
                codes = np.array([ord(letter) for letter in form], dtype=np.int64)
                self.windows.append(Window(f"{what} as character codes", codes, alphabet=max(128, codes.max() + 1)))

    def add_ids(self, what: str, ids: Sequence[int], vocab: int, shown: Sequence[int] = ()) -> bool:
        """Token ids, in windows; False where no window is distinctive enough to be searched for.

        Args:
            shown: ids that may be seen; a window that stands in them too proves nothing.
        """
        width = max(3, math.ceil(BITS / math.log2(max(2, vocab))))
        tails = distinctive(ids, width, shown)
        for tail in tails:
            self._add_fixed(what, tail, width)
            for form, pack in (("msgpack", msgspec.msgpack.encode), ("CBOR", _cbor), ("varints", _varint)):
                packed = [pack(int(each)) for each in tail]
                self.add_run(f"{what} as {form}", b"".join(packed), max(_PACKED, len(b"".join(packed[:width]))))
            numbers = [str(each).encode() for each in tail]
            self.spelled.append(Spelled.of(f"{what} as decimals", numbers[:width], numbers[width:]))
            self.windows.append(Window(f"{what} as numbers", tail, width, vocab))
        for tail in distinctive(ids, max(_BYTES, width), shown):
            self.add_run(f"{what} as bytes", _below(tail, 256).astype("u1").tobytes(), max(_BYTES, width))
        return bool(tails)

    def add_run(self, what: str, data: bytes, least: int, kind: str = "") -> None:
        """Bytes as `Run` takes them; nothing where they are fewer than the least."""
        if len(data) >= least:
            self.raw.append(Run(what, data, least, kind))

    def _add_fixed(self, what: str, ids: Integers, width: int) -> None:
        """Ids in numbers of a fixed size, as far as they fit."""
        for size in (2, 4, 8):
            for order, end in (("<", "little"), (">", "big")):
                data = _below(ids, 2 ** (8 * size)).astype(f"{order}u{size}").tobytes()
                self.add_run(f"{what} as {8 * size}-bit integers ({end}-endian)", data, width * size, f"i{size}")
            data = _below(ids, 2 ** {2: 11, 4: 24, 8: 53}[size]).astype(f"<f{size}").tobytes()
            self.add_run(f"{what} as float{8 * size}", data, width * size, f"f{size}")

    def add_pixels(self, what: str, pixels: Floats) -> None:
        """The pixels [n] of one image: up to scale and a constant in any array, and as bytes in the usual forms."""
        self.add_rows({what: pixels[None]}, shift=True)
        levels = np.rint(pixels * 255)
        for start in {0, (len(pixels) - _PIXELS) // 2, len(pixels) - _PIXELS}:
            part = slice(max(0, start), max(0, start) + _PIXELS)
            self.raw.append(Run(f"{what} as bytes", levels[max(0, start) :].astype("u1").tobytes(), _PIXELS))
            for bits in FRACTIONS:
                whole = np.rint(pixels[part].astype(np.float64) * 2.0**bits)
                for kind in ("<i4", "<i8"):
                    if bits and whole.max() < 2.0 ** (8 * int(kind[2]) - 1):
                        self.raw.append(Run(f"{what} as fixed point", whole.astype(kind).tobytes()))
            packed = b"".join(msgspec.msgpack.encode(float(each)) for each in pixels[part])
            self.raw.append(Run(f"{what} as a list", packed))

    def add_rows(self, rows: Mapping[str, Floats], *, shift: bool = False) -> None:
        """Vectors such as embedding rows (up to scale) or logits (up to scale and a constant)."""
        for what, matrix in rows.items():
            matrix = matrix[np.ptp(matrix, axis=1) > 0]
            if not len(matrix):
                continue
            self.rows.append((what, matrix, shift))
            for row in matrix:
                for start in {0, (len(row) - _CHUNK) // 2, len(row) - _CHUNK}:
                    for form, data in _chunks(row[max(0, start) : max(0, start) + _CHUNK]):
                        self.raw.append(Run(f"{what} as {form}", data))


def distinctive(ids: Sequence[int], width: int, shown: Sequence[int] = ()) -> list[Integers]:
    """The ids from each place on where `width` consecutive ones hardly come about by chance nor stand in `shown`."""
    known = {tuple(shown[start : start + width]) for start in range(len(shown) - width + 1)}
    windows = ((start, ids[start : start + width]) for start in range(len(ids) - width + 1))
    return [
        np.array(ids[start:], dtype=np.int64)
        for start, window in windows
        if tuple(window) not in known
        and len(set(window)) >= max(2, width - 1)
        and len({b - a for a, b in pairwise(window)}) > 1
        and max(window) >= 32
    ]


def _below(ids: Integers, limit: int) -> Integers:
    """The ids up to the first that is not below `limit`."""
    return ids[: np.append(np.flatnonzero(ids >= limit), len(ids))[0]]


def _spellings(word: str) -> Iterable[tuple[str, bytes]]:
    for form in dict.fromkeys((word, word.upper(), word.capitalize())):
        yield "UTF-8", form.encode()
        yield "hexadecimal", form.encode().hex().encode()
        yield "hexadecimal", form.encode().hex().upper().encode()
    for coding in ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"):
        yield coding.upper(), word.encode(coding)
    yield "reversed UTF-8", word[::-1].encode()
    for phase in range(3):
        whole = base64.b64encode(b"\0" * phase + word.encode())
        yield "base64", whole[math.ceil(phase * 8 / 6) : (phase + len(word.encode())) * 8 // 6]


def _cbor(number: int) -> bytes:
    if number < 24:
        return bytes([number])
    size = 1 if number < 1 << 8 else 2 if number < 1 << 16 else 4
    return bytes([23 + size.bit_length()]) + number.to_bytes(size, "big")


def _varint(number: int) -> bytes:
    """As in protocol buffers: seven bits a byte, the lowest first."""
    data = bytearray()
    while number >= 128:
        data.append(number & 127 | 128)
        number >>= 7
    return bytes(data + bytes([number]))


def _chunks(values: Floats) -> Iterable[tuple[str, bytes]]:
    if not values.any():
        return
    yield "float32", values.astype("<f4").tobytes()
    yield "float64", values.astype("<f8").tobytes()
    with np.errstate(over="ignore"):
        half = values.astype("<f2")
    if np.isfinite(half).all() and half.any():
        yield "float16", half.tobytes()
    bits = values.astype("<f4").view("<u4").astype(np.uint64)
    nearest = (bits + 0x7FFF + ((bits >> np.uint64(16)) & np.uint64(1))) >> np.uint64(16)
    yield "bfloat16", nearest.astype("<u2").tobytes()
    yield "bfloat16", (bits >> np.uint64(16)).astype("<u2").tobytes()
