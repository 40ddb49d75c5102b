"""Model folders of a few bytes, written by hand, for tests of what is read without torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

LLAMA = {
    "model_type": "llama",
    "num_hidden_layers": 2,
    "hidden_size": 4,
    "vocab_size": 8,
    "max_position_embeddings": 32,
    "tie_word_embeddings": False,
}
TENSORS: dict[str, list[int]] = {
    "model.embed_tokens.weight": [8, 4],
    "model.layers.0.self_attn.q_proj.weight": [4, 4],
    "model.layers.1.self_attn.q_proj.weight": [4, 4],
    "model.norm.weight": [4],
    "lm_head.weight": [8, 4],
}


def safetensors(tensors: Mapping[str, list[int]], **header: Any) -> bytes:
    """A float32 safetensors file of zeros; `header` adds or replaces entries of its header."""
    entries: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, shape in tensors.items():
        size = 4
        for each in shape:
            size *= each
        entries[name] = {"dtype": "F32", "shape": shape, "data_offsets": [end, end + size]}
        end += size
    entries.update(header)
    head = json.dumps(entries).encode()
    return len(head).to_bytes(8, "little") + head + bytes(end)


def write_model(folder: Path, *, config: Mapping[str, Any] = LLAMA, tensors: Mapping[str, list[int]] = TENSORS) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(dict(config)))
    (folder / "model.safetensors").write_bytes(safetensors(tensors))
    return folder
