"""`transformers`' own greedy `generate` in one process with one thread: `peer_generate.py MODEL_FOLDER [DTYPE]`.

A question is `{"prompt", "max_new_tokens"}` and, where logits are wanted, the file to write them to.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.generation.streamers import BaseStreamer
from transformers.utils import logging


class Clock(BaseStreamer):
    """Notes when each token came; its first call brings the prompt."""

    def __init__(self) -> None:
        self.at: list[float] = []

    def put(self, value: torch.Tensor) -> None:
        self.at.append(time.perf_counter())

    def end(self) -> None:
        pass


def main() -> None:
    logging.disable_progress_bar()
    torch.set_num_threads(1)
    folder, dtype = sys.argv[1], getattr(torch, sys.argv[2] if len(sys.argv) > 2 else "float32")
    model = AutoModelForCausalLM.from_pretrained(folder, local_files_only=True, dtype=dtype).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    for line in sys.stdin:
        print(json.dumps(answer(model, tokenizer, json.loads(line))), flush=True)


@torch.inference_mode()
def answer(model: Any, tokenizer: Any, asked: dict[str, Any]) -> dict[str, Any]:
    """Tokens, and when each came."""
    inputs = tokenizer(asked["prompt"], return_tensors="pt")
    clock = Clock()
    scored = "logits" in asked
    output = model.generate(
        input_ids=inputs["input_ids"],
        attention_mask=inputs["attention_mask"],
        max_new_tokens=asked["max_new_tokens"],
        do_sample=False,
        streamer=clock,
        return_dict_in_generate=True,
        output_logits=scored,
    )
    ids = output.sequences[0, inputs["input_ids"].shape[1] :].tolist()
    if scored:
        np.save(asked["logits"], torch.cat(output.logits).float().numpy())
    return {"token_ids": ids, "at": clock.at[1:]}


if __name__ == "__main__":
    main()
