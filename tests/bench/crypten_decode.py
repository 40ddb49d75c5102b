"""The backend `mpc-crypten`'s own program of a model, with its shared cache, under stock CrypTen."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from unfed.backends.common.folded import fold
from unfed.backends.common.text import Text
from unfed.backends.mpc_crypten.functions import Crypten
from unfed.backends.mpc_crypten.library import communicators, crypten
from unfed.backends.mpc_crypten.ranges import watch
from unfed.backends.mpc_crypten.transformer import Cache, Transformer
from unfed.console.party.model import OpenModel
from unfed.console.runner.models import read_card
from unfed.plugins import OpenedModel


class Decoder:
    """Greedy answers of the model in `folder`; rank 0 knows prompt and tokens, and learns the logits.

    Args:
        waited: seconds spent so far on waiting for triples, at rank 0.
    """

    def __init__(self, folder: Path, waited: Callable[[], float]) -> None:
        card = read_card(folder)
        self._text, self._vocab, self._waited = Text.of(card), card.vocab, waited
        self._transformer = Transformer(fold(OpenModel("peer", OpenedModel(card, ("all",)))))
        self._functions = Crypten(watch(self._transformer, card.vocab, card.context))

    def answer(self, question: dict[str, Any]) -> dict[str, Any]:
        """Tokens, seconds of each and how many of them it was `waiting` for triples; logits go to a file if asked for.

        A token's seconds go from sharing its predecessor to choosing it.
        """
        ids, cache, start = self._text.encode(question["prompt"]), Cache(), 0
        tokens, seconds, waiting, scores = [], [], [], []
        communicators.get().barrier()
        for _ in range(question["max_new_tokens"]):
            waited, began = self._waited(), time.perf_counter()
            onehot = torch.nn.functional.one_hot(torch.tensor(ids), self._vocab).float()
            shared = crypten.cryptensor(onehot, src=0, precision=0)
            logits = self._transformer.step(self._functions, shared, cache, start).get_plain_text(dst=0)
            start += len(ids)
            ids = [0 if logits is None else int(logits.argmax())]  # rank 1 brings nothing but the length
            seconds.append(time.perf_counter() - began)
            waiting.append(self._waited() - waited)
            tokens.append(ids[0])
            scores.append(logits)
        if "logits" in question and scores[0] is not None:
            np.save(question["logits"], torch.stack(scores).float().numpy())
        return {"token_ids": tokens, "seconds": seconds, "waiting": waiting}
