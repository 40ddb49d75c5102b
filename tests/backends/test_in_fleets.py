"""The same over real processes and wires: `plain` is `generate`, and `split` and `unfed` are `plain`, bit for bit."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from random_models import save_gpt2, save_llama, save_qwen2
from transformers import AutoModelForCausalLM, AutoTokenizer

from unfed.backends.plain.backend import Plain
from unfed.backends.split.backend import Split
from unfed.backends.unfed.backend import Unfed
from unfed.console.fleet.fleet import Fleet
from unfed.console.fleet.process import LocalLauncher
from unfed.console.runner.models import read_card
from unfed.plugins import Answer, Backend, Failed, Finished, Query, Token, UnfedError

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]

SAVE: dict[str, Any] = {
    "llama": lambda folder: save_llama(folder, kv_heads=2, shard_size="60KB", generation={"eos_token_id": None}),
    "qwen2": lambda folder: save_qwen2(folder, tied=True, generation={"repetition_penalty": 1.2}),
    "gpt2": lambda folder: save_gpt2(folder),
}
PROMPTS = ("a large animal with four legs", "calm", "naïve café 🙂")
VARIANTS: tuple[tuple[type[Backend], dict[str, Any]], ...] = (
    (Split, {}),
    (Split, {"shards": 4, "embedding": "node"}),
    (Split, {"shards": 2, "head": "node"}),
    (Split, {"shards": 1, "embedding": "node", "head": "node"}),
    (Unfed, {"shards": 2, "relays": 2}),
    (Unfed, {"shards": 1, "relays": 0, "tail": 1}),
)


@pytest.fixture(scope="module", params=SAVE)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return SAVE[request.param](tmp_path_factory.mktemp("model") / request.param)  # type: ignore[no-any-return]


@asynccontextmanager
async def fleets(
    launcher: LocalLauncher, folder: Path, logs: Path, *chosen: tuple[type[Backend], dict[str, Any]]
) -> AsyncIterator[list[Fleet]]:
    """Running fleets of the chosen backends."""
    running: list[Fleet] = []
    models = {"model": read_card(folder)}
    try:
        for number, (backend, options) in enumerate(chosen):
            plan = backend().plan(models, backend.Options(**options))
            fleet = Fleet(f"{backend.name}-{number}", backend.name, plan, models, launcher=launcher, logs=logs)
            running.append(fleet)
            await fleet.start()
        yield running
    finally:
        for fleet in running:
            await fleet.stop()


async def ask(fleet: Fleet, query: Query) -> tuple[list[tuple[int, str, bytes | None]], Answer]:
    tokens, answer = [], None
    async for event in fleet.ask(query, 120):
        if isinstance(event, Token):
            tokens.append((event.id, event.text, event.logits))
        elif isinstance(event, Finished):
            answer = event.answer
        elif isinstance(event, Failed):
            raise UnfedError.of(event.error)
    await fleet.settle(query.id)
    assert answer is not None
    return tokens, answer


def query(identifier: str, prompt: str, **about: Any) -> Query:
    return Query(id=identifier, prompt=prompt, **{"max_new_tokens": 20, "logits": True, **about})


async def test_plain_is_generate_and_the_others_are_plain_at_once_and_in_turn(
    folder: Path, launcher: LocalLauncher, tmp_path: Path
) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    async with fleets(launcher, folder, tmp_path, (Plain, {}), *VARIANTS) as (plain, *others):
        expected = {}
        for prompt in PROMPTS:
            inputs = tokenizer(prompt, return_tensors="pt")
            output = model.generate(**inputs, max_new_tokens=20, do_sample=False)
            ids = output[0, inputs["input_ids"].shape[1] :].tolist()
            tokens, answer = expected[prompt] = await ask(plain, query(f"plain {prompt}", prompt))
            assert list(answer.token_ids) == ids == [token for token, *_ in tokens]
            assert answer.text == tokenizer.decode(ids, skip_special_tokens=True)
        for other in others:
            asked = [ask(other, query(f"{other.variant} {prompt}", prompt)) for prompt in PROMPTS]
            assert await asyncio.gather(*asked) == [expected[prompt] for prompt in PROMPTS]
        sampled = [
            (await ask(fleet, query("sampled", PROMPTS[0], temperature=1.0, top_p=0.9, seed=3)))[1]
            for fleet in (plain, *others)
        ]
        assert len({answer.text for answer in sampled}) == 1 and sampled[0] != expected[PROMPTS[0]][1]


@pytest.mark.parametrize(("backend", "options"), [(Plain, {}), (Split, {"shards": 2})])
async def test_a_prompt_that_cannot_be_served_fails_alone_and_cancelling_leaves_a_fleet_that_answers(
    backend: type[Backend], options: dict[str, Any], launcher: LocalLauncher, tmp_path: Path
) -> None:
    folder = save_llama(tmp_path / "llama", context=8192, generation={"eos_token_id": None})
    async with fleets(launcher, folder, tmp_path, (backend, options)) as (fleet,):
        expected = (await ask(fleet, query("first", "calm")))[1]
        with pytest.raises(UnfedError, match="8193 tokens") as refused:
            await ask(fleet, query("long", "!" * 8193))
        assert (refused.value.failure.kind, refused.value.failure.party) == ("bad-input", "client")
        seen = 0
        async for event in fleet.ask(query("cancelled", "calm", max_new_tokens=8000), 120):
            if isinstance(event, Token):
                seen += 1
                if seen == 3:
                    fleet.cancel("cancelled")
            elif isinstance(event, Failed):
                assert event.error.kind == "cancelled"
        assert 3 <= seen < 8000
        await fleet.settle("cancelled")
        assert (await ask(fleet, query("last", "calm")))[1] == expected
