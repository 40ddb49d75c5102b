"""Options, errors, reward schemes, traces and views: the small things of the contract."""

from __future__ import annotations

import math
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from unfed.plugins import (
    Array,
    Backend,
    Contribution,
    Entry,
    Event,
    Failed,
    Failure,
    LinkCount,
    Models,
    Options,
    Plan,
    Query,
    Requirement,
    Role,
    Started,
    Token,
    Trace,
    UnfedError,
    View,
    serve,
)
from unfed.plugins.options import nearest, read_options
from unfed.plugins.rewards import unfed_reward_schemes
from unfed.plugins.rewards.equal import Equal
from unfed.plugins.rewards.work import Work
from unfed.plugins.view import ViewWriter


class SomeOptions(Options):
    shards: int = Field(default=3, ge=1)
    """How many."""
    names: list[str] = Field(default=["a"])
    """Which."""


def test_options_come_from_strings_as_from_values() -> None:
    read = read_options("b", SomeOptions, {"shards": "2"})
    assert isinstance(read, SomeOptions) and read.shards == 2 and read.names == ["a"]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"shard": 2}, "b has no option 'shard' (did you mean 'shards'?)"),
        ({"zzz": 2}, "(known: names, shards)"),
        ({"shards": "two"}, "b.shards = 'two'"),
        ({"shards": 0}, "greater than or equal to 1"),
        ({"names": [1]}, "b.names.0 = 1"),
    ],
)
def test_options_that_do_not_fit_are_named(values: dict[str, object], said: str) -> None:
    with pytest.raises(UnfedError) as caught:
        read_options("b", SomeOptions, values)
    assert said in str(caught.value) and caught.value.failure.kind == "bad-input"


def test_options_are_documented_by_what_stands_below_them_and_do_not_change() -> None:
    assert SomeOptions.model_fields["shards"].description == "How many."
    with pytest.raises(ValueError, match="frozen"):
        SomeOptions().shards = 5  # type: ignore[misc]


def test_nothing_known_is_said_so() -> None:
    assert nearest("x", []) == "there is none"


# -- backends


class Needy(Backend):
    name, title = "needy", "Needy"
    requires = (Requirement("json.decoder", "none"), Requirement("no_such_module.inner", "pip install no-such"))

    def plan(self, models: Models, options: Options) -> Plan:
        raise NotImplementedError


def test_what_is_missing_is_known_without_importing_it() -> None:
    assert [need.install for need in Needy.missing()] == ["pip install no-such"]


def test_the_slot_model_is_every_backends_unless_it_says_otherwise() -> None:
    assert list(Needy.slots) == ["model"] and Needy.Options().model_dump() == {}


# -- errors


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        (Failure(kind="role", message="it broke"), "it broke"),
        (Failure(kind="role", message="it broke", party="node"), "node: it broke"),
        (Failure(kind="role", message="node broke", party="node", hint="mend it"), "node broke (mend it)"),
    ],
)
def test_a_failure_reads_as_a_sentence(failure: Failure, said: str) -> None:
    assert str(failure) == said == str(UnfedError.of(failure))
    assert UnfedError.of(failure).failure == failure


# -- events


@pytest.mark.parametrize(
    "event", [Started(), Token(id=1, text="x", logits=b"\0\1"), Failed(error=Failure(kind="timeout", message="late"))]
)
def test_events_are_told_apart_on_the_wire(event: Event) -> None:
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(event), type=Event) == event


def test_a_trace_adds_up_and_says_from_and_to() -> None:
    trace = Trace(
        links=(LinkCount(source="a", target="b", messages=2, bytes=5), LinkCount(source="b", target="a", bytes=7))
    )
    assert (trace.messages, trace.bytes) == (2, 12)
    assert msgspec.to_builtins(trace)["links"][0] == {"from": "a", "to": "b", "messages": 2, "bytes": 5}


