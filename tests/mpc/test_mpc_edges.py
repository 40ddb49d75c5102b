"""`mpc` on real fleets at the edges: a vocabulary of 128256, a prompt of one token, and all the tokens there may be."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
import torch
from random_models import save_llama
from real_fleets import running
from transformers import AutoModelForCausalLM, AutoTokenizer

from unfed.backends.mpc.backend import Mpc
from unfed.console.fleet.fleet import Fleet
from unfed.console.fleet.process import LocalLauncher
from unfed.console.runner.models import read_card
from unfed.plugins import Failed, Finished, Query, Token

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]

VOCAB, CONTEXT = 128256, 24


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_llama(tmp_path_factory.mktemp("llama"), layers=1, hidden=32, vocab=VOCAB, context=256)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def fleet(
    launcher: LocalLauncher, folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Fleet]:
    models = {"model": read_card(folder)}
    plan = Mpc().plan(models, Mpc.Options(context=CONTEXT, pool=0))
    async with running(launcher, plan, tmp_path_factory.mktemp("edges"), models=models) as fleet:
        yield fleet


def prompt_of(tokenizer: Any, tokens: int) -> str:
    text = "q" * tokens
    assert len(tokenizer(text)["input_ids"]) == tokens
    return text


@pytest.mark.parametrize("tokens", [1, CONTEXT - 2, CONTEXT])
async def test_logits_are_plains_at_every_length(fleet: Fleet, folder: Path, tokens: int) -> None:
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    prompt = prompt_of(tokenizer, tokens)
    ids = tokenizer(prompt, return_tensors="pt")["input_ids"]
    query = Query(id=f"of {tokens}", prompt=prompt, max_new_tokens=8 if tokens > 1 else 2, logits=True)
    events = [event async for event in fleet.ask(query, 120)]
    await fleet.settle(query.id)
    finished = events[-1]
    assert isinstance(finished, Finished), finished
    made = [event for event in events if isinstance(event, Token)]
    assert finished.answer.stopped == ("length" if tokens == 1 else "context")
    assert len(made) == (2 if tokens == 1 else CONTEXT + 1 - tokens)
    for token in made:
        assert token.logits is not None
        with torch.inference_mode():
            wanted = model(ids).logits[0, -1].numpy()
        found = np.frombuffer(token.logits, "<f4")
        assert found.shape == (VOCAB,) and np.abs(found - wanted).max() <= 0.01
        ids = torch.cat([ids, torch.tensor([[token.id]])], 1)


async def test_a_token_more_than_there_may_be_is_refused(fleet: Fleet, folder: Path) -> None:
    prompt = prompt_of(AutoTokenizer.from_pretrained(folder), CONTEXT + 1)
    events = [event async for event in fleet.ask(Query(id="long", prompt=prompt), 60)]
    await fleet.settle("long")
    assert isinstance(events[-1], Failed) and events[-1].error.kind == "bad-input"
