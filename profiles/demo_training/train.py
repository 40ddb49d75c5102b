"""Trains the demo model: a small Llama that names the category and the word of a dictionary definition.

    python profiles/demo_training/train.py --out profiles/demo/model

The corpus is WordNet 3.0's noun file (`apt-get install wordnet-base`). The matrices inside the layers are trained
with Muon, everything else with AdamW. One thread and a fixed seed: the same machine gives the same model.
"""

from __future__ import annotations

import argparse
import math
import random
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from corpus import (  # type: ignore[import-not-found, unused-ignore]  # found beside this script when it is run
    DEFAULT_DATA,
    END_ID,
    END_TOKEN,
    VOCABULARY,
    Example,
    encode,
    load_or_exit,
    train_tokenizer,
)
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn import functional as F
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

HIDDEN = 128
POSITIONS = 256
BATCH_TOKENS = 4096
SENTENCE_SHARE = 0.1  # seen with a capital letter and a full stop, as people type
MUON_RATE, ADAM_RATE, WARM_UP = 0.02, 3e-3, 0.03
GLOSS_WEIGHT, WORD_WEIGHT = 0.03, 0.2  # per token, beside 1 for the category token


def epoch_batches(examples: Sequence[Example], rng: random.Random) -> list[list[Example]]:
    """One epoch's batches in random order, each of sequences of similar length."""
    ordered = sorted(examples, key=lambda example: len(example.ids) + 2 * rng.random())
    batches: list[list[Example]] = [[]]
    for example in ordered:
        if batches[-1] and (len(example.ids) + 1) * (len(batches[-1]) + 1) > BATCH_TOKENS:
            batches.append([])
        batches[-1].append(example)
    rng.shuffle(batches)
    return batches


def loss_of(model: LlamaForCausalLM, batch: Sequence[Example], dropout: float) -> tuple[Tensor, Tensor]:
    """The training loss of a batch, and the category token's part of it."""
    width = max(len(example.ids) for example in batch)
    ids = torch.full((len(batch), width), END_ID)
    weights = torch.zeros(len(batch), width - 1)
    for row, example in enumerate(batch):
        ids[row, : len(example.ids)] = torch.tensor(example.ids)
        weights[row, : example.prompt - 1] = GLOSS_WEIGHT
        weights[row, example.prompt - 1] = 1.0
        weights[row, example.prompt : len(example.ids) - 1] = WORD_WEIGHT
    # Sequences are padded on the right and attention looks only left, so no attention mask is needed.
    embedded = F.dropout(model.model.embed_tokens(ids), dropout)
    hidden = model.model(inputs_embeds=embedded, use_cache=False).last_hidden_state
    flat = weights.flatten()
    used = flat > 0
    logits = model.lm_head(F.dropout(hidden[:, :-1].flatten(0, 1)[used], dropout))
    losses = F.cross_entropy(logits, ids[:, 1:].flatten()[used], reduction="none")
    category = losses[flat[used] == 1.0].mean()
    return (losses * flat[used]).sum() / len(batch), category


def optimizers(model: LlamaForCausalLM) -> list[torch.optim.Optimizer]:
    """Muon for the matrices inside the layers, AdamW for the embeddings, the head and the norms."""
    inside = [p for name, p in model.named_parameters() if p.ndim == 2 and ".layers." in name]
    chosen = {id(p) for p in inside}
    outside = [p for p in model.parameters() if id(p) not in chosen]
    muon = torch.optim.Muon(inside, lr=MUON_RATE, weight_decay=0.1, adjust_lr_fn="original")
    return [muon, torch.optim.AdamW(outside, lr=ADAM_RATE, betas=(0.9, 0.95), weight_decay=0.1)]


def plan_of(plain: Sequence[Example], sentences: Sequence[Example], epochs: int, seed: int) -> list[list[Example]]:
    """All batches of the training; in every epoch another tenth of the definitions is written as a sentence."""
    rng = random.Random(seed)
    plan = []
    for _ in range(epochs):
        pairs = zip(plain, sentences, strict=True)
        mixed = [sentence if rng.random() < SENTENCE_SHARE else usual for usual, sentence in pairs]
        plan += epoch_batches(mixed, rng)
    return plan


def train(model: LlamaForCausalLM, plan: Sequence[Sequence[Example]], dropout: float) -> None:
    """Trains the model in place, printing progress and the time left."""

    def rate(step: int) -> float:
        done = step / len(plan)
        return max(1e-3, min(1.0, done / WARM_UP) * (1 + math.cos(math.pi * done)) / 2)

    both = optimizers(model)
    schedules = [torch.optim.lr_scheduler.LambdaLR(optimizer, rate) for optimizer in both]
    model.train()
    began, seen = time.monotonic(), 0.0
    for step, batch in enumerate(plan, start=1):
        loss, category = loss_of(model, batch, dropout)
        model.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call, unused-ignore]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer, schedule in zip(both, schedules, strict=True):
            optimizer.step()
            schedule.step()
        seen += category.item()
        if step % 50 == 0 or step == len(plan):
            spent = time.monotonic() - began
            left = spent / step * (len(plan) - step)
            mean = seen / ((step - 1) % 50 + 1)
            print(f"step {step}/{len(plan)}, category loss {mean:.3f}, {left / 60:.1f} min left", flush=True)
            seen = 0.0


def export(model: LlamaForCausalLM, tokenizer: Tokenizer, out: Path) -> None:
    """Writes the model folder's files, each moved into place whole."""
    untyped: Any = PreTrainedTokenizerFast
    wrapped = untyped(
        tokenizer_object=tokenizer,
        eos_token=END_TOKEN,
        pad_token=END_TOKEN,
        model_max_length=POSITIONS,
        clean_up_tokenization_spaces=False,
    )
    untyped = GenerationConfig
    model.generation_config = untyped(eos_token_id=END_ID, pad_token_id=END_ID, do_sample=False)
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out, prefix=".new-") as folder:
        model.save_pretrained(folder)
        wrapped.save_pretrained(folder)
        settings = Path(folder, "tokenizer_config.json")  # the class name that every release of transformers knows
        settings.write_text(settings.read_text().replace("TokenizersBackend", "PreTrainedTokenizerFast"))
        for file in sorted(Path(folder).iterdir()):
            file.chmod(0o644)
            file.replace(out / file.name)


def new_model() -> LlamaForCausalLM:
    """The untrained model: about 1.1 million parameters, the head not tied to the embeddings."""
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=VOCABULARY,
            hidden_size=HIDDEN,
            intermediate_size=2 * HIDDEN,
            num_hidden_layers=4,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=POSITIONS,
            tie_word_embeddings=False,
            bos_token_id=None,
            eos_token_id=END_ID,
            pad_token_id=END_ID,
        )
    )


def main() -> None:
    """Trains and writes the model folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="model folder to write")
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA, help="WordNet's data.noun")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--dropout", type=float, default=0.05)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(arguments.seed)
    entries, held_out = load_or_exit(arguments.data)
    tokenizer = train_tokenizer(entries)
    sentences = encode(tokenizer, [entry.as_sentence() for entry in entries])
    plan = plan_of(encode(tokenizer, entries), sentences, arguments.epochs, arguments.seed)
    model = new_model()
    size = sum(parameter.numel() for parameter in model.parameters())
    print(f"{len(entries)} definitions to train on, {len(held_out)} held out; {size:,} parameters", flush=True)
    train(model, plan, arguments.dropout)
    export(model, tokenizer, arguments.out)
    print(f"Written to {arguments.out}; measure it with evaluate.py beside this script")


if __name__ == "__main__":
    main()
