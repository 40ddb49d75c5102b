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
                f"{card.name} has no tokenizer", hint="put tokenizer.json and tokenizer_config.json into the model's folder"
            )
        return cls(tokenizer, card)

    def encode(self, prompt: str) -> list[int]:
        """Token ids of `prompt`, with the special tokens that the tokenizer adds by itself.

        Raises:
            UnfedError: (`bad-input`) nothing to answer, more than the context holds, or ids that the model does not know.
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

    Only the last few tokens are decoded again at each step. A token's text is held back while it ends in the middle of
    a character.
    """

    def __init__(self, text: Text) -> None:
        self._text = text
        self._ids: list[int] = []
        self._before = 0  # tokens from here on are decoded, those up to `_shown` having been shown: what decoders
        self._shown = 0  # do at a start (such as dropping a space) then befalls both and cancels out
        self.shown = ""

    def add(self, token: int) -> str:
        """What `token` adds to the text; may be empty."""
        self._ids.append(token)
        known = self._text.decode(self._ids[self._before : self._shown])
        now = self._text.decode(self._ids[self._before :])
        if len(now) <= len(known) or now.endswith(UNFINISHED) or not now.startswith(known):
            return ""
        self._before, self._shown = self._shown, len(self._ids)
        self.shown += now[len(known) :]
        return now[len(known) :]

    def finish(self) -> str:
        """What was held back."""
        whole = self._text.decode(self._ids)
        rest = whole[len(self.shown) :] if whole.startswith(self.shown) else ""
        self.shown += rest
        return rest
