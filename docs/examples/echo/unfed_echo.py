"""`echo`: a server sends back what it is sent, a word at a time. Small, and yet a whole backend."""

import asyncio
import secrets
from collections.abc import AsyncIterator

from unfed.plugins import (
    Answer, Backend, Claim, ClientRole, Metric, Models, Options, Party, Plan, Query, Role, Token, UnfedError,
    chain, hookimpl, serve,
)  # fmt: skip


class EchoOptions(Options):
    masked: bool = True
    """Hide every word from the server under a one-time pad; without, it reads along."""
    delay: float = 0.01
    """Seconds that the server takes over each word."""


class Echo(Backend):
    name, title = "echo", "Echo"
    summary = "A server repeats the prompt, word by word, and need not be able to read it."
    Options = EchoOptions
    slots = {}  # noqa: RUF012  (it takes no model)

    def plan(self, models: Models, options: Options) -> Plan:
        assert isinstance(options, EchoOptions)
        settings = options.model_dump()
        basis, reveals = ("information-theoretic", "word lengths") if options.masked else ("none", "everything")
        assumes = ("the client's system generator is good",) if options.masked else ()
        return Plan(
            parties=(
                Party("client", "unfed_echo:Client", settings=settings),
                Party("server", "unfed_echo:Server", settings=settings),
            ),
            links=chain("client", "server"),
            guarantee=tuple(
                Claim(asset=asset, property="confidentiality", against=("server",), basis=basis,
                      assumes=assumes, reveals=(reveals,))
                for asset in ("prompt", "output")
            ),
        )  # fmt: skip


class Client(ClientRole):
    async def answer(self, query: Query) -> AsyncIterator[Token | Metric | Answer]:
        words = query.prompt.split()
        if not words:
            raise UnfedError("the prompt is empty", hint="write a word or two")
        said: list[str] = []
        with self.ctx.phase("echo"):
            for place, word in enumerate(words[: query.max_new_tokens]):
                data = word.encode()
                pad = secrets.token_bytes(len(data)) if self.ctx.settings["masked"] else bytes(len(data))
                sent = bytes(a ^ b for a, b in zip(data, pad, strict=True))
                back = await self.ctx.call("server", "echo", word=sent)
                said.append(bytes(a ^ b for a, b in zip(back, pad, strict=True)).decode())
                yield Token(id=place, text=f"{said[-1]} ")
        whole = len(said) == len(words)
        yield Answer(text=" ".join(said), token_ids=tuple(range(len(said))), stopped="end" if whole else "length")


class Server(Role):
    @serve
    async def echo(self, sender: str, *, word: bytes) -> bytes:
        await asyncio.sleep(self.ctx.settings["delay"])
        self.ctx.contribute(layer_tokens=1)
        return word


@hookimpl
def unfed_backends() -> list[type[Backend]]:
    return [Echo]
