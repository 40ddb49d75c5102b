"""Roles that their authors got wrong."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import torch

from unfed.plugins import Answer, ClientRole, Query, Role, Token, serve


class Positional(Role):
    @serve
    async def method(self, sender: str, value: int) -> None:
        """Its field is not keyword-only."""


class OddClient(ClientRole):
    async def answer(self, query: Query) -> AsyncIterator[Any]:
        wrong: dict[str, Any] = {
            "numpy id": Token(id=np.int64(3), text="x"),  # type: ignore[arg-type]
            "text that is bytes": Token(id=3, text=b"x"),  # type: ignore[arg-type]
            "nonsense": object(),
            "answer of torch scalars": Answer(text="x", token_ids=(torch.tensor(1),)),  # type: ignore[arg-type]
        }
        if query.prompt in wrong:
            yield wrong[query.prompt]
        if query.prompt != "no answer":
            yield Answer(text=query.prompt)
