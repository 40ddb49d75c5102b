"""A whole model of any causal family, run a step at a time with its cache."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from transformers import AutoModelForCausalLM, DynamicCache
from transformers.utils import logging

from unfed.plugins import ModelCard, UnfedError

from .weights import DTYPE

CARRIED = ("past_key_values", "cache_params", "state")
"""Arguments under which families take back what an earlier step left: attention caches, Mamba's, RWKV's."""


class Whole:
    """One model, as `transformers` itself builds and runs it. Float32, like everything that is compared with it."""

    def __init__(self, card: ModelCard) -> None:
        logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # a party's stderr is its log
        try:
            loaded: Any = AutoModelForCausalLM.from_pretrained(
                card.path,
                local_files_only=True,
                trust_remote_code=False,
                use_safetensors=True,
                dtype=DTYPE,
                output_loading_info=True,
            )
        except Exception as error:  # config, architecture and weights may be wrong in ways of their own
            reason = str(error).strip().partition("\n")[0] or type(error).__name__
            raise UnfedError(
                f"{card.name} cannot be loaded: {reason}", hint="is it a complete folder of a causal language model?"
            ) from error
        self._model: Any = loaded[0]
        report = loaded[1]
        if lacking := sorted(report["missing_keys"]) or sorted(str(key) for key in report["mismatched_keys"]):
            raise UnfedError(
                f"the weights of {card.name} lack {len(lacking)} tensors of its architecture, such as {lacking[0]!r}",
                hint="is the checkpoint complete, and of the architecture that its config names?",
            )
        self._model.eval().requires_grad_(False)
        takes = inspect.signature(self._model.forward).parameters
        self._carried = next((name for name in CARRIED if name in takes), None)
        self._fixed: dict[str, Any] = {"return_dict": True}
        if self._carried:
            self._fixed["use_cache"] = True
        if "logits_to_keep" in takes:
            self._fixed["logits_to_keep"] = 1
        self._warm()

    @property
    def model(self) -> Any:
        """The `transformers` model itself."""
        return self._model

    def begin(self) -> dict[str, Any]:
        """The state of one query before its first step."""
        if self._carried == "past_key_values" and self._model._supports_default_dynamic_cache():
            return {"past_key_values": DynamicCache(config=self._model.config.get_text_config(decoder=True))}
        return {}

    @torch.inference_mode()
    def step(self, state: dict[str, Any], ids: torch.Tensor) -> torch.Tensor:
        """Logits [vocab] float32 after `ids` [1, t], which follow all those of earlier steps of `state`."""
        if self._carried is None:  # families without a cache run all tokens again
            ids = state["ids"] = torch.cat([state["ids"], ids], 1) if "ids" in state else ids
            inputs = self._model.prepare_inputs_for_generation(ids, use_cache=False)
            output = self._model(**inputs, return_dict=True)
        else:
            output = self._model(input_ids=ids, **state, **self._fixed)
            state[self._carried] = output[self._carried]
        logits: torch.Tensor = output.logits[0, -1].float()
        return logits

    def _warm(self) -> None:
        """Run once, so that the first query does not pay for what the libraries set up on first use."""
        state = self.begin()
        for tokens in (2, 1):
            self.step(state, torch.zeros(1, tokens, dtype=torch.long))
