"""`plain` and `split` answer alike: roles wired to each other in one process."""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path
from typing import Any

import pytest
import torch
from fakes import FakeFleet, card_of, current_query
from random_models import save_gpt2, save_llama, save_qwen2
from transformers import AutoModelForCausalLM, AutoTokenizer

from unfed.backends.plain.backend import Plain
from unfed.backends.split.backend import Split
from unfed.plugins import Backend, Query, UnfedError

SAVE: dict[str, Any] = {
    "llama": lambda folder: save_llama(folder, kv_heads=2, generation={"eos_token_id": None}),
    "llama-tied": lambda folder: save_llama(folder, tied=True, generation={"repetition_penalty": 1.3}),
    "qwen2": lambda folder: save_qwen2(folder, sliding_window=6),
    "gpt2": lambda folder: save_gpt2(folder),
}
PROMPT = "a large animal with four legs => "
PLACES = [
    dict(zip(("embedding", "head"), pair, strict=True)) for pair in itertools.product(("client", "node"), repeat=2)
]


@pytest.fixture(scope="module", params=SAVE)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return SAVE[request.param](tmp_path_factory.mktemp("model") / request.param)  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_llama(tmp_path_factory.mktemp("model") / "llama", context=48, generation={"eos_token_id": None})


async def fleet(backend: type[Backend], folder: Path, **options: Any) -> FakeFleet:
    card = card_of(folder)
    return await FakeFleet(backend().plan({"model": card}, backend.Options(**options)), card).start()


def ask(prompt: str = PROMPT, **about: Any) -> Query:
    return Query(id=about.pop("id", "q1"), prompt=prompt, **{"max_new_tokens": 24, "logits": True, **about})


async def test_plain_is_generate_token_for_token(folder: Path) -> None:
    tokens, answer = await (await fleet(Plain, folder)).answer(ask())
    tokenizer = AutoTokenizer.from_pretrained(folder)
    inputs = tokenizer(PROMPT, return_tensors="pt")
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    expected = model.generate(
        **inputs, max_new_tokens=24, do_sample=False, output_logits=True, return_dict_in_generate=True
    )
    ids = expected.sequences[0, inputs["input_ids"].shape[1] :].tolist()
    assert list(answer.token_ids) == ids == [token.id for token in tokens]
    assert answer.text == tokenizer.decode(ids, skip_special_tokens=True)
    assert len(set(ids)) > 8
    for token, logits in zip(tokens, expected.logits, strict=True):
        assert token.logits == logits[0].numpy().tobytes()


@pytest.mark.parametrize("options", [{"shards": 1}, {"shards": 4}, *PLACES])
async def test_split_equals_plain_bit_for_bit(options: dict[str, Any], folder: Path) -> None:
    expected, reference = await (await fleet(Plain, folder)).answer(ask())
    parties = await fleet(Split, folder, **options)
    tokens, answer = await parties.answer(ask())
    assert (answer, tokens) == (reference, expected)


@pytest.mark.parametrize("wire_dtype", ["fp16", "bf16"])
async def test_narrow_wires_halve_the_bytes_and_stay_close(wire_dtype: str, folder: Path) -> None:
    expected, _ = await (await fleet(Plain, folder)).answer(ask(max_new_tokens=1))
    sizes = {}
    for dtype in ("fp32", wire_dtype):
        parties = await fleet(Split, folder, wire_dtype=dtype)
        tokens, _ = await parties.answer(ask(max_new_tokens=1))
        hidden = [fields["hidden"] for *_, fields in parties.messages]
        sizes[dtype] = sum(each.nbytes for each in hidden)
        assert {each.dtype for each in hidden} == {
            {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}[dtype]
        }
    assert sizes[wire_dtype] * 2 == sizes["fp32"]
    assert tokens[0].logits and expected[0].logits
    found, true = (torch.frombuffer(bytearray(each[0].logits), dtype=torch.float32) for each in (tokens, expected))  # type: ignore[arg-type]
    error = (found - true).abs().max()
    assert 0 < error < 0.15 * true.abs().max()