async def test_a_client_role_without_an_answer_says_so() -> None:
    from unfed.plugins import ClientRole

    with pytest.raises(NotImplementedError, match="Mute does not answer"):
        type("Mute", (ClientRole,), {})(None).answer(Query(id="q", prompt="p"))


def test_served_methods_are_marked() -> None:
    class Node(Role):
        @serve
        async def echo(self, sender: str, *, word: str) -> str:
            return word

    assert Node.echo.__unfed_serves__  # type: ignore[attr-defined]


# -- rewards


def did(**work: float) -> list[Contribution]:
    return [Contribution(party=party, amounts={"layer_tokens": amount}) for party, amount in work.items()]


def test_equal_shares_are_equal_whatever_was_done() -> None:
    assert Equal().shares(did(a=9, b=0)) == {"a": 0.5, "b": 0.5} and Equal().shares([]) == {}


def test_work_is_paid_in_proportion() -> None:
    assert Work().shares(did(a=3, b=1)) == {"a": 0.75, "b": 0.25}
    assert Work().shares(did(a=2, b=-5)) == {"a": 1.0, "b": 0.0}
    assert Work().shares(did(a=0)) == {} and Work().shares([Contribution(party="a")]) == {}


@given(st.dictionaries(st.text(min_size=1, max_size=3), st.floats(0, 1e12), min_size=1, max_size=6))
def test_shares_of_every_built_in_scheme_are_a_split(work: dict[str, float]) -> None:
    for scheme in unfed_reward_schemes():
        shares = scheme().shares(did(**work))
        assert all(share >= 0 for share in shares.values())
        assert not shares or math.isclose(sum(shares.values()), 1, abs_tol=1e-9)


# -- views


def test_a_view_gives_back_what_was_written_until_it_was_cut_short(tmp_path: Path) -> None:
    entries = [
        Entry(kind="message", name="forward", sender="client", query="q1", at=1.5, fields={"n": 1}, frame=b"head"),
        Entry(kind="held", name="cache", query="q1", arrays={"k": Array("float32", (2,), b"\0" * 8)}),
        Entry(kind="message", name="forward", sender="client", query="q2"),
    ]
    path = tmp_path / "node.view"
    with path.open("wb") as file:
        writer = ViewWriter(file)
        for entry in entries:
            writer.write(entry)
        writer.flush()
    view = View("node", path)
    assert list(view) == entries == list(view)
    assert [entry.query for entry in view.messages()] == ["q1", "q2"]
    assert [entry.query for entry in view.messages("q2")] == ["q2"]
    whole = path.read_bytes()
    for cut in (1, 5, 40):
        path.write_bytes(whole[:-cut])
        assert list(view) == entries[:2]


def test_the_haystack_holds_frames_fields_and_arrays(tmp_path: Path) -> None:
    path = tmp_path / "node.view"
    with path.open("wb") as file:
        ViewWriter(file).write(
            Entry(
                kind="message",
                name="x",
                fields={"t": "needle"},
                frame=b"raw",
                arrays={"a": Array("uint8", (3,), b"abc")},
            )
        )
    stack = list(View("node", path).haystack())
    assert b"raw" in stack and b"abc" in stack and any(b"needle" in each for each in stack)


@pytest.mark.parametrize("dtype", ["float32", "float16", "float64", "int8", "uint16", "int64", "bool"])
def test_arrays_are_read_as_they_were(dtype: str) -> None:
    values = np.arange(6).reshape(2, 3).astype(dtype)
    np.testing.assert_array_equal(Array(dtype, (2, 3), values.tobytes()).numpy(), values)


def test_bfloat16_is_widened() -> None:
    data = np.array([0x3F80, 0xC000, 0x0000], dtype="<u2").tobytes()
    np.testing.assert_array_equal(Array("bfloat16", (3,), data).numpy(), np.array([1.0, -2.0, 0.0], dtype="float32"))
