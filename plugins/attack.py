"""An attack: what somebody who holds the views of a coalition recovers, with stated knowledge."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar

import msgspec

from .models import ModelCard
from .view import View


class Knowledge(msgspec.Struct, frozen=True, kw_only=True):
    """What the attacker has besides views: public weights and tokenizer (as cards), by slot."""

    models: Mapping[str, ModelCard] = {}
    query: str = ""


class Recovered(msgspec.Struct, frozen=True, kw_only=True):
    """What came out. The scorer compares it with the truth; an attack never sees the truth.

    Attributes:
        token_ids: guessed prompt tokens in order, None where the attack gives up.
    """

    asset: str
    text: str = ""
    token_ids: tuple[int | None, ...] = ()
    notes: str = ""


class Attack(ABC):
    """One attack as a plugin. It runs in a process of its own and may import what it likes there."""

    name: ClassVar[str]
    title: ClassVar[str]
    needs: ClassVar[tuple[str, ...]] = ()
    """What it must find in `reveals` of the guarantee to be worth trying, such as `activations`; empty: always."""

    @abstractmethod
    def run(self, views: Sequence[View], knowledge: Knowledge) -> Recovered | None:
        """What the pooled views give away; None where the attack does not apply to them."""
