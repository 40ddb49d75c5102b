"""Model folders with random weights and a small tokenizer, for tests and benches: nothing is downloaded.

Layers are louder than a fresh model's, so that greedy answers wander over many tokens instead of repeating one.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    GenerationConfig,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
)
from transformers.utils import logging

logging.disable_progress_bar()

BOS, EOS = 0, 1
LOUDER = 3.0
_CORPUS = (
    "a large animal with four legs and a long tail",
    "the act of moving from one place to another",
    "a building where people live, work or keep their things",
    "the quality of being bright or clear, as of light or of a mind",
    "a state of calm in which nobody is at war",
    "naïve café, jalapeño, smörgåsbord, Ελληνικά, 日本語, emoji 🙂 and 1234567890 numbers",
)


def save_tokenizer(folder: Path, vocab: int) -> Path:
    """A byte-level BPE of exactly `vocab` tokens (at least 258): ids 0 and 1 are `<s>` and `</s>`.

    Merges are learnt from a few sentences; the rest is filled with words that encoding never yields but decoding knows.
    """
    assert vocab >= 258, "two special tokens and 256 bytes"
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=min(vocab, 400),
        special_tokens=["<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    trained.train_from_iterator(_CORPUS, trainer)
    state = json.loads(trained.to_str())
    words: dict[str, int] = state["model"]["vocab"]
    words.update({f"Ġw{index}": index for index in range(len(words), vocab)})
    bpe = Tokenizer.from_str(json.dumps(state))
    bpe.decoder = decoders.ByteLevel()
    PreTrainedTokenizerFast(tokenizer_object=bpe, bos_token="<s>", eos_token="</s>").save_pretrained(folder)
    return folder


def save_llama(
    folder: Path,
    *,
    layers: int = 4,
    hidden: int = 64,
    vocab: int = 320,
    seed: int = 0,
    tied: bool = False,
    heads: int = 4,
    kv_heads: int | None = None,
    intermediate: int | None = None,
    context: int = 256,
    generation: dict[str, Any] | None = None,
    tokenizer: bool = True,
    dtype: torch.dtype = torch.float32,
    shard_size: str = "50GB",
    **config: Any,
) -> Path:
    """A Llama folder. `kv_heads` below `heads` gives grouped-query attention; `shard_size` splits the weight files."""
    shape = LlamaConfig(
        num_hidden_layers=layers,
        hidden_size=hidden,
        vocab_size=vocab,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads or heads,
        intermediate_size=intermediate or 2 * hidden,
        max_position_embeddings=context,
        tie_word_embeddings=tied,
        bos_token_id=BOS,
        eos_token_id=EOS,
        initializer_range=hidden**-0.5,
        **config,
    )
    return _save(LlamaForCausalLM, shape, folder, seed, generation, tokenizer, dtype, shard_size)


def save_qwen2(
    folder: Path,
    *,
    layers: int = 4,
    hidden: int = 64,
    vocab: int = 320,
    seed: int = 0,
    tied: bool = False,
    heads: int = 4,
    kv_heads: int | None = 2,
    intermediate: int | None = None,
    context: int = 256,
    sliding_window: int | None = None,
    full_layers: int = 2,
    generation: dict[str, Any] | None = None,
    tokenizer: bool = True,
    dtype: torch.dtype = torch.float32,
    shard_size: str = "50GB",
    **config: Any,
) -> Path:
    """A Qwen2 folder. With `sliding_window`, layers from `full_layers` on attend within that window only."""
    shape = Qwen2Config(
        num_hidden_layers=layers,
        hidden_size=hidden,
        vocab_size=vocab,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads or heads,
        intermediate_size=intermediate or 2 * hidden,
        max_position_embeddings=context,
        tie_word_embeddings=tied,
        use_sliding_window=sliding_window is not None,
        sliding_window=sliding_window or 4096,
        max_window_layers=full_layers,
        bos_token_id=BOS,
        eos_token_id=EOS,
        initializer_range=hidden**-0.5,
        **config,
    )
    return _save(Qwen2ForCausalLM, shape, folder, seed, generation, tokenizer, dtype, shard_size)


def save_gpt2(
    folder: Path,
    *,
    layers: int = 4,
    hidden: int = 64,
    vocab: int = 320,
    seed: int = 0,
    heads: int = 4,
    context: int = 256,
    generation: dict[str, Any] | None = None,
    tokenizer: bool = True,
    dtype: torch.dtype = torch.float32,
    shard_size: str = "50GB",
    **config: Any,
) -> Path:
    """A GPT-2 folder (always with tied embeddings, as the family's are)."""
    shape = GPT2Config(
        n_layer=layers,
        n_embd=hidden,
        vocab_size=vocab,
        n_head=heads,
        n_positions=context,
        bos_token_id=BOS,
        eos_token_id=EOS,
        initializer_range=hidden**-0.5,
        **config,
    )
    return _save(GPT2LMHeadModel, shape, folder, seed, generation, tokenizer, dtype, shard_size)


def save_llama_100m(folder: Path, *, seed: int = 0, vocab: int = 8192) -> Path:
    """The Llama of about 100M parameters that benches run on."""
    return save_llama(folder, layers=12, hidden=768, heads=12, intermediate=2048, vocab=vocab, context=1024, seed=seed)


def _save(
    kind: Any,
    config: Any,
    folder: Path,
    seed: int,
    generation: dict[str, Any] | None,
    tokenizer: bool,
    dtype: torch.dtype,
    shard_size: str,
) -> Path:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = kind(config).eval()
        with torch.no_grad():
            for name, tensor in model.named_parameters():
                if tensor.dim() == 1:  # norms and biases start at ones and zeros, under which a mix-up would not show
                    tensor.add_(torch.randn_like(tensor) * 0.1)
                elif "wpe" in name:
                    tensor.normal_(std=config.initializer_range)
                elif not any(part in name for part in ("embed_tokens", "wte", "lm_head")):
                    tensor.mul_(LOUDER)
    if generation is not None:
        model.generation_config = GenerationConfig(bos_token_id=BOS, **{"eos_token_id": EOS, **generation})
    model.to(dtype).save_pretrained(folder, max_shard_size=shard_size)
    if tokenizer:
        save_tokenizer(folder, config.vocab_size)
    return folder
