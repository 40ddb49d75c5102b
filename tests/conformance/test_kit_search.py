"""What the search for canaries finds and what it leaves alone, on views made by hand."""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Callable

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unfed.plugins import Array, Entry
from unfed.plugins.conformance.haystack import Seen, streams, texts
from unfed.plugins.conformance.needles import Needles, distinctive
from unfed.plugins.conformance.rows import Rows
from unfed.plugins.conformance.runs import Run, Runs
from unfed.plugins.conformance.search import search
from unfed.plugins.conformance.spelled import Spelled, written_out
from unfed.plugins.conformance.windows import Window, Windows, places_of

VOCAB = 2048
IDS = [731, 44, 1290, 1291, 17, 903, 2001, 5]


def message(party: str = "node", name: str = "tell", at: float = 0.0, **fields: object) -> Seen:
    """An entry as the tape writes it: arrays apart from other values."""
    arrays = {
        key: Array(str(value.dtype), value.shape, value.tobytes())
        for key, value in fields.items()
        if isinstance(value, np.ndarray)
    }
    plain = {key: value for key, value in fields.items() if key not in arrays}
    return Seen(party, Entry(kind="message", name=name, sender="client", at=at, fields=plain, arrays=arrays))


def ids_needles(ids: list[int] = IDS, vocab: int = VOCAB) -> Needles:
    needles = Needles()
    assert needles.add_ids("ids", ids, vocab)
    return needles


def found(seen: Seen | list[Seen], needles: Needles) -> set[str]:
    return {finding.kind for finding in search(seen if isinstance(seen, list) else [seen], needles)}


def varints(ids: list[int]) -> bytes:
    """The packed field of a protocol buffer."""
    return b"".join(bytes([each & 127 | 128, each >> 7]) if each > 127 else bytes([each]) for each in ids)


def cbor(ids: list[int]) -> bytes:
    """A CBOR array of ids up to 65535."""
    items = (
        bytes([each]) if each < 24 else bytes([24, each]) if each < 256 else b"\x19" + each.to_bytes(2, "big")
        for each in ids
    )
    return bytes([0x80 | len(ids)]) + b"".join(items)


@pytest.mark.parametrize("dtype", ["<i2", ">i2", "<u2", "<i4", ">u4", "<i8", ">i8", "<u8", "<f4", "<f8", "<f2"])
@settings(deadline=None)
@given(before=st.binary(max_size=40), after=st.binary(max_size=40), start=st.integers(0, 5))
def test_three_consecutive_ids_are_found_at_any_width_and_place(
    dtype: str, before: bytes, after: bytes, start: int
) -> None:
    data = before + np.array(IDS[start : start + 3]).astype(dtype).tobytes() + after
    assert found(message(data=data), ids_needles()) == {"ids"}


@pytest.mark.parametrize("pack", [msgspec.msgpack.encode, lambda ids: json.dumps(ids).encode(), cbor, varints])
def test_ids_packed_within_bytes_are_found(pack: Callable[[list[int]], bytes]) -> None:
    assert found(message(data=b"\x80?" + pack(IDS)), ids_needles()) == {"ids"}


def test_ids_below_256_are_found_as_bytes_in_longer_runs() -> None:
    ids = [200, 13, 77, 254, 3, 90, 41, 128]
    needles = ids_needles(ids, vocab=256)
    assert found(message(data=b"\0\0" + bytes(ids)), needles) == {"ids"}
    assert found(message(data=b"\0\0" + bytes(ids[:3]) + b"\0" * 9), needles) == set()


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "int32", "int64", "uint64", "float32", "float64"])
def test_ids_are_found_in_arrays_of_any_type(dtype: str) -> None:
    ids = [100, 13, 77, 54, 3, 90]
    assert found(message(data=np.array([ids]).astype(dtype)), ids_needles(ids)) == {"ids"}


