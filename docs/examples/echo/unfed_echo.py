"""`echo`: a server sends back what it is sent, a word at a time. Small, and yet a whole backend."""

import asyncio
import secrets
from collections.abc import AsyncIterator

import unfed.plugins as unfed


class EchoOptions(unfed.Options):
    masked: bool = True
    """Hide every word from the server under a one-time pad; without, it reads along."""
    delay: float = 0.01
    """Seconds that the server takes over each word."""


class Echo(unfed.Backend):
    name, title = "echo", "Echo"
    summary = "A server repeats the prompt word by word, and need not be able to read it."
    Options = EchoOptions
    slots = {}  # noqa: RUF012  (it takes no model)

    def plan(self, models: unfed.Models, options: unfed.Options) -> unfed.Plan:
        settings = options.model_dump()
        masked = settings["masked"]
        claims = (
            unfed.Claim(
                asset=asset,
                property="confidentiality",
                against=("server",),
                basis="information-theoretic" if masked else "none",
                reveals=("number and length of the words",) if masked else ("every word",),
            )
            for asset in ("prompt", "output")
        )
        return unfed.Plan(
            parties=(
                unfed.Party("client", "unfed_echo:Client", settings=settings),
                unfed.Party("server", "unfed_echo:Server", settings=settings),
            ),
            links=unfed.chain("client", "server"),
            guarantee=tuple(claims),
        )


class Client(unfed.ClientRole):
    async def answer(self, query: unfed.Query) -> AsyncIterator[unfed.Token | unfed.Metric | unfed.Answer]:
        words = query.prompt.split()
        if not words:
            raise unfed.UnfedError("the prompt is empty", hint="write a word or two")
        said: list[str] = []
        with self.ctx.phase("echo"):
            for place, word in enumerate(words[: query.max_new_tokens]):
                said.append(await self._echo(word.encode()))
                yield unfed.Token(id=place, text=f"{said[-1]} ")
        whole = len(said) == len(words)
        ids = tuple(range(len(said)))
        yield unfed.Answer(text=" ".join(said), token_ids=ids, stopped="end" if whole else "length")

    async def _echo(self, word: bytes) -> str:
        pad = secrets.token_bytes(len(word)) if self.ctx.settings["masked"] else bytes(len(word))
        back = await self.ctx.call("server", "echo", word=xor(word, pad))
        return xor(back, pad).decode()


class Server(unfed.Role):
    @unfed.serve
    async def echo(self, sender: str, *, word: bytes) -> bytes:
        await asyncio.sleep(self.ctx.settings["delay"])
        self.ctx.contribute(layer_tokens=1)
        return word


def xor(one: bytes, other: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(one, other, strict=True))


@unfed.hookimpl
def unfed_backends() -> list[type[unfed.Backend]]:
    return [Echo]
