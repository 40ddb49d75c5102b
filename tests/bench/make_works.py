"""What every contestant of `mpc` computes, made once: `make_works.py FOLDER`.

Weights are random, with the affine parts of normalisers folded into the matrices after them and everything
that writes to the residual stream centred, for the peers as for us; inputs come with their results in float64.

    mlp.npz         w1, b1, w2, b2; x [n, 1, 784], wanted [n, 1, 10]
    block.npz       qkv, out, up, down and their biases, heads, epsilon; x and wanted [n, 16, 128]
    block/          the same as a GPT-2 of one layer, and block.json: how its numbers are held, by kind of weights
    table.npy       float32 [50257, 768]; embedding.npz: ids [n, 16]
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import GPT2Config, GPT2LMHeadModel
from transformers.utils import logging

from unfed.backends.common.folded import fold
from unfed.backends.mpc.transformer.bounds import fit
from unfed.backends.mpc.transformer.calibrate import calibrate
from unfed.backends.mpc.transformer.scales import UNCUT
from unfed.console.party.model import OpenModel
from unfed.console.runner.models import read_card
from unfed.plugins import OpenedModel

INPUTS = 4
HIDDEN, HEADS, TOKENS, CONTEXT = 128, 4, 16, 64
VOCAB, WIDTH = 50257, 768


def main(folder: Path) -> None:
    store(folder)
    random = np.random.default_rng(1)
    np.save(folder / "table.npy", random.standard_normal((VOCAB, WIDTH), np.float32))
    np.savez(folder / "embedding.npz", ids=random.integers(0, VOCAB, (INPUTS, TOKENS)))


def store(folder: Path) -> None:
    """All but the table and its ids."""
    logging.disable_progress_bar()
    torch.manual_seed(0)
    np.savez(folder / "mlp.npz", **mlp(np.random.default_rng(0)))
    np.savez(folder / "block.npz", **block(folder))


def mlp(random: np.random.Generator) -> dict[str, Any]:
    """784-128-10 with ReLU."""
    w1, b1 = random.standard_normal((784, 128)) / 28, random.standard_normal(128)
    w2, b2 = random.standard_normal((128, 10)) / 128**0.5, random.standard_normal(10)
    x = random.random((INPUTS, 1, 784))
    return {"w1": w1, "b1": b1, "w2": w2, "b2": b2, "x": x, "wanted": np.maximum(x @ w1 + b1, 0) @ w2 + b2}


@torch.inference_mode()
def block(folder: Path) -> dict[str, Any]:
    """A layer of GPT-2 with SiLU, which both peers compute exactly as it is defined, on numbers of mean square 1."""
    config = GPT2Config(
        n_layer=1,
        n_embd=HIDDEN,
        n_head=HEADS,
        vocab_size=512,
        n_positions=CONTEXT,
        activation_function="silu",
        initializer_range=HIDDEN**-0.5,
        bos_token_id=0,
        eos_token_id=1,
        attn_implementation="eager",
    )
    model = GPT2LMHeadModel(config).eval()
    for name, tensor in model.named_parameters():
        if tensor.dim() == 1:
            tensor.add_(torch.randn_like(tensor) * 0.1)
        elif "wte" in name or "wpe" in name:
            tensor.normal_(std=0.5**0.5)
    model.save_pretrained(folder / "block")
    opened = OpenModel("bench", OpenedModel(read_card(folder / "block"), ("all",)))
    folded, ranges = fold(opened), calibrate(model, CONTEXT)
    formats = {"public": fit(folded, ranges), "secret": fit(folded, ranges.rounded(), UNCUT)}
    (folder / "block.json").write_text(json.dumps(formats))
    model = model.double()
    layer = model.transformer.h[0]
    seen: list[torch.Tensor] = []
    layer.register_forward_hook(lambda module, given, result: seen.extend((given[0], result)))
    ids = torch.randint(0, config.vocab_size, (INPUTS, TOKENS))
    model(ids)
    attention, feed = layer.attn, layer.mlp
    qkv, qkv_bias = _folded(layer.ln_1, attention.c_attn)
    up, up_bias = _folded(layer.ln_2, feed.c_fc)
    scale = torch.ones(3 * HIDDEN, dtype=torch.float64)
    scale[:HIDDEN] = (HIDDEN // HEADS) ** -0.5
    made = {
        "qkv": qkv * scale,
        "qkv_bias": qkv_bias * scale,
        "out": _centred(attention.c_proj.weight),
        "out_bias": _centred(attention.c_proj.bias),
        "up": up,
        "up_bias": up_bias,
        "down": _centred(feed.c_proj.weight),
        "down_bias": _centred(feed.c_proj.bias),
        "heads": torch.tensor(HEADS),
        "epsilon": torch.tensor(config.layer_norm_epsilon, dtype=torch.float64),
        "x": _centred(seen[0]),
        "wanted": _centred(seen[1]),
    }
    return {name: tensor.numpy() for name, tensor in made.items()}


def _folded(normaliser: Any, linear: Any) -> tuple[torch.Tensor, torch.Tensor]:
    return normaliser.weight[:, None] * linear.weight, linear.bias + normaliser.bias @ linear.weight


def _centred(rows: torch.Tensor) -> torch.Tensor:
    return rows - rows.mean(-1, keepdim=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
