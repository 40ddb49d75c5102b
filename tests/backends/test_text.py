"""Tokenizer and incremental decoding."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from fakes import card_of
from hypothesis import given
from hypothesis import strategies as st
from random_models import save_llama
from tokenizers import Tokenizer, decoders, models, normalizers, processors
from transformers import PreTrainedTokenizerFast

from unfed.backends.common.text import UNFINISHED, Text
from unfed.plugins import ModelCard, UnfedError

VOCAB = 400


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_llama(tmp_path_factory.mktemp("model") / "llama", vocab=VOCAB, layers=1, context=24)


@pytest.fixture(scope="module")
def text(folder: Path) -> Text:
    return Text.of(card_of(folder))


@pytest.fixture(scope="module")
def sentencepiece(folder: Path) -> Text:
    """As Llama's: spaces are ▁, the first one is dropped, and unknown characters fall back to bytes."""
    words = {"<unk>": 0, "</s>": 1} | {f"<0x{byte:02X}>": 2 + byte for byte in range(256)}
    words |= {word: 258 + index for index, word in enumerate(["▁", "a", "b", "▁a", "▁b", "ab", "▁ab", "é", "'s", "."])}
    bpe = Tokenizer(
        models.BPE(words, [("a", "b"), ("▁", "a"), ("▁", "b"), ("▁", "ab")], byte_fallback=True, unk_token="<unk>")
    )
    bpe.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    bpe.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return Text(PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token="</s>", unk_token="<unk>"), card_of(folder))


def streamed(text: Text, ids: list[int]) -> list[str]:
    stream = text.stream()
    pieces = [stream.add(token) for token in ids]
    pieces.append(stream.finish())
    assert stream.shown == "".join(pieces)
    return pieces


@given(ids=st.lists(st.integers(0, VOCAB - 1), max_size=40))
def test_pieces_make_up_the_text_of_any_tokens(text: Text, ids: list[int]) -> None:
    assert "".join(streamed(text, ids)) == text.decode(ids)


@given(ids=st.lists(st.integers(0, 267), max_size=40))
def test_pieces_make_up_the_text_of_any_sentencepiece_tokens(sentencepiece: Text, ids: list[int]) -> None:
    assert "".join(streamed(sentencepiece, ids)) == sentencepiece.decode(ids)


@given(words=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12).filter(str.strip))
def test_characters_that_span_tokens_arrive_whole(text: Text, words: str) -> None:
    words = words.replace(UNFINISHED, "?")
    ids = text._tokenizer(words)["input_ids"]
    pieces = streamed(text, ids)
    assert "".join(pieces) == words
    assert not any(UNFINISHED in piece for piece in pieces)


def test_text_comes_as_soon_as_it_is_whole(text: Text) -> None:
    ids = text.encode("a 🙂 mind")
    assert len(ids) > 4
    pieces = streamed(text, ids)
    assert pieces[0] == "a"
    assert pieces[-1] == ""


def test_special_tokens_are_not_shown(text: Text) -> None:
    assert "".join(streamed(text, [0, *text.encode("calm"), 1])) == "calm"


def test_a_long_answer_costs_little_per_token(text: Text) -> None:
    asked: list[int] = []
    decode = text.decode
    stream = Text(text._tokenizer, text._card).stream()
    stream._text.decode = lambda ids: asked.append(len(ids)) or decode(ids)  # type: ignore[method-assign,func-returns-value]
    for token in text.encode("the act of moving") * 40:
        stream.add(token)
    assert max(asked) <= 4


def test_encoding_is_the_tokenizers_own(folder: Path, text: Text, tmp_path: Path) -> None:
    plain = text._tokenizer("a calm mind")["input_ids"]
    assert text.encode("a calm mind") == plain
    shutil.copytree(folder, tmp_path / "model")
    adding = Tokenizer.from_file(str(folder / "tokenizer.json"))
    adding.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    adding.save(str(tmp_path / "model" / "tokenizer.json"))
    assert Text.of(card_of(tmp_path / "model")).encode("a calm mind") == [0, *plain]


@pytest.mark.parametrize("prompt", ["", "   ", "\n\t"])
def test_an_empty_prompt_is_refused(text: Text, prompt: str) -> None:
    with pytest.raises(UnfedError, match="empty") as refused:
        text.encode(prompt)
    assert refused.value.failure.kind == "bad-input"


def test_a_prompt_over_the_context_is_refused_with_both_numbers(text: Text) -> None:
    assert len(text.encode("!" * 24)) == 24
    with pytest.raises(UnfedError, match=r"25 tokens.* 24") as refused:
        text.encode("!" * 25)
    assert refused.value.failure.kind == "bad-input"


def test_a_tokenizer_that_knows_more_than_the_model_is_refused(folder: Path, text: Text) -> None:
    import msgspec

    small: ModelCard = msgspec.structs.replace(card_of(folder), vocab=10)
    with pytest.raises(UnfedError, match="tokenizer"):
        Text(text._tokenizer, small).encode("calm")


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_a_folder_without_tokenizer_is_refused_with_a_hint(family: str, folder: Path, tmp_path: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"model_type": family}))
    with pytest.raises(UnfedError, match="tokenizer") as refused:
        Text.of(card_of(tmp_path))
    assert "tokenizer.json" in str(refused.value.failure.hint)


def test_a_broken_tokenizer_is_refused(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "model")
    (tmp_path / "model" / "tokenizer.json").write_text('{"model": {}}')
    with pytest.raises(UnfedError, match="tokenizer"):
        Text.of(card_of(tmp_path / "model"))
