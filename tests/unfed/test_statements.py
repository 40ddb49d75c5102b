"""What nodes sign: it says one thing only, it is the signer's own, and nobody countersigns what it did not receive."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256

import msgspec
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from unfed_sessions import NEXT, SESSION, contexts

from unfed.backends.unfed.client.accounts import CHECKED_WITHIN
from unfed.backends.unfed.integrity.ledger import KEPT, Ledgers
from unfed.backends.unfed.integrity.statements import PREFIX, SCALE, Signed, Trail, fingerprint, raw, read, scaled
from unfed.plugins import Context, UnfedError

quick = settings(max_examples=60, deadline=None)
steps = st.lists(st.tuples(st.integers(0, 300), st.binary(max_size=12)), max_size=5)
SECRET = bytes(32)
LEAVE = bytes.fromhex("66687aadf862bd776c8fc18b8e9f8e20089714856ee233b3902a591d0d5f2925")  # SHA-256 of 32 zeros
RELEASE = sha256(LEAVE).digest()
TENSORS = {"w": torch.arange(4.0)}


def head(session: bytes, sender: str, sent: list[tuple[int, bytes]]) -> bytes:
    trail = Trail(session, sender)
    for start, data in sent:
        trail.add(start, data)
    assert trail.steps == len(sent)
    return trail.head


@quick
@given(steps, steps)
def test_two_trails_are_alike_only_if_the_same_went_over_them(
    one: list[tuple[int, bytes]], other: list[tuple[int, bytes]]
) -> None:
    assert (head(SESSION, "a", one) == head(SESSION, "a", other)) == (one == other)
    assert head(SESSION, "a", one) != head(NEXT, "a", one) and head(SESSION, "a", one) != head(SESSION, "b", one)


def test_where_a_step_ends_is_told_apart() -> None:
    assert head(SESSION, "a", [(0, b"ab"), (0, b"c")]) != head(SESSION, "a", [(0, b"a"), (0, b"bc")])
    assert head(SESSION, "a", [(0, b"ab")]) != head(SESSION, "a", [(1, b"ab")])


@pytest.mark.parametrize("kind", [torch.float32, torch.float16, torch.bfloat16, torch.int32, torch.int64])
def test_bytes_are_those_in_memory(kind: torch.dtype) -> None:
    numbers = torch.arange(12).reshape(3, 4).to(kind)
    assert bytes(raw(numbers.T)) == bytes(raw(numbers.T.contiguous())) != bytes(raw(numbers))
    assert len(raw(numbers)) == 12 * kind.itemsize


def test_a_fingerprint_is_of_names_types_shapes_and_values() -> None:
    tensors = {"a": torch.zeros(2, 3), "b": torch.ones(3)}
    others = [
        {"a": torch.zeros(2, 3), "c": torch.ones(3)},
        {"a": torch.zeros(3, 2), "b": torch.ones(3)},
        {"a": torch.zeros(2, 3, dtype=torch.int32), "b": torch.ones(3)},
        {"a": torch.zeros(2, 3), "b": torch.tensor([1.0, 1.0, 1.0000001])},
        {"a": torch.zeros(2, 3)},
    ]
    assert fingerprint(dict(reversed(tensors.items()))) == fingerprint(tensors)
    assert len({fingerprint(each) for each in (tensors, *others)}) == 1 + len(others)


@pytest.fixture(scope="module")
def known() -> dict[str, Context]:
    return contexts("layers-0", "layers-1", "layers-2")


class Clock:
    """Keeps what is to be done later."""

    def __init__(self) -> None:
        self.due: list[tuple[float, Callable[[], None]]] = []

    def later(self, seconds: float, do: Callable[[], None]) -> None:
        self.due.append((seconds, do))


def node(known: dict[str, Context], number: int, wire: str = "fp32", clock: Clock | None = None) -> Ledgers:
    return Ledgers(known[f"layers-{number}"], (number, number), TENSORS, wire, (clock or Clock()).later)


def stated(known: dict[str, Context], rows: torch.Tensor, release: bytes = RELEASE) -> Signed:
    """By layers-0, which sends `rows`."""
    ledgers = node(known, 0)
    ledgers.of(b"", SESSION, ()).sends(0, rows, rows)
    return ledgers.commit(b"", release, {})


@quick
@given(st.data())
def test_what_was_altered_is_not_believed(known: dict[str, Context], data: st.DataObject) -> None:
    signed = stated(known, torch.ones(1, 2, 4))
    certificate = known["layers-0"].certificate("layers-0")
    assert read(signed, "layers-0", certificate).after == SESSION
    which = data.draw(st.integers(0, 1))
    altered = bytearray(signed[which])
    altered[data.draw(st.integers(0, len(altered) - 1))] ^= data.draw(st.integers(1, 255))
    parts = [bytes(altered) if number == which else part for number, part in enumerate(signed)]
    with pytest.raises(UnfedError, match="layers-0 has not signed") as caught:
        read(Signed(*parts), "layers-0", certificate)
    assert (caught.value.failure.kind, caught.value.failure.party) == ("protocol", "layers-0")


def test_nobody_speaks_for_another(known: dict[str, Context]) -> None:
    signed, certificates = stated(known, torch.ones(1, 2, 4)), known["layers-0"].certificate
    for party, certificate in (
        ("layers-1", certificates("layers-1")),  # its certificate, another's signature
        ("layers-1", certificates("layers-0")),  # another's statement
        ("layers-0", certificates("layers-1")),
        ("layers-0", "no certificate"),
    ):
        with pytest.raises(UnfedError, match=f"{party} has not signed"):
            read(signed, party, certificate)


def test_what_is_signed_and_no_statement_is_refused(known: dict[str, Context]) -> None:
    for data in (b"", b"\xc1", msgspec.msgpack.encode(["layers-0", 1])):
        signed = Signed(data, known["layers-0"].sign(PREFIX + data))
        with pytest.raises(UnfedError, match="layers-0 has not signed"):
            read(signed, "layers-0", known["layers-0"].certificate("layers-0"))
        with pytest.raises(UnfedError, match="layers-0 has not signed"):  # a statement's bytes signed as something else
            read(Signed(data, known["layers-0"].sign(data)), "layers-0", known["layers-0"].certificate("layers-0"))


def test_only_what_came_is_countersigned(known: dict[str, Context]) -> None:
    rows = torch.ones(1, 2, 4)
    for came, release, after in ((rows * 2, RELEASE, SESSION), (rows, NEXT * 2, SESSION), (rows, RELEASE, NEXT)):
        ledgers = node(known, 1)
        ledger = ledgers.of(after, NEXT, ("layers-0",))
        ledger.receives("layers-0", 0, raw(came))
        ledger.sends(0, rows, rows)
        with pytest.raises(UnfedError, match="says that it sent something else") as caught:
            ledgers.commit(after, release, {"layers-0": stated(known, rows)})
        assert caught.value.failure.party == "layers-0"
    ledgers = node(known, 1)
    ledger = ledgers.of(SESSION, NEXT, ("layers-0",))
    ledger.receives("layers-0", 0, raw(rows))
    ledger.sends(0, rows, rows)
    signed = ledgers.commit(SESSION, RELEASE, {"layers-0": stated(known, rows)})
    said = read(signed, "layers-1", known["layers-1"].certificate("layers-1"))
    assert said.came == (head(SESSION, "layers-0", [(0, bytes(raw(rows)))]),) and said.steps == 1
    assert said.sent == said.exact == head(NEXT, "layers-1", [(0, bytes(raw(rows)))])


def test_a_node_opens_what_it_sent_to_whoever_has_leave(known: dict[str, Context]) -> None:
    ledgers, rows = node(known, 1, "fp16"), torch.rand(1, 3, 4)
    ledger = ledgers.of(SESSION, NEXT, ("layers-0",))
    for start, each in ((0, rows[:, :2]), (2, rows[:, 2:])):
        ledger.sends(start, each, each.half())
    with pytest.raises(UnfedError, match="not known"):
        ledgers.reveal(SESSION, SECRET, "verifier")  # it is not stated yet
    ledgers.commit(SESSION, RELEASE, {})
    for secret in (b"", LEAVE, RELEASE, bytes(31) + b"\1"):
        with pytest.raises(UnfedError, match="no leave") as caught:
            ledgers.reveal(SESSION, secret, "verifier")
        assert caught.value.failure.party == "verifier"
    found = ledgers.reveal(SESSION, SECRET, "verifier")
    assert torch.equal(found["rows"], rows[0]) and (found["sizes"], found["starts"]) == ([2, 1], [0, 2])
    with pytest.raises(UnfedError, match="not known"):
        ledgers.reveal(SESSION, SECRET, "verifier")  # it is told once


def test_what_is_stated_is_kept_for_longer_than_clients_ask_unless_they_dismiss_it(known: dict[str, Context]) -> None:
    clock, rows = Clock(), torch.rand(1, 3, 4)
    ledgers = node(known, 1, clock=clock)
    for _ in range(2):
        ledgers.of(SESSION, NEXT, ("layers-0",)).sends(0, rows, rows)
        ledgers.commit(SESSION, RELEASE, {})
        for leave in (b"", RELEASE, bytes(32), SECRET):
            ledgers.drop(SESSION)  # as whoever closes circuits has it done, such as a guard
            ledgers.dismiss(SESSION, leave)
        assert SESSION in ledgers._stated
        ledgers.dismiss(SESSION, LEAVE)
        assert SESSION not in ledgers._stated
    ledgers.of(SESSION, NEXT, ("layers-0",)).sends(0, rows, rows)
    ledgers.commit(SESSION, RELEASE, {})
    (*_, (seconds, forget)) = clock.due
    assert seconds == KEPT > CHECKED_WITHIN
    forget()
    with pytest.raises(UnfedError, match="not known"):
        ledgers.reveal(SESSION, SECRET, "verifier")


def test_what_is_dropped_before_it_is_stated_is_not_kept(known: dict[str, Context]) -> None:
    ledgers, rows = node(known, 1), torch.rand(1, 3, 4)
    ledgers.of(SESSION, NEXT, ("layers-0",)).sends(0, rows, rows)
    ledgers.drop(SESSION)
    with pytest.raises(UnfedError, match="nothing came for"):
        ledgers.commit(SESSION, RELEASE, {})


def test_a_session_that_nothing_came_for_is_not_stated(known: dict[str, Context]) -> None:
    with pytest.raises(UnfedError, match="nothing came for"):
        node(known, 1).commit(SESSION, RELEASE, {})


def test_a_share_is_stated_at_its_scale() -> None:
    """The same words at another scale are other numbers."""
    share = torch.arange(6).reshape(2, 3)
    trails = {scale: head(SESSION, "a", [(0, scaled(share, scale))]) for scale in (0, 7, 18)}
    assert len(set(trails.values())) == 3
    assert scaled(share, 7)[SCALE:] == bytes(raw(share))
