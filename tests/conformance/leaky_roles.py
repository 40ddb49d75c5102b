"""The roles of the leaky backend: each leak is a way in which an author might break a promise without noticing."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import secrets
import zlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer

from unfed.plugins import Answer, ClientRole, Failure, Metric, Query, Role, Token, UnfedError, serve

Parts = list[tuple[str, Any]]
"""What is sent to whom, in order."""


class Secret:
    """All that one query has to hide."""

    def __init__(self, text: str, ids: list[int], rows: torch.Tensor, answer: list[int], logits: torch.Tensor) -> None:
        self.text, self.ids, self.rows, self.answer, self.logits = text, ids, rows, answer, logits


def to_one(leak: Callable[[Secret], Any]) -> Callable[[Secret], Parts]:
    return lambda secret: [("one", leak(secret))]


def _bytes(values: list[int], width: int, order: str) -> bytes:
    return b"".join(value.to_bytes(width, order) for value in values)  # type: ignore[arg-type]


def _xor(data: bytes) -> Parts:
    pad = secrets.token_bytes(len(data))
    return [("one", bytes(a ^ b for a, b in zip(data, pad, strict=True))), ("two", pad)]


def _shares(values: torch.Tensor) -> Parts:
    """Additive shares over 64 bits, both of which the two nodes could put together."""
    mask = torch.frombuffer(bytearray(secrets.token_bytes(8 * values.numel())), dtype=torch.int64).reshape(values.shape)
    return [("one", values - mask), ("two", mask)]


def _one_hot(secret: Secret) -> torch.Tensor:
    return torch.nn.functional.one_hot(torch.tensor(secret.ids), 2048).float()


def _int8(rows: torch.Tensor) -> torch.Tensor:
    return (rows / rows.abs().amax(dim=1, keepdim=True) * 127).round().to(torch.int8)


TEXT: dict[str, Callable[[Secret], Parts]] = {
    "utf-8": to_one(lambda secret: secret.text),
    "upper case": to_one(lambda secret: secret.text.upper()),
    "utf-16": to_one(lambda secret: secret.text.encode("utf-16-be")),
    "hexadecimal": to_one(lambda secret: secret.text.encode().hex()),
    "base64": to_one(lambda secret: base64.b64encode(b"?" + secret.text.encode())),
    "character codes": to_one(lambda secret: [ord(letter) for letter in secret.text]),
    "letter by letter": lambda secret: [("one", letter) for letter in secret.text],
    "by turns": lambda secret: [(("one", "two")[i % 2], ord(c)) for i, c in enumerate(secret.text)],
    "one-time pad": lambda secret: _xor(secret.text.encode()),
}
IDS: dict[str, Callable[[Secret], Parts]] = {
    "list": to_one(lambda secret: secret.ids),
    "nested": to_one(lambda secret: {"batch": [{"id": each, "at": i} for i, each in enumerate(secret.ids)]}),
    "16 bits": to_one(lambda secret: torch.tensor(secret.ids, dtype=torch.int16)),
    "32 bits": to_one(lambda secret: torch.tensor(secret.ids, dtype=torch.int32)),
    "64 bits": to_one(lambda secret: torch.tensor([secret.ids])),
    "32 bits, big-endian": to_one(lambda secret: _bytes(secret.ids, 4, "big")),
    "16 bits within bytes": to_one(lambda secret: b"\1\2\3" + _bytes(secret.ids, 2, "little")),
    "float32": to_one(lambda secret: torch.tensor(secret.ids).float()),
    "float64": to_one(lambda secret: torch.tensor(secret.ids).double()),
    "json": to_one(lambda secret: json.dumps(secret.ids)),
    "decimals": to_one(lambda secret: "; ".join(map(str, secret.ids)).encode()),
    "one by one": lambda secret: [("one", each) for each in secret.ids],
    "one by one, as tensors": lambda secret: [("one", torch.tensor([[each]])) for each in secret.ids],
    "one-hot": to_one(_one_hot),
    "shared": lambda secret: _shares(torch.tensor(secret.ids)),
    "shared in fixed point": lambda secret: _shares(torch.tensor(secret.ids) << 16),
}
ROWS: dict[str, Callable[[Secret], Parts]] = {
    "float32": to_one(lambda secret: secret.rows[None]),
    "float16": to_one(lambda secret: secret.rows.half()),
    "bfloat16": to_one(lambda secret: secret.rows.bfloat16()),
    "bytes": to_one(lambda secret: secret.rows.numpy().tobytes()),
    "scaled": to_one(lambda secret: secret.rows * -11.3),
    "quantised": to_one(lambda secret: _int8(secret.rows)),
    "last one": to_one(lambda secret: secret.rows[-1] + 1e-5),
    "shared": lambda secret: _shares((secret.rows * 2**16).round().long()),
    "masked with floats": lambda secret: [
        ("one", secret.rows + (mask := torch.randn_like(secret.rows))),
        ("two", mask),
    ],
}
OUTPUT: dict[str, Callable[[Secret], Parts]] = {
    "answer ids": to_one(lambda secret: secret.answer),
    "logits": to_one(lambda secret: secret.logits),
    "bfloat16 logits": to_one(lambda secret: secret.logits.bfloat16()),
    "probabilities": to_one(lambda secret: torch.softmax(secret.logits, -1)),
    "log-probabilities": to_one(lambda secret: torch.log_softmax(secret.logits[0], -1)),
}
LEAKS = {
    f"{what} as {form}": leak
    for what, forms in {"text": TEXT, "ids": IDS, "rows": ROWS, "output": OUTPUT}.items()
    for form, leak in forms.items()
}
_PAD = bytes(range(7, 256)) * 16


class Client(ClientRole):
    async def start(self) -> None:
        self._tokenizer = Tokenizer.from_file(str(Path(self.ctx.model.folder) / "tokenizer.json"))
        self._table = next(iter(self.ctx.model.tensors().values()))
        self._leak: str = self.ctx.settings["leak"]
        self._current = ""
        self._asked = 0

    async def answer(self, query: Query) -> AsyncIterator[Token | Metric | Answer]:
        ids = self._ids(query)
        self._current = query.prompt
        self._asked += 1
        salt = str(self._asked) if self._leak == "whim" else ""
        await asyncio.sleep(0.01)
        answered = self._current if self._leak == "mix" else query.prompt
        chance = torch.Generator().manual_seed(zlib.crc32((answered + salt).encode()))
        logits = torch.randn(query.max_new_tokens, self.ctx.model.card.vocab, generator=chance)
        answer = logits.argmax(-1).tolist()
        texts = [self._tokenizer.decode([each]) + " " for each in answer]
        secret = Secret(query.prompt, ids, self._table[ids], answer, logits)
        for node in ("one", "two")[: 1 if self._leak == "lopsided" else 2]:
            await self.ctx.call(node, "noise", noise=torch.randn(3, 128))
        for node, part in LEAKS.get(self._leak, lambda _: [])(secret):
            await self.ctx.call(node, "tell", what=part)
        if self._leak == "held":
            await self.ctx.call("one", "unmask", what=_masked(query.prompt))
        if self._leak == "busy":
            await self.ctx.send("one", "work")
        for place, (token, text) in enumerate(zip(answer, texts, strict=True)):
            yield Token(id=token, text=text, logits=logits[place].numpy().tobytes() if query.logits else None)
            await asyncio.sleep(0.005)
        if self._leak == "untrue":
            answer = answer[::-1]
        yield Answer(text="".join(texts), token_ids=tuple(answer), stopped="length")

    def lost(self, party: str, failure: Failure) -> None:
        if self._leak == "tender":
            raise UnfedError("it cannot do without", kind="role", party=party)

    @serve
    async def ping(self, sender: str) -> None:
        pass

    def _ids(self, query: Query) -> list[int]:
        ids: list[int] = self._tokenizer.encode(query.prompt).ids
        if self._leak == "talkative":
            logging.getLogger("leaky").warning("asked: %s", query.prompt)
        if self._leak == "hungry" and not query.prompt.strip():
            return [1]
        if not query.prompt.strip():
            raise UnfedError("the prompt is empty")
        if len(ids) > self.ctx.model.card.context:
            quoted = query.prompt[:60] if self._leak == "quoting" else "the prompt"
            raise UnfedError(f"{quoted} is too long", kind="role" if self._leak == "blaming" else "bad-input")
        return ids


class Node(Role):
    async def start(self) -> None:
        self._kept: dict[str, Any] = {}
        if self.ctx.settings["leak"] == "orphan" and self.ctx.name == "one":
            await asyncio.create_subprocess_exec("sleep", "12", start_new_session=True)

    async def forget(self, query: str) -> None:
        if self.ctx.settings["leak"] != "remember":
            self._kept.pop(query, None)

    @serve
    async def noise(self, sender: str, *, noise: torch.Tensor) -> torch.Tensor:
        self._kept[self.ctx.query] = noise
        if self.ctx.settings["leak"] == "open files":
            _HANDLES.append(Path("/dev/null").open())  # noqa: SIM115
        return noise * 2

    @serve
    async def tell(self, sender: str, *, what: Any) -> None:
        pass

    @serve
    async def unmask(self, sender: str, *, what: bytes) -> None:
        self.ctx.hold("notes", text=_masked(what.decode("latin-1")))

    @serve
    async def work(self, sender: str) -> None:
        asyncio.get_running_loop().create_task(self._work())

    async def _work(self) -> None:
        while True:
            await self.ctx.send("client", "ping")
            await asyncio.sleep(0.05)


_HANDLES: list[Any] = []


def _masked(text: str) -> bytes:
    """Text under a pad that both sides know already."""
    return bytes(a ^ b for a, b in zip(text.encode("latin-1"), _PAD, strict=False))