def test_ids_that_come_one_by_one_are_put_together_in_order() -> None:
    assert found([message(id=each, at=float(i)) for i, each in enumerate(IDS)], ids_needles()) == {"ids"}
    assert found([message(id=each) for each in sorted(IDS)], ids_needles()) == set()


def test_ids_dealt_out_among_a_coalition_are_put_together_by_time() -> None:
    dealt = [message(("a", "b")[i % 2], id=each, at=float(i)) for i, each in enumerate(IDS)]
    assert found(dealt, ids_needles()) == {"ids"}
    assert found([each for each in dealt if each.party == "a"], ids_needles()) == set()


def test_ids_spelled_out_are_found_in_text_but_not_within_other_numbers() -> None:
    assert found(message(text=f"ids: {IDS}"), ids_needles()) == {"ids"}
    assert found(message(text="7310, 44, 12900"), ids_needles()) == set()


def test_one_hot_rows_are_ids() -> None:
    assert found(message(x=np.eye(VOCAB, dtype="float32")[IDS]), ids_needles()) == {"ids"}


def test_windows_that_repeat_or_count_are_not_searched_for() -> None:
    assert not distinctive([7, 7, 7, 7, 7], 3)
    assert not distinctive([40, 41, 42, 43, 44], 3)
    assert not distinctive([1, 9, 2, 30, 4], 3)
    assert [each.tolist() for each in distinctive([40, 99, 12, 50], 3)] == [[40, 99, 12, 50], [99, 12, 50]]
    assert [each.tolist() for each in distinctive([40, 99, 12, 50], 3, shown=[99, 12, 50])] == [[40, 99, 12, 50]]
    assert not Needles().add_ids("ids", [5] * 20, VOCAB)


def test_small_vocabularies_ask_for_longer_windows() -> None:
    needles = ids_needles([60, 33, 61, 50, 44, 12, 59], vocab=64)
    assert found(message(ids=[60, 33, 61]), needles) == set()
    assert found(message(ids=[60, 33, 61, 50, 44, 12]), needles) == {"ids"}


def word_needles() -> Needles:
    needles = Needles()
    needles.add_words("text", ["zaiquvleplo"])
    return needles


@pytest.mark.parametrize(
    "leak",
    [
        "the zaiquvleplo stands here",
        b"..zaiquvleplo",
        "ZAIQUVLEPLO",
        "zaiquvleplo".encode("utf-16-le"),
        "zaiquvleplo".encode("utf-32-be"),
        b"zaiquvleplo".hex(),
        base64.b64encode(b"zaiquvleplo").decode(),
        base64.b64encode(b"1zaiquvleplo").decode(),
        base64.urlsafe_b64encode(b"12zaiquvleplo??>").decode(),
        ["za", "##iq", "##uv", "lep", "##lo"],
        [ord(letter) for letter in "zaiquvleplo"],
        {"nested": [{"word": "a zaiquvleplo"}]},
        "olpelvuqiaz",
    ],
)
def test_text_is_found_in_many_spellings(leak: object) -> None:
    assert found(message(leak=leak), word_needles()) == {"text"}


def test_text_is_found_letter_by_letter_and_in_method_names() -> None:
    assert found([message(piece=letter) for letter in "zaiquvleplo"], word_needles()) == {"text"}
    assert found(message(name="zaiquvleplo"), word_needles()) == {"text"}
    assert found(message(leak="zaiquvlepla"), word_needles()) == set()


ROWS = np.random.default_rng(2**40).normal(size=(6, 64)).astype("float32")


def row_needles(shift: bool = False) -> Needles:
    needles = Needles()
    needles.add_rows({"rows": ROWS}, shift=shift)
    return needles


@pytest.mark.parametrize(
    "leak",
    [
        ROWS,
        ROWS[3:4],
        ROWS.astype("float16"),
        ROWS.astype("float64"),
        (ROWS * 1000).astype("int32"),
        ROWS[None, 2:3] * -7,
        ROWS + np.float32(1e-4),
        np.concatenate([np.zeros((4, 64)), ROWS[1:2], np.ones((3, 64))]),
        np.pad(ROWS, ((0, 0), (0, 5))),
    ],
)
def test_rows_are_found_up_to_scale(leak: np.ndarray) -> None:
    assert found(message(x=leak), row_needles()) == {"rows"}


