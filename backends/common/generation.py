"""What a model's folder says about generating: stop tokens, and the processors that greedy `generate` would apply."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import GenerationConfig, LogitsProcessorList

from unfed.plugins import UnfedError

FILE = "generation_config.json"

REFUSED = (
    "constraints",
    "force_words_ids",
    "max_time",
    "stop_strings",
    "token_healing",
    "use_mtp",
    "watermarking_config",
)
"""Settings that would change which token is taken and that we do not honour: a folder that sets one is refused."""


class Generation:
    """A folder's generation config.

    There is one answer and no search for it: what only matters to beams (`num_beams`, `length_penalty`,
    `early_stopping`, groups), to other searches (`penalty_alpha`, `dola_layers`) and to assisted decoding is ignored.
    So are the folder's own sampling settings (`do_sample`, `temperature`, `top_k`, …): how to sample is said by the
    query.
    """

    def __init__(self, config: Any, name: str = "the model") -> None:
        refused = [key for key in REFUSED if getattr(config, key, None)]
        if getattr(config, "guidance_scale", None) not in (None, 1, 1.0):
            refused.append("guidance_scale")
        if refused:
            raise UnfedError(
                f"the generation config of {name} asks for {', '.join(refused)}, which is not supported",
                hint=f"remove it from {FILE}",
            )
        self._config = config
        ends = config.eos_token_id
        self.ends: tuple[int, ...] = () if ends is None else (ends,) if isinstance(ends, int) else tuple(ends)
        """Tokens that end an answer."""

    @classmethod
    def of(cls, folder: Path, name: str = "the model") -> Generation:
        """Read generation_config.json; where it is missing, config.json as `transformers` does.

        Raises:
            UnfedError: the file is broken, or asks for what we do not honour.
        """
        try:
            if (folder / FILE).is_file():
                json.loads((folder / FILE).read_text())  # transformers would pass over a broken file in silence
                config = GenerationConfig.from_pretrained(folder, local_files_only=True)
            else:
                config = GenerationConfig.from_model_config(json.loads((folder / "config.json").read_text()))
        except (OSError, ValueError, TypeError) as error:
            raise UnfedError(f"the generation config of {name} cannot be used: {error}", hint=f"mend {FILE}") from error
        return cls(config, name)

    def processors(self, prompt: Sequence[int], max_new_tokens: int) -> LogitsProcessorList:
        """The logits processors that `generate` applies when greedy, in its order; empty for most models.

        Source: `GenerationMixin._get_logits_processor` of transformers 5.
        """
        set_ = self._config
        asked = len(prompt)
        ids = torch.tensor([list(prompt)])
        ends = torch.tensor(self.ends) if self.ends else None
        found: list[Any] = []

        def add(kind: str, *arguments: Any, **named: Any) -> None:
            found.append(getattr(transformers, kind)(*arguments, **named))

        if set_.sequence_bias is not None:
            add("SequenceBiasLogitsProcessor", sequence_bias=set_.sequence_bias)
        if set_.encoder_repetition_penalty not in (None, 1.0):
            add(
                "EncoderRepetitionPenaltyLogitsProcessor",
                penalty=set_.encoder_repetition_penalty,
                encoder_input_ids=ids,
            )
        if set_.repetition_penalty not in (None, 1.0):
            add("RepetitionPenaltyLogitsProcessor", set_.repetition_penalty)
        if set_.no_repeat_ngram_size:
            add("NoRepeatNGramLogitsProcessor", set_.no_repeat_ngram_size)
        if set_.encoder_no_repeat_ngram_size:
            add("EncoderNoRepeatNGramLogitsProcessor", set_.encoder_no_repeat_ngram_size, ids)
        if set_.bad_words_ids is not None:
            add("NoBadWordsLogitsProcessor", set_.bad_words_ids, ends)
        least = set_.min_new_tokens + asked if set_.min_new_tokens is not None else set_.min_length
        if least and ends is not None:
            add("MinLengthLogitsProcessor", least, ends)
        if set_.min_new_tokens and ends is not None:
            add("MinNewTokensLengthLogitsProcessor", asked, set_.min_new_tokens, ends)
        if set_.forced_bos_token_id is not None:
            add("ForcedBOSTokenLogitsProcessor", set_.forced_bos_token_id)
        if set_.forced_eos_token_id is not None:
            add("ForcedEOSTokenLogitsProcessor", asked + max_new_tokens, set_.forced_eos_token_id)
        if set_.remove_invalid_values is True:
            add("InfNanRemoveLogitsProcessor")
        if set_.exponential_decay_length_penalty is not None:
            add("ExponentialDecayLengthPenalty", set_.exponential_decay_length_penalty, ends, asked)
        if set_.suppress_tokens is not None:
            add("SuppressTokensLogitsProcessor", set_.suppress_tokens)
        if set_.begin_suppress_tokens is not None:
            begin = asked if asked > 1 or set_.forced_bos_token_id is None else asked + 1
            add("SuppressTokensAtBeginLogitsProcessor", set_.begin_suppress_tokens, begin)
        if set_.renormalize_logits is True:
            add("LogitNormalization")
        return LogitsProcessorList(found)
