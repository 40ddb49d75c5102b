"""Doing again what nodes signed: honest ones are never at fault, others are, and a proof cannot be made to say more."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from random_models import save_gpt2, save_llama, save_qwen2
from unfed_sessions import Change, Rig

from unfed.backends.unfed.integrity.audit import deviation
from unfed.backends.unfed.integrity.proof import Proof, Rows, Step, decode, encode
from unfed.backends.unfed.promises import TOLERANCE
from unfed.plugins import UnfedError

STEPS = ((5, 17, 300, 42, 8), (9,), (77,), (3,))
CUTS = ((0, 0), (1, 2), (3, 3))
AFTER = ((1, 1), (2, 2), (3, 3))
"""Where the entries run the first layer."""
quick = settings(max_examples=150, deadline=None)


@pytest.fixture(scope="module")
def rigs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Rig]:
    saves: dict[str, Callable[[Path], Path]] = {"llama": save_llama, "gpt2": save_gpt2, "qwen2": save_qwen2}
    return {name: Rig(save(tmp_path_factory.mktemp(name)), *CUTS) for name, save in saves.items()}


@pytest.fixture(scope="module")
def rig(rigs: dict[str, Rig]) -> Rig:
    return rigs["llama"]


@pytest.fixture(scope="module")
def after(rigs: dict[str, Rig]) -> dict[str, Rig]:
    return {name: Rig(Path(rig.model.card.path), *AFTER) for name, rig in rigs.items()}


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def session(rig: Rig, wire: str = "fp32", at: int = -1, **change: Change) -> list[Proof]:
    """What all state of one, where node `at` does something else."""
    asked = rig.asks(STEPS)
    if rig.shared:
        given = rig.computes(asked)
        proofs = [rig.computed(party, asked, given) for party in (0, 1)]
    else:
        proofs, given = [rig.entry(party, asked) for party in (0, 1)], asked.shares
    for number in range(len(rig.shards)):
        proof, on = rig.layers(number, given, wire, **(change if number == at else {}))
        proofs.append(proof)
        given = [on]
    return proofs


@pytest.mark.parametrize("wire", ["fp32", "fp16", "bf16"])
@pytest.mark.parametrize("family", ["llama", "gpt2", "qwen2"])
def test_honest_nodes_are_not_accused_whatever_the_threads(
    rigs: dict[str, Rig], threads: None, family: str, wire: str
) -> None:
    torch.set_num_threads(1)
    proofs = session(rigs[family], wire)
    for count in (1, 2):
        torch.set_num_threads(count)
        assert [rigs[family].judge.fault(decode(encode(proof))) for proof in proofs] == [""] * 5


@pytest.mark.parametrize("wire", ["fp32", "fp16"])
@pytest.mark.parametrize("family", ["llama", "gpt2", "qwen2"])
def test_honest_nodes_are_not_accused_where_the_entries_run_layers(
    after: dict[str, Rig], family: str, wire: str
) -> None:
    """And of the entries, whose part nobody can do again, nothing is ever proven."""
    entries, nodes = (proofs := session(after[family], wire))[:2], proofs[2:]
    assert [after[family].judge.fault(decode(encode(proof))) for proof in nodes] == [""] * 3
    for proof in entries:
        with pytest.raises(UnfedError, match="states layers or a type that there are none of"):
            after[family].judge.fault(proof)


@pytest.mark.parametrize("at", range(3))
def test_one_number_off_is_found_where_the_entries_run_layers(after: dict[str, Rig], at: int) -> None:
    rig = after["llama"]
    found = [rig.judge.fault(proof) for proof in session(rig, at=at, change=by(1.1 * TOLERANCE))[2:]]
    assert "off by 0.0011" in found.pop(at) and not any(found)


def by(amount: float) -> Change:
    def change(rows: torch.Tensor) -> torch.Tensor:
        changed = rows.clone()
        changed[0, -1, 3] += amount * rows[0, -1].square().mean().sqrt()
        return changed

    return change


def faults(rig: Rig, at: int, wire: str = "fp32", **change: Change) -> list[str]:
    return [rig.judge.fault(proof) for proof in session(rig, wire, at, **change)]


@pytest.mark.parametrize("wire", ["fp32", "fp16"])
@pytest.mark.parametrize("at", range(3))
def test_one_number_off_by_more_than_the_tolerance_is_found_and_no_other_node_accused(
    rig: Rig, at: int, wire: str
) -> None:
    assert faults(rig, at, wire, change=by(0.9 * TOLERANCE)) == [""] * 5
    found = faults(rig, at, wire, change=by(1.1 * TOLERANCE))
    assert "off by 0.0011" in found[2 + at] and not any(found[: 2 + at] + found[3 + at :])


@pytest.mark.parametrize(
    "change",
    [
        lambda rows: rows[:, :-1] if rows.shape[1] > 1 else rows,
        lambda rows: rows * float("nan"),
        torch.zeros_like,
        lambda rows: rows.flip(-1),
    ],
)
def test_what_is_no_result_at_all_is_found(rig: Rig, change: Change) -> None:
    asked = rig.asks(STEPS)
    proof, _ = rig.layers(0, asked.shares, change=change)
    assert rig.judge.fault(proof).startswith("computed something else: off by ")


def test_only_the_last_node_may_send_the_last_rows_alone(rig: Rig) -> None:
    asked = rig.asks(STEPS)
    proof, _ = rig.layers(0, asked.shares, change=lambda rows: rows[:, -1:])
    assert "off by inf" in rig.judge.fault(proof)
    assert not any(rig.judge.fault(each) for each in session(rig))


def test_results_of_other_places_are_found(rig: Rig) -> None:
    wanted = [Rows(0, torch.ones(2, 4))]
    assert deviation(wanted, wanted) == 0
    assert deviation(wanted, [Rows(1, torch.ones(2, 4))]) == float("inf")
    assert deviation(wanted, []) == float("inf")
    proof, _ = rig.layers(0, rig.asks(STEPS).shares)
    moved = tuple(Step(step.start + 1, step.rows, step.dtype, step.data) for step in proof.outputs)
    with pytest.raises(UnfedError, match="not what layers-0 signed"):
        rig.judge.fault(msgspec.structs.replace(proof, outputs=moved))


@pytest.mark.parametrize("wire", ["fp16", "bf16"])
def test_sending_something_else_than_what_it_computed_is_found(rig: Rig, wire: str) -> None:
    found = faults(rig, 1, wire, send=lambda rows: rows * 1.5)
    assert found == ["", "", "", "sent something else than it computed", ""]


@pytest.mark.parametrize("party", [0, 1])
def test_an_entry_that_sends_other_shares_is_found(rig: Rig, party: int) -> None:
    asked = rig.asks(STEPS)
    assert rig.judge.fault(rig.entry(party, asked)) == ""
    assert rig.judge.fault(rig.entry(party, asked, lambda rows: rows + 1)) == "sent shares that its keys do not give"


def test_a_node_is_not_held_to_what_has_no_result(rig: Rig) -> None:
    """Whoever is given no numbers can do nothing with them: it is the one before who is at fault."""
    given = [[Rows(0, torch.full((2, rig.model.card.hidden), float("nan")))]]
    proof, _ = rig.layers(1, given)
    with pytest.raises(UnfedError, match="no finite numbers"):
        rig.judge.fault(proof)


# -- proofs


@pytest.fixture(scope="module")
def honest(rig: Rig, after: dict[str, Rig]) -> list[Proof]:
    return [proof for each in (rig, after["llama"]) for wire in ("fp32", "fp16") for proof in session(each, wire)]


@pytest.fixture(scope="module")
def guilty(rig: Rig, after: dict[str, Rig]) -> list[Proof]:
    wrong = rig.entry(0, rig.asks(STEPS), lambda rows: rows + 1)
    later = session(after["llama"], at=0, change=by(0.5))[2]
    return [
        wrong,
        later,
        session(rig, at=1, change=by(0.5))[3],
        session(rig, "fp16", at=0, send=lambda rows: rows * 2)[2],
    ]


def test_a_proof_holds_for_whoever_reads_it(rig: Rig, guilty: list[Proof]) -> None:
    for proof in guilty:
        assert decode(encode(proof)) == proof
        assert Rig(rig.model.card.path).judge.fault(decode(encode(proof)))


def flipped(data: st.DataObject, text: bytes) -> bytes:
    altered = bytearray(text)
    altered[data.draw(st.integers(0, len(altered) - 1))] ^= data.draw(st.integers(1, 255))
    return bytes(altered)


def altered(data: st.DataObject, proof: Proof) -> Proof:
    """One thing that the proof says is another."""
    what = data.draw(st.sampled_from(["statement", "signature", "inputs", "outputs", "senders", "party"]))
    if what in ("statement", "signature"):
        return msgspec.structs.replace(proof, **{what: flipped(data, getattr(proof, what))})
    if what == "senders":
        others = data.draw(st.lists(st.sampled_from(["client", "entry-0", "entry-1", "layers-0"]), max_size=3))
        return msgspec.structs.replace(proof, senders=tuple(others))
    if what == "party":
        return msgspec.structs.replace(proof, party=data.draw(st.sampled_from(["entry-0", "entry-1", "layers-2", ""])))
    lists = [list(each) for each in (proof.inputs if what == "inputs" else (proof.outputs,))]
    steps = data.draw(st.sampled_from(lists))
    if not steps:
        return proof
    number = data.draw(st.integers(0, len(steps) - 1))
    step = steps[number]
    field = data.draw(st.sampled_from(["start", "rows", "dtype", "data", "gone", "twice"]))
    if field == "gone":
        del steps[number]
    elif field == "twice":
        steps.insert(number, step)
    else:
        other = {
            "start": lambda: data.draw(st.integers(0, 2**62 - 1)),
            "rows": lambda: data.draw(st.integers(-2, 40)),
            "dtype": lambda: data.draw(
                st.sampled_from(["float32", "float16", "bfloat16", "int32", "int64", "float64", ""])
            ),
            "data": lambda: flipped(data, step.data),
        }[field]()
        steps[number] = msgspec.structs.replace(step, **{field: other})
    found = tuple(tuple(each) for each in lists)
    return msgspec.structs.replace(proof, **({"inputs": found} if what == "inputs" else {"outputs": found[0]}))


@settings(max_examples=500, deadline=None)
@given(st.data())
def test_no_alteration_makes_a_proof_against_an_honest_node(rig: Rig, honest: list[Proof], data: st.DataObject) -> None:
    proof = altered(data, data.draw(st.sampled_from(honest)))
    with contextlib.suppress(UnfedError):
        assert rig.judge.fault(proof) == ""


@quick
@given(st.data())
def test_altered_bytes_of_a_proof_are_not_believed(rig: Rig, guilty: list[Proof], data: st.DataObject) -> None:
    """Of the bytes that are under the signature, or are it."""
    proof = data.draw(st.sampled_from(guilty))
    if data.draw(st.booleans()):
        what = data.draw(st.sampled_from(["statement", "signature"]))
        proof = msgspec.structs.replace(proof, **{what: flipped(data, getattr(proof, what))})
    else:
        inputs = [list(each) for each in proof.inputs]
        steps = data.draw(st.sampled_from(inputs))
        number = data.draw(st.integers(0, len(steps) - 1))
        steps[number] = msgspec.structs.replace(steps[number], data=flipped(data, steps[number].data))
        proof = msgspec.structs.replace(proof, inputs=tuple(tuple(each) for each in inputs))
    with pytest.raises(UnfedError):
        rig.judge.fault(proof)


@quick
@given(st.data())
def test_altered_files_of_proofs_crash_nobody(
    rig: Rig, honest: list[Proof], guilty: list[Proof], data: st.DataObject
) -> None:
    which = data.draw(st.sampled_from([*honest, *guilty]))
    text = flipped(data, encode(which))
    try:
        found = rig.judge.fault(decode(text))
    except UnfedError:
        return
    assert not found or which in guilty


@quick
@given(st.one_of(st.binary(max_size=200), st.text(max_size=200).map(str.encode)))
def test_anything_else_is_no_proof(text: bytes) -> None:
    with pytest.raises(UnfedError, match="this is no proof"):
        decode(text)