def test_rows_are_found_as_raw_bytes_of_any_float_type() -> None:
    bits = ROWS.view("u4")
    for data in (ROWS.tobytes(), ROWS.astype("<f2").tobytes(), (bits >> 16).astype("<u2").tobytes()):
        assert found(message(x=b"\7" + data), row_needles()) == {"rows"}


def test_bfloat16_arrays_are_read() -> None:
    data = (ROWS.view("u4") >> 16).astype("<u2").tobytes()
    entry = Entry(kind="message", name="x", arrays={"h": Array("bfloat16", ROWS.shape, data)})
    assert found(Seen("node", entry), row_needles()) == {"rows"}


@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_logits_are_found_as_probabilities_too(scale: float) -> None:
    exp = np.exp(ROWS * scale)
    for leak in (exp / exp.sum(1, keepdims=True), np.log(exp / exp.sum(1, keepdims=True)), ROWS + 3):
        assert found(message(x=leak), row_needles(shift=True)) == {"rows"}
    assert found(message(x=ROWS + 3), row_needles()) == set()


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_noise_holds_nothing(seed: int) -> None:
    chance = np.random.default_rng(seed)
    needles = Needles()
    needles.add_words("text", ["zaiquvleplo", "brumaiskor"])
    needles.add_ids("ids", IDS, VOCAB)
    needles.add_rows({"rows": ROWS})
    seen = [
        message(
            data=chance.bytes(2000),
            x=chance.normal(size=(20, 64)).astype("float32"),
            ring=chance.integers(0, 2**63, size=(8, 64), dtype="int64"),
            small=chance.integers(0, VOCAB, size=200),
            n=int(chance.integers(VOCAB)),
        )
        for _ in range(5)
    ]
    assert search(seen, needles) == []


def test_nearby_rows_are_not_taken_for_the_same() -> None:
    noisy = ROWS + np.random.default_rng(2).normal(scale=0.05, size=ROWS.shape)
    assert not Rows(ROWS).within(noisy)
    assert Rows(ROWS).within(ROWS.astype("float64"))


def shares(values: np.ndarray, parties: int = 2) -> list[np.ndarray]:
    chance = random.Random(3)
    masks = [
        np.array([chance.getrandbits(64) for _ in range(values.size)], dtype="uint64").reshape(values.shape)
        for _ in range(parties - 1)
    ]
    last = values.astype("int64").view("uint64") - sum(masks[1:], masks[0])
    return [each.view("int64") for each in (*masks, last)]


@pytest.mark.parametrize("bits", [0, 12, 16, 20])
def test_additive_shares_of_ids_are_put_together(bits: int) -> None:
    one, two = shares(np.array(IDS) << bits)
    assert found([message("a", share=one), message("b", share=two)], ids_needles()) == {"ids"}
    assert found([message("a", share=one)], ids_needles()) == set()


def test_shares_of_three_parties_are_put_together() -> None:
    dealt = [message(party, share=share) for party, share in zip("abc", shares(np.array(IDS), 3), strict=True)]
    findings = search(dealt, ids_needles())
    assert [finding.how for finding in findings] == ["sum over all parties"]
    assert search(dealt[:2], ids_needles()) == []


def test_shares_of_rows_are_put_together() -> None:
    one, two = shares((ROWS * 2**16).astype("int64"))
    assert found([message("a", x=one), message("b", y=two)], row_needles()) == {"rows"}


