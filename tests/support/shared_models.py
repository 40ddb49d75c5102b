"""A model whose weights are secret, as one program that opens their matrices first: for tests in one process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM

from unfed.backends.common.folded import Folded, fold
from unfed.backends.mpc.engine.session import Run
from unfed.backends.mpc.transformer.bounds import fit
from unfed.backends.mpc.transformer.calibrate import calibrate
from unfed.backends.mpc.transformer.program import Transformer
from unfed.backends.mpc.transformer.scales import UNCUT, Format
from unfed.backends.mpc.transformer.shared import flat, held, unflat, whole
from unfed.backends.mpc.transformer.weights import outline
from unfed.console.party.model import OpenModel
from unfed.console.runner.models import read_card
from unfed.plugins import OpenedModel


class SharedModel:
    """Attributes:
    plain: the `transformers` model in float64.
    vector: what is shared.
    """

    def __init__(self, folder: Path) -> None:
        card = read_card(folder)
        self.plain: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64).eval()
        folded: Folded = fold(OpenModel("owner", OpenedModel(card, ("all",))))
        self.format: Format = fit(folded, calibrate(self.plain, card.context).rounded(), UNCUT)
        self.vector = flat(whole(folded, self.format.scales))
        self.outline = outline(card)
        self.vocab = card.vocab

    def transformer(self, run: Run, vector: torch.Tensor) -> Transformer:
        """For later use by the party whose share of the weights this is."""
        scales = self.format.scales
        shares = unflat(vector, whole(self.outline, scales))
        return Transformer(held(run, self.outline, scales, shares), self.format)

    def one_hot(self, ids: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.one_hot(ids, self.vocab)