async def test_hidden_states_that_do_not_fit_float16_are_an_error_and_not_infinity(llama: Path) -> None:
    parties = await fleet(Split, llama, wire_dtype="fp16")
    table = parties.roles["client"]._embedding.tokens  # type: ignore[attr-defined]
    table.weight = torch.nn.Parameter(table.weight * 1e7, requires_grad=False)
    with pytest.raises(UnfedError, match="float16") as failed:
        await parties.answer(ask())
    assert "bf16" in str(failed.value.failure.hint)


async def test_nodes_hand_on_to_each_other_and_not_through_the_client(llama: Path) -> None:
    parties = await fleet(Split, llama)
    await parties.answer(ask(max_new_tokens=3))
    hops = [(sender, peer) for sender, peer, *_ in parties.messages]
    assert (
        hops == [("client", "layers-0"), ("layers-0", "layers-1"), ("layers-1", "layers-2"), ("layers-2", "client")] * 3
    )
    lengths = [fields["hidden"].shape[1] for *_, fields in parties.messages]
    asked = lengths[0]
    assert lengths == [asked, asked, asked, 1] + [1] * 8, "after the last layer only the last position travels"


@pytest.mark.parametrize("places", PLACES)
async def test_each_party_reads_only_what_its_plan_opens(places: dict[str, Any], folder: Path) -> None:
    parties = await fleet(Split, folder, **places)
    card = card_of(folder)
    read = {name: context.models["model"].read for name, context in parties.contexts.items()}
    for party in parties.plan.parties:
        assert read[party.name] == card.opened(party.opens["model"])
        held = parties.contexts[party.name].held
        if party.name != "client":
            assert held["weights opened"]["tensors"] == sorted(read[party.name])
    ends = {card.part_of(name) for name in read["client"]}
    assert ("embedding" in ends) == (places["embedding"] == "client" or (card.tied and places["head"] == "client"))
    if places["head"] == "node":
        assert "head" not in ends


@pytest.mark.parametrize("backend", [Plain, Split])
async def test_queries_in_flight_at_once_do_not_mix(backend: type[Backend], folder: Path) -> None:
    prompts = ["a building where people live", "calm", "naïve café 🙂", "the act of moving from one place to another"]
    alone = await fleet(backend, folder)
    expected = [await alone.answer(ask(prompt, id=str(index))) for index, prompt in enumerate(prompts)]
    together = await fleet(backend, folder)
    answers = [asyncio.create_task(together.answer(ask(prompt, id=str(index)))) for index, prompt in enumerate(prompts)]
    assert await asyncio.gather(*answers) == expected
    senders = [message[3].get("id") for message in together.messages if message[2] == "scored"]
    whole = [token.id for tokens, _ in expected for token in tokens]
    if backend is Plain:
        assert sorted(senders) == sorted(whole) and senders != whole, "answers should have been interleaved"


@pytest.mark.parametrize("backend", [Plain, Split])
async def test_sampling_is_seeded_and_alike_wherever_it_runs(backend: type[Backend], folder: Path) -> None:
    first = await fleet(backend, folder)
    _, answer = await first.answer(ask(temperature=1.0, top_p=0.9, seed=5))
    _, reference = await (await fleet(Plain, folder)).answer(ask(temperature=1.0, top_p=0.9, seed=5))
    _, other = await first.answer(ask(temperature=1.0, top_p=0.9, seed=6, id="q2"))
    assert answer == reference != other


@pytest.mark.parametrize("backend", [Plain, Split])
async def test_contributions_count_layers_times_tokens(backend: type[Backend], llama: Path) -> None:
    parties = await fleet(backend, llama)
    await parties.answer(ask(max_new_tokens=5))
    asked = len(AutoTokenizer.from_pretrained(llama)(PROMPT)["input_ids"])
    served = {name: context.contributed["q1"]["layer_tokens"] for name, context in parties.contexts.items()}
    layers = {"client": 0, "server": 4, "layers-0": 2, "layers-1": 1, "layers-2": 1}
    assert served == {name: layers[name] * (asked + 4) for name in served}
    assert parties.contexts["client"].phases == ["tokenise", "prefill", "decode"]