def test_what_is_blinded_by_xor_is_put_together() -> None:
    data = np.frombuffer(b"so the zaiquvleplo said", dtype="uint8")
    pad = np.random.default_rng(4).integers(0, 256, size=data.size, dtype="uint8")
    pair = [message("a", x=(data ^ pad).tobytes()), message("b", x=pad.tobytes())]
    assert found(pair, word_needles()) == {"text"}
    assert found(pair[:1], word_needles()) == set()


def test_a_finding_is_told_once_per_place_and_says_where() -> None:
    seen = [message(a=IDS), message(a=IDS), message(b="zaiquvleplo")]
    assert [str(each) for each in search(seen, ids_needles())] == ["ids as msgpack in 'tell' from client to node"]


def test_streams_and_texts_keep_places_apart() -> None:
    seen = [message(a=1, b=[2, 3], t="ab"), message(a=4, b=[5], t="c!d"), message("other", a=9)]
    numbers = {where: stream.tolist() for where, stream in streams(seen).items()}
    assert numbers == {
        "'tell' from client to node, field a": [1, 4],
        "'tell' from client to node, field b[]": [2, 3, 5],
        "'tell' from client to other, field a": [9],
    }
    assert texts(seen) == {"'tell' from client to node, field t": "abcd"}


def test_the_places_of_a_window_hold_the_whole_of_it() -> None:
    assert places_of(np.array([1, 2, 3, 4, 3, 4]), np.array([3, 4])).tolist() == [2, 4]
    assert not places_of(np.array([1, 2, 3]), np.array([3, 4])).size
    assert not places_of(np.array([3]), np.array([3, 4])).size


NUMBERS = st.integers(-1, 3) | st.integers(-(2**63), 2**63 - 1)


@given(st.lists(st.integers(1, 5).flatmap(lambda width: st.lists(NUMBERS, min_size=width, max_size=width)), max_size=8))
def test_windows_are_found_as_if_each_was_looked_for(wanted: list[list[int]]) -> None:
    named = [Window(str(number), np.array(window, np.int64)) for number, window in enumerate(wanted)]
    planted = [0, 1, *(number for window in wanted[::2] for number in window), 2]
    for numbers in ([], [0, 1, 2, 3], planted, planted * 6000):
        stream = np.array(numbers, np.int64)
        assert set(Windows(named).within(stream)) == {
            each.what for each in named if places_of(stream, each.numbers).size
        }


@given(st.lists(st.sampled_from([b"7", b"17", b"717"]), min_size=1, max_size=4), st.binary(max_size=9))
def test_numbers_that_are_spelled_are_found_as_if_the_pattern_was_tried_everywhere(
    numbers: list[bytes], around: bytes
) -> None:
    spelled = Spelled.of("ids", numbers)
    for between in (b",", b" , \n", b", 7, ", b"7"):
        for data in (around + between.join(numbers) + around, b"7" + between.join(numbers), between.join(numbers * 3)):
            assert spelled.within(data) == bool(spelled.pattern.search(data))
            assert spelled.within(written_out(data, spelled.digits)) == spelled.within(data)


@given(st.lists(st.binary(min_size=1, max_size=6), max_size=8), st.binary(max_size=40))
def test_runs_are_found_as_if_each_was_looked_for(wanted: list[bytes], data: bytes) -> None:
    named = [Run(str(number), run) for number, run in enumerate(wanted)]
    planted = data + b"".join(wanted[::2]) + bytes(5)
    for text in (data, planted, planted * 3000):
        assert set(Runs(named).within(text)) == {run.what for run in named if run.data in text}


@pytest.mark.parametrize("place", [0, *range((1 << 15) - 5, (1 << 15) + 3), 70000 - 5])
def test_what_lies_where_pieces_meet_is_found(place: int) -> None:
    data = np.zeros(70000, np.int64)
    data[place : place + 5] = wanted = [200, 7, 91, 33, 150]
    assert list(Windows([Window("window", np.array(wanted))]).within(data)) == ["window"]
    assert list(Runs([Run("run", bytes(wanted))]).within(data.astype(np.uint8).tobytes())) == ["run"]
