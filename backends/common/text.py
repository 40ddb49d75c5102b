"""Between text and token ids, at the client."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import AutoTokenizer

from unfed.plugins import ModelCard, UnfedError

UNFINISHED = "\N{REPLACEMENT CHARACTER}"
"""What decoding shows for bytes that are no whole character yet."""


class Text:
    """The tokenizer of a model's folder."""

    def __init__(self, tokenizer: Any, card: ModelCard) -> None:
        self._tokenizer = tokenizer
        self._card = card
        found = {tokenizer.convert_tokens_to_ids(f"<0x{byte:02X}>") for byte in range(256)}
        self.bytes = frozenset(found - {None, tokenizer.unk_token_id})
        """Tokens that stand for one byte each; decoders judge a run of them as one (byte fallback)."""
        self.special = frozenset(tokenizer.all_special_ids)

    @classmethod
    def of(cls, card: ModelCard) -> Text:
        """Load it from the model's folder; nothing is fetched.

        Raises:
            UnfedError: the folder has no tokenizer, or one that cannot be read.
        """
        try:
            tokenizer = AutoTokenizer.from_pretrained(Path(card.folder), local_files_only=True, trust_remote_code=False)
        except Exception as error:  # a broken tokenizer file raises anything, Rust panics' plain Exception included
            raise UnfedError(
                f"{card.name} has no tokenizer that can be read ({type(error).__name__})",
                hint="put tokenizer.json and tokenizer_config.json into the model's folder",
            ) from error
        if len(tokenizer) <= len(tokenizer.all_special_tokens):
            raise UnfedError(
                f"{card.name} has no tokenizer",
                hint="put tokenizer.json and tokenizer_config.json into the model's folder",
            )
        return cls(tokenizer, card)

    def encode(self, prompt: str) -> list[int]:
        """Token ids of `prompt`, with the special tokens that the tokenizer adds by itself.

        Raises:
            UnfedError: (`bad-input`) nothing to answer, more than the context holds, or ids unknown to the model.
        """
        if not prompt.strip():
            raise UnfedError("the prompt is empty", hint="write a prompt")
        ids: list[int] = self._tokenizer(prompt, verbose=False)["input_ids"]
        if not ids:
            raise UnfedError("the prompt has no tokens", hint="write a prompt in the model's alphabet")
        if 0 < self._card.context < len(ids):
            raise UnfedError(
                f"the prompt has {len(ids)} tokens, and the context of {self._card.name} is {self._card.context}",
                hint="shorten the prompt",
            )
        if max(ids) >= self._card.vocab:
            raise UnfedError(
                f"the tokenizer gives ids that {self._card.name}, which knows {self._card.vocab} tokens, does not have",
                hint="use the tokenizer that belongs to the model",
            )
        return ids

    def decode(self, ids: list[int]) -> str:
        """Text of `ids` without special tokens."""
        text: str = self._tokenizer.decode(ids, skip_special_tokens=True)
        return text

    def stream(self) -> Stream:
        """A decoder for one answer."""
        return Stream(self)


class Stream:
    """Decodes an answer token by token: what `add` and `finish` return, put together, is the text of all tokens.

    Only the last few tokens are decoded again at each step. Text is held back while it ends in the middle of a
    character or in a run of byte tokens, since what follows may still change it.
    """

    def __init__(self, text: Text) -> None:
        self._text = text
        self._ids: list[int] = []
        self._in_bytes = False
        # What decoders do at a start, such as dropping a space, must befall the known and the new text alike. So some
        # tokens before the new ones are decoded too: those from `_before` to `_known`.
        self._before = self._known = 0
        self.shown = ""

    def add(self, token: int) -> str:
        """What `token` adds to the text; may be empty."""
        self._ids.append(token)
        if token not in self._text.special:
            self._in_bytes = token in self._text.bytes
        if self._in_bytes:
            return ""
        new = self._new()
        if not new or new.endswith(UNFINISHED):
            return ""
        self._before, self._known = self._known, len(self._ids)
        self.shown += new
        return new

    def finish(self) -> str:
        """What was held back."""
        whole = self._text.decode(self._ids)
        rest = whole[len(self.shown) :] if whole.startswith(self.shown) else self._new()
        self.shown += rest
        return rest

    def _new(self) -> str:
        known = self._text.decode(self._ids[self._before : self._known])
        now = self._text.decode(self._ids[self._before :])
        return now[len(known) :] if now.startswith(known) else ""
