"""Frames: what goes in comes out, however the bytes are cut; anything else is a ValueError and costs nothing."""

from __future__ import annotations

import contextlib
import math
import resource
import subprocess
import sys
import textwrap
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from unfed.console.party import frames
from unfed.console.party.frames import CALL, ECHO, ECHOED, MAX_FRAME, ROUND, SIZES, Frame, Header
from unfed.console.party.reader import FrameReader
from unfed.plugins import Failure, UnfedError

names = st.text(max_size=12)
plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)
shapes = st.lists(st.integers(0, 4), max_size=4).map(tuple)


@st.composite
def tensors(draw: st.DrawFn) -> torch.Tensor:
    """Every element type that travels; empty, 0-d, transposed and strided ones too."""
    dtype, shape = getattr(torch, draw(st.sampled_from(sorted(SIZES)))), draw(shapes)
    raw = draw(st.binary(min_size=0, max_size=16)) + bytes(16)
    count = math.prod(shape)
    if dtype is torch.bool:
        flat = torch.tensor([raw[i % len(raw)] % 2 for i in range(count)], dtype=torch.bool)
    else:
        size = dtype.itemsize
        flat = torch.frombuffer(
            bytearray((raw * (count * size // len(raw) + 1))[: count * size] or bytes(size)), dtype=dtype
        )
        flat = flat[:count]
    tensor = flat.reshape(shape)
    match draw(st.integers(0, 3)):
        case 1 if tensor.dim() > 1:
            tensor = tensor.transpose(0, -1)
        case 2 if tensor.dim() > 0:
            tensor = tensor[::2]
        case 3 if dtype.is_floating_point:
            tensor = tensor.clone().requires_grad_()
    return tensor


def same(a: torch.Tensor, b: torch.Tensor) -> bool:
    """To the bit, so that NaNs count as themselves."""
    if a.dtype != b.dtype or a.shape != b.shape:
        return False
    bits = [each.detach().clone(memory_format=torch.contiguous_format).reshape(-1).view(torch.uint8) for each in (a, b)]
    return torch.equal(*bits)


def encoded(header: Header, fields: dict[str, Any]) -> bytes:
    plain, about, data = frames.pack(fields)
    header = msgspec.structs.replace(header, fields=plain, arrays=tuple(about))
    return b"".join(frames.encode(header, data))


def read(data: bytes, cuts: list[int] | None = None) -> list[Frame]:
    """The frames of a stream that arrives in pieces of these sizes, over and over."""
    reader, found, at, turn = FrameReader(), [], 0, 0
    cuts = cuts or [len(data)]
    while at < len(data):
        room = reader.buffer()
        count = min(len(room), max(1, cuts[turn % len(cuts)]), len(data) - at)
        room[:count] = data[at : at + count]
        found += list(reader.filled(count))
        at, turn = at + count, turn + 1
    return found


@given(
    fields=st.dictionaries(names, plain | tensors(), max_size=5),
    kind=st.integers(CALL, ECHOED),
    number=st.integers(0, frames.MAX_COUNT),
    query=names,
)
@settings(max_examples=300, deadline=None)
def test_round_trip(fields: dict[str, Any], kind: int, number: int, query: str) -> None:
    header = Header(kind, number, "method", query, depth=3, sent=1.5)
    data = encoded(header, fields)
    (frame,) = read(data)
    assert (frame.header.kind, frame.header.id, frame.header.query) == (kind, number, query)
    assert (frame.header.name, frame.header.depth, frame.header.sent) == ("method", 3, 1.5)
    assert frame.size == len(data)
    values = frame.values()
    assert values.keys() == fields.keys()
    for name, value in fields.items():
        if isinstance(value, torch.Tensor):
            assert same(values[name], value)
        else:
            assert values[name] == value and type(values[name]) is type(value)


@pytest.mark.parametrize("dtype", [dtype for dtype in SIZES if dtype != "bfloat16"])
def test_numpy_arrays_travel_and_arrive_as_tensors(dtype: str) -> None:
    array = np.arange(24).astype(dtype).reshape(2, 3, 4)
    for each in (array, array.T, array[:, ::2], array[:0], array[0, 0, 0], np.asfortranarray(array)):
        (frame,) = read(encoded(Header(CALL), {"a": each}))
        arrived = frame.values()["a"]
        assert isinstance(arrived, torch.Tensor) and str(arrived.dtype) == f"torch.{dtype}"
        assert np.array_equal(arrived.numpy(), each)


def test_what_arrives_may_be_written_to() -> None:
    (frame,) = read(encoded(Header(CALL), {"a": torch.zeros(3)}))
    frame.values()["a"] += 1


@pytest.mark.parametrize(
    "value", [torch.zeros(2, dtype=torch.complex64), np.array(["a"]), np.zeros(1, ">f4"), torch.zeros([1] * 17)]
)
def test_arrays_that_do_not_travel_are_named(value: Any) -> None:
    with pytest.raises(UnfedError, match="does not travel") as raised:
        frames.pack({"a": value})
    assert raised.value.failure.kind == "role"


@pytest.mark.parametrize("value", [object(), {"inner": torch.zeros(1)}, 2**64, {1: {2: object()}}])
def test_values_that_do_not_travel_are_refused_by_the_sender(value: Any) -> None:
    with pytest.raises(UnfedError, match="does not travel") as raised:
        encoded(Header(CALL, name="method"), {"a": value})
    assert raised.value.failure.kind == "role"


def test_a_frame_over_the_limit_is_refused_by_the_sender() -> None:
    with pytest.raises(UnfedError, match="over the limit"):
        encoded(Header(CALL), {"a": np.empty(MAX_FRAME, np.uint8)})
    with pytest.raises(UnfedError, match="over the limit"):
        encoded(Header(CALL), {"a": bytes(frames.MAX_HEADER)})


@given(
    sizes=st.lists(st.sampled_from([0, 1, 15, 16, 17, 1000, 65_000, 65_536, 70_000, 200_000]), min_size=1, max_size=6),
    data=st.data(),
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_the_same_frames_however_the_stream_is_cut(sizes: list[int], data: st.DataObject) -> None:
    stream = b"".join(
        encoded(
            Header(CALL, number, query="q"), {"a": torch.full((size,), number % 256, dtype=torch.uint8), "n": number}
        )
        for number, size in enumerate(sizes)
    )
    cuts = data.draw(st.lists(st.sampled_from([1, 2, 3, 4, 5, 7, 100, 4096, 65_536, 10**6]), min_size=1, max_size=5))
    if min(cuts) < 100 and len(stream) > 20_000:
        cuts = [cut for cut in cuts if cut >= 100] or [977]
    found = read(stream, cuts)
    assert [(frame.header.id, frame.size) for frame in found] == [
        (frame.header.id, frame.size) for frame in read(stream)
    ]
    for number, (frame, size) in enumerate(zip(found, sizes, strict=True)):
        assert frame.values()["n"] == number
        assert frame.values()["a"].tolist() == [number % 256] * size


def test_one_byte_at_a_time() -> None:
    stream = b"".join(encoded(Header(CALL, number), {"a": torch.arange(number)}) for number in range(5))
    assert [frame.header.id for frame in read(stream, [1])] == list(range(5))


@pytest.mark.parametrize("cuts", [[1], [10**6]])
def test_whole_frames_before_a_malformed_one_are_delivered(cuts: list[int]) -> None:
    stream = encoded(Header(CALL, 1), {}) + encoded(Header(CALL, 2), {}) + b"\x02\0\0\0garbage"
    reader, found, at = FrameReader(), [], 0
    with pytest.raises(ValueError, match="announced"):
        while at < len(stream):
            count = min(cuts[0], len(stream) - at)
            reader.buffer()[:count] = stream[at : at + count]
            at += count
            for frame in reader.filled(count):
                found.append(frame.header.id)
    assert found == [1, 2]


@given(tensors(), st.integers(0, 40))
@settings(deadline=None)
def test_arrays_are_aligned(tensor: torch.Tensor, pad: int) -> None:
    (frame,) = read(encoded(Header(CALL, name="m" * pad), {"a": tensor, "b": tensor}))
    for name in ("a", "b"):
        arrived = frame.values()[name]
        assert not arrived.numel() or arrived.data_ptr() % arrived.element_size() == 0
        assert not arrived.numel() or arrived.data_ptr() % 16 == 0


@given(st.binary(max_size=300))
@settings(max_examples=1000, deadline=None)
def test_arbitrary_bytes_are_a_frame_or_a_value_error(data: bytes) -> None:
    with contextlib.suppress(ValueError):
        frames.decode(bytearray(data)).values()


@given(st.binary(max_size=200), st.integers(0, 2**32 - 1))
@settings(max_examples=500, deadline=None)
def test_arbitrary_headers_are_a_frame_or_a_value_error(data: bytes, announced: int) -> None:
    for length in (len(data), announced):
        with contextlib.suppress(ValueError):
            frames.decode(bytearray(length.to_bytes(4, "little") + data)).values()


MUTANTS = [
    encoded(
        Header(CALL, 7, "method", "query", 2, 1.0),
        {"x": {"a": [1, 2.5, None, "text", b"bytes"]}, "t": torch.arange(6).reshape(2, 3)},
    ),
    encoded(
        Header(ROUND, 1, "rounds"),
        {"b": torch.tensor([True, False]), "e": torch.empty(0, 3), "h": torch.ones(4, dtype=torch.bfloat16)},
    ),
    b"".join(frames.encode(Header(frames.FAULT, 3, failure=Failure(kind="role", message="it broke", party="node")))),
    b"".join(frames.encode(Header(ECHO, 1 << 47, sent=1.0))),
]


@given(data=st.data(), base=st.sampled_from(MUTANTS))
@settings(max_examples=3000, deadline=None)
def test_mutated_frames_are_a_frame_or_a_value_error(data: st.DataObject, base: bytes) -> None:
    mutant = bytearray(base)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(mutant)))
        match data.draw(st.integers(0, 3)):
            case 0 if at < len(mutant):
                mutant[at] = data.draw(st.integers(0, 255))
            case 1:
                mutant[at:at] = data.draw(st.binary(min_size=1, max_size=6))
            case 2:
                del mutant[at : at + data.draw(st.integers(1, 6))]
            case 3:
                mutant[at : at + 4] = data.draw(
                    st.sampled_from([b"\xff\xff\xff\xff", b"\0\0\0\0", b"\xdd\xff\xff\xff", b"\xc7\xff\x05"])
                )
    try:
        for frame in read(bytes(mutant)):
            frame.values()
            frame.kept()
            msgspec.msgpack.encode(frame.header.fields)
    except ValueError:
        pass


BAD_HEADERS: dict[str, list[Any]] = {
    "unknown kind": [ECHOED + 1],
    "negative kind": [-1],
    "kind of the wrong type": ["call"],
    "negative id": [0, -1],
    "an id that overflows": [0, 2**63],
    "depth that would overflow the next message's": [0, 0, "m", "q", 2**64 - 1],
    "time that is no number": [0, 0, "m", "q", 0, math.nan],
    "time before all time": [0, 0, "m", "q", 0, -math.inf],
    "a name of the wrong type": [0, 0, 5],
    "a name without end": [0, 0, "m" * 5000],
    "fields that are a list": [0, 0, "m", "q", 0, 0.0, [1]],
    "fields named by numbers": [0, 0, "m", "q", 0, 0.0, {1: 2}],
    "an unknown element type": [0, 0, "m", "q", 0, 0.0, {}, [["a", "object", []]]],
    "an element type of another kind": [0, 0, "m", "q", 0, 0.0, {}, [["a", "__class__", []]]],
    "a negative extent": [0, 0, "m", "q", 0, 0.0, {}, [["a", "int8", [-1]]]],
    "extents that overflow": [0, 0, "m", "q", 0, 0.0, {}, [["a", "int8", [2**32, 2**32, 2**32]]]],
    "extents that overflow beside a zero": [0, 0, "m", "q", 0, 0.0, {}, [["a", "int8", [0, 2**28, 2**28, 2**28]]]],
    "too many dimensions": [0, 0, "m", "q", 0, 0.0, {}, [["a", "int8", [0] * 5000]]],
    "an array without bytes": [0, 0, "m", "q", 0, 0.0, {}, [["a", "int8", [4]]]],
    "a name that stands twice": [0, 0, "m", "q", 0, 0.0, {"a": 1}, [["a", "int8", [0]]]],
    "an array that stands twice": [0, 0, "m", "q", 0, 0.0, {}, [["a", "int8", [0]], ["a", "int8", [0]]]],
    "a failure of an unknown kind": [3, 1, "m", "q", 0, 0.0, {}, [], {"kind": "boom", "message": "x"}],
    "a failure without a message": [3, 1, "m", "q", 0, 0.0, {}, [], {"kind": "role"}],
    "an extension": [0, 0, "m", "q", 0, 0.0, {"a": msgspec.msgpack.Ext(5, b"x")}],
    "nothing": [],
}


@pytest.mark.parametrize("why", BAD_HEADERS)
def test_headers_that_do_not_hold(why: str) -> None:
    head = msgspec.msgpack.encode(BAD_HEADERS[why])
    with pytest.raises(ValueError):
        frames.decode(bytearray(len(head).to_bytes(4, "little") + head)).values()


def test_booleans_that_are_neither() -> None:
    data = bytearray(encoded(Header(CALL), {"a": torch.tensor([True, False])}))
    data[-1] = 2
    with pytest.raises(ValueError, match="neither true nor false"):
        read(bytes(data))


def test_bytes_that_belong_to_nothing() -> None:
    body = encoded(Header(CALL), {"a": torch.zeros(4)})[4:]
    with pytest.raises(ValueError, match="belong to nothing"):
        frames.decode(bytearray(body + b"x"))
    with pytest.raises(ValueError, match="reaches beyond"):
        frames.decode(bytearray(body[:-1]))


@pytest.mark.parametrize("length", [0, 4, MAX_FRAME + 1, 2**32 - 1])
def test_lengths_out_of_bounds(length: int) -> None:
    with pytest.raises(ValueError, match="announced"):
        frames.length_of(length.to_bytes(4, "little"))
    assert frames.length_of((5).to_bytes(4, "little")) == 5
    assert frames.length_of(MAX_FRAME.to_bytes(4, "little")) == MAX_FRAME


def test_announced_bytes_cost_nothing_until_they_come() -> None:
    def used() -> int:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    before = used()
    readers = [FrameReader() for _ in range(16)]
    for reader in readers:
        reader.buffer()[:8] = MAX_FRAME.to_bytes(4, "little") + b"\0\0\0\0"
        assert list(reader.filled(8)) == []
        assert reader.buffer().nbytes == MAX_FRAME - 4
    assert used() - before < 64 << 10, "kilobytes, of the four gigabytes that were announced"


def test_lengths_within_a_header_cost_nothing() -> None:
    """Counts of elements that are announced and do not come; under a limit that any allocation for them would break."""
    program = """
        import resource
        from unfed.console.party import frames
        resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))
        start = b"\\0\\0\\xa0\\xa0\\0\\0"
        for head in (
            b"\\xdd\\xff\\xff\\xff\\xff",  # the header itself
            b"\\x97" + start + b"\\xdf\\xff\\xff\\xff\\xff",  # its fields
            b"\\x97" + start + b"\\x81\\xa1a\\xdd\\x7f\\xff\\xff\\xff",  # a list in a field
            b"\\x97" + start + b"\\x81\\xa1a\\xc6\\x7f\\xff\\xff\\xff",  # bytes in a field
            b"\\x98" + start + b"\\x80\\xdd\\x7f\\xff\\xff\\xff",  # its arrays
            b"\\x91" * 100000,
        ):
            try:
                frames.decode(bytearray(len(head).to_bytes(4, "little") + head))
            except ValueError as error:
                print("refused", error)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, timeout=60)
    assert done.stdout.count("refused") == 6, done.stderr