@pytest.mark.parametrize("backend", [Plain, Split])
async def test_nothing_is_kept_of_a_query_that_ended(backend: type[Backend], llama: Path) -> None:
    parties = await fleet(backend, llama)
    await parties.answer(ask())
    with pytest.raises(UnfedError):
        await parties.answer(ask("", id="q2"))
    events = parties.events(ask(id="q3"))
    await anext(events)
    await events.aclose()
    await asyncio.sleep(0)
    for role in parties.roles.values():
        for kept in ("_arrivals", "_open", "_results", "_sessions"):
            assert not len(getattr(role, kept, ()))


@pytest.mark.parametrize("backend", [Plain, Split])
async def test_texts_of_tokens_add_up_also_where_the_answer_ends_inside_a_character(
    backend: type[Backend], folder: Path
) -> None:
    parties = await fleet(backend, folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    unfinished = 0
    for most in range(1, 25):
        tokens, answer = await parties.answer(ask(id=str(most), max_new_tokens=most))
        assert "".join(token.text for token in tokens) == answer.text
        assert answer.text == tokenizer.decode(answer.token_ids, skip_special_tokens=True)
        unfinished += answer.text.endswith("\N{REPLACEMENT CHARACTER}")
    assert unfinished, "no answer ended inside a character, so this proved nothing"


async def test_the_server_stops_when_the_query_is_forgotten(llama: Path) -> None:
    parties = await fleet(Plain, llama)
    events = parties.events(ask(max_new_tokens=40, logits=False))
    for _ in range(3):
        await anext(events)
    await events.aclose()
    for _ in range(20):
        await asyncio.sleep(0)
    sent = len(parties.messages)
    for _ in range(200):
        await asyncio.sleep(0)
    assert len(parties.messages) == sent < 40


@pytest.mark.parametrize("backend", [Plain, Split])
async def test_endings(backend: type[Backend], tmp_path: Path) -> None:
    folder = save_llama(tmp_path / "llama", context=24, generation={"eos_token_id": None})
    parties = await fleet(backend, folder)
    _, answer = await parties.answer(ask("a calm mind", max_new_tokens=100))
    asked = len(AutoTokenizer.from_pretrained(folder)("a calm mind")["input_ids"])
    assert (answer.stopped, len(answer.token_ids)) == ("context", 24 - asked + 1)
    _, answer = await parties.answer(ask("a calm mind", max_new_tokens=4, id="q2"))
    assert (answer.stopped, len(answer.token_ids)) == ("length", 4)
    for prompt, wrong in (("!" * 25, "25 tokens"), (" ", "empty")):
        with pytest.raises(UnfedError, match=wrong) as refused:
            await parties.answer(ask(prompt, id=wrong))
        assert refused.value.failure.kind == "bad-input"
    end = answer.token_ids[2]
    folder = save_llama(tmp_path / "again", context=24, generation={"eos_token_id": [end, 5]})
    _, answer = await (await fleet(backend, folder)).answer(ask("a calm mind"))
    assert answer.stopped == "end" and answer.token_ids[-1] == end, "the end token is part of what was generated"


HIDDEN = torch.zeros(1, 2, 64)


@pytest.mark.parametrize(
    ("options", "sender", "peer", "method", "fields"),
    [
        ({}, "client", "layers-0", "forward", {"hidden": torch.zeros(1, 2, 63), "start": 0}),
        ({}, "client", "layers-0", "forward", {"hidden": torch.zeros(2, 2, 64), "start": 0}),
        ({}, "client", "layers-0", "forward", {"hidden": torch.zeros(1, 0, 64), "start": 0}),
        ({}, "client", "layers-0", "forward", {"hidden": torch.zeros(2, 64), "start": 0}),
        ({}, "client", "layers-0", "forward", {"hidden": HIDDEN.half(), "start": 0}),
        ({}, "client", "layers-0", "forward", {"hidden": HIDDEN, "start": 1}),
        ({}, "client", "layers-0", "forward", {"hidden": HIDDEN, "start": -1}),
        ({}, "client", "layers-0", "forward", {"hidden": torch.zeros(1, 49, 64), "start": 0}),
        ({}, "client", "layers-0", "tokens", {"ids": torch.tensor([[1]]), "start": 0}),
        ({}, "layers-2", "layers-1", "forward", {"hidden": HIDDEN, "start": 0}),
        ({}, "layers-0", "client", "hidden", {"hidden": torch.zeros(1, 1, 64)}),
        ({}, "layers-2", "client", "hidden", {"hidden": torch.zeros(1, 2, 64)}),
        ({}, "layers-2", "client", "logits", {"logits": torch.zeros(320)}),
        ({"head": "node"}, "layers-2", "client", "logits", {"logits": torch.zeros(319)}),
        ({"head": "node"}, "layers-2", "client", "hidden", {"hidden": torch.zeros(1, 1, 64)}),
        ({"embedding": "node"}, "client", "layers-0", "forward", {"hidden": HIDDEN, "start": 0}),
        ({"embedding": "node"}, "client", "layers-0", "tokens", {"ids": torch.tensor([[320]]), "start": 0}),
        ({"embedding": "node"}, "client", "layers-0", "tokens", {"ids": torch.tensor([[-1]]), "start": 0}),
        ({"embedding": "node"}, "client", "layers-0", "tokens", {"ids": torch.tensor([1]), "start": 0}),
        ({"embedding": "node"}, "client", "layers-0", "tokens", {"ids": torch.tensor([[1.0]]), "start": 0}),
        ({"embedding": "node"}, "client", "layers-0", "tokens", {"ids": torch.tensor([[1]]), "start": 48}),
        ({"embedding": "node"}, "client", "layers-0", "tokens", {"ids": torch.tensor([[1]]), "start": -1}),
    ],
)
async def test_what_does_not_belong_is_refused_and_its_sender_named(
    options: dict[str, Any], sender: str, peer: str, method: str, fields: dict[str, Any], llama: Path
) -> None:
    parties = await fleet(Split, llama, **options)
    current_query.set("q1")
    if peer == "client":
        parties.roles["client"]._results["q1"] = asyncio.Queue()  # type: ignore[attr-defined]
    with pytest.raises(UnfedError) as refused:
        await parties.deliver(sender, peer, method, fields)
    assert refused.value.failure.kind == "protocol"
    assert refused.value.failure.party == sender


@pytest.mark.parametrize(
    "prompt",
    [
        torch.tensor([[1]]),
        torch.tensor([1.0]),
        torch.tensor([], dtype=torch.long),
        torch.tensor([320]),
        torch.tensor([-1]),
        torch.ones(49, dtype=torch.long),
    ],
)
async def test_the_server_refuses_prompts_that_it_cannot_run(prompt: torch.Tensor, llama: Path) -> None:
    parties = await fleet(Plain, llama)
    wishes = {"max_new_tokens": 1, "temperature": 0.0, "top_p": 1.0, "seed": 0, "logits": False}
    with pytest.raises(UnfedError) as refused:
        await parties.deliver("client", "server", "generate", {"prompt": prompt, **wishes})
    assert (refused.value.failure.kind, refused.value.failure.party) == ("protocol", "client")


@pytest.mark.parametrize(
    ("method", "fields"),
    [
        ("token", {"id": 320, "last": False}),
        ("token", {"id": -1, "last": True}),
        ("scored", {"id": 1, "last": False, "logits": torch.zeros(3)}),
    ],
)
async def test_the_client_refuses_tokens_that_do_not_exist(method: str, fields: dict[str, Any], llama: Path) -> None:
    parties = await fleet(Plain, llama)
    current_query.set("q1")
    parties.roles["client"]._arrivals["q1"] = asyncio.Queue()  # type: ignore[attr-defined]
    with pytest.raises(UnfedError) as refused:
        await parties.deliver("server", "client", method, fields)
    assert (refused.value.failure.kind, refused.value.failure.party) == ("protocol", "server")
