"""A decode token of the demo model: the backend `mpc` on its fleet, and the same model under CrypTen."""

from __future__ import annotations

import secrets
import statistics
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from bench.fleets import events_of
from bench.part_decode import PROMPTS, logit_error, scored
from bench.peers import Peer

from unfed.console.fleet.fleet import Fleet
from unfed.plugins import Event, Phase, Query, Token

TOKENS = 5
"""Of an answer; the first one does not count."""


class Decoding:
    """Both contestants, held against `generate` in float64.

    Args:
        fleet: of the backend `mpc`.
        exact: `peer_generate.py` in float64, which gives the logits that errors are told against.
        folder: for the logits of peers.
    """

    def __init__(self, fleet: Fleet, crypten: Peer, exact: Peer, folder: Path) -> None:
        self._fleet, self._crypten, self._exact = fleet, crypten, exact
        self._file = folder / "decoded.npy"
        self._references: dict[str, list[Token]] = {}

    async def ours(self, question: dict[str, Any]) -> dict[str, Any]:
        """Median seconds `offline` and `online` of a token after the first; the largest `error` of the logits."""
        prompt = PROMPTS[question["number"] % len(PROMPTS)]
        query = Query(id=secrets.token_hex(6), prompt=prompt, max_new_tokens=TOKENS, logits=True)
        events = await events_of(self._fleet, query)
        answer = [event for event in events if isinstance(event, Token)]
        error = logit_error("ours", answer, await self._reference(prompt))
        return token_seconds(events) | {"error": error}

    async def theirs(self, question: dict[str, Any]) -> dict[str, Any]:
        """Likewise `seconds` of a token, of which so many `waiting`."""
        prompt = PROMPTS[question["number"] % len(PROMPTS)]
        asked = {"work": "decode", "prompt": prompt, "max_new_tokens": TOKENS, "logits": str(self._file)}
        told = await self._crypten.ask(asked)
        error = logit_error("CrypTen", scored(told["token_ids"], np.load(self._file)), await self._reference(prompt))
        return {name: statistics.median(told[name][1:]) for name in ("seconds", "waiting")} | {"error": error}

    async def _reference(self, prompt: str) -> list[Token]:
        if prompt not in self._references:
            told = await self._exact.ask({"prompt": prompt, "max_new_tokens": TOKENS, "logits": str(self._file)})
            self._references[prompt] = scored(told["token_ids"], np.load(self._file))
        return self._references[prompt]


def token_seconds(events: Sequence[Event]) -> dict[str, float]:
    """Medians over the tokens after the first: `online` between two tokens, `offline` in the phase before each."""
    at = [event.at for event in events if isinstance(event, Token)]
    ahead = [
        event.seconds
        for event in events
        if isinstance(event, Phase) and event.kind == "offline" and event.seconds is not None
    ]
    if len(at) < 2 or len(ahead) != len(at):
        raise ValueError(f"{len(at)} tokens and {len(ahead)} offline phases cannot be told apart")
    online = [later - earlier for earlier, later in pairwise(at)]
    return {"online": statistics.median(online), "offline": statistics.median(ahead[1:])}
