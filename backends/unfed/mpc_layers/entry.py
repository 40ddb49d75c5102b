"""An entry that runs the first layers too, as one of the engine's two nodes."""

from __future__ import annotations

import asyncio
import contextlib
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial

import torch

from unfed.plugins import CLIENT, UnfedError, serve

from ...common.beginning import beginning
from ...common.folded import Folded, fold
from ...mpc.engine.embedding import Keys, levels
from ...mpc.transformer.bounds import fit
from ...mpc.transformer.calibrate import calibrate
from ...mpc.transformer.program import Transformer
from ...mpc.transformer.public import fixed
from ...mpc.transformer.running import Material, RunSession
from ...mpc.transformer.scales import Format
from ...mpc.transformer.warm import warm
from ..circuits.cells import Done, Over, read_keys
from ..circuits.hop import Hop, Passage
from ..circuits.onion import Unsealed
from ..integrity.held import Held
from ..integrity.ledger import Ledgers
from ..names import DEALER, ENTRIES
from ..nodes.beginning import leading, state
from .agreed import Agreed
from .cells import ToNode, decode_told, guard, prepared, read_step

THREADS = 64
"""Steps under way at once. Most of their time they wait for the peer, and each in a thread of its own."""
LEAVE = 5.0
"""Seconds that a step under way has to end once its circuit is closed: then both entries have ended it alike."""


RING = "z64"
"""What its statements say that its shares are over."""


class LayersEntry(Hop, Held):
    """Learns how many tokens there are and nothing else; of all that depends on them it holds a share.

    Settings:
        party: 0 or 1.
        firsts: nodes that the layers may go on at.
        layers: how many of the first ones it runs.
        context: most rows of a session.
        stated: whether it is to be held to what it does.
        verifier: see `Held`.
    """

    async def start(self) -> None:
        await super().start()
        self._party: int = self.ctx.settings["party"]
        self._peer = ENTRIES[1 - self._party]
        self._layers: int = self.ctx.settings["layers"]
        self._card = self.ctx.model.card
        self._depth = levels(self._card.vocab)
        self._sessions: dict[Passage, _Session] = {}
        self._threads = ThreadPoolExecutor(THREADS, "step")
        self._own: Transformer | None = None
        self._agreed = Agreed(self.ctx, self._built)
        if self._party == 0:
            folded = fold(self.ctx.model, self._layers)
            ranges = calibrate(beginning(self.ctx.model, self._layers), self.ctx.settings["context"])
            self._format = fit(folded, ranges)
            self._own = self._built(self._format, folded)
        else:
            await self._agreed.begin()
        opened = sorted(self._card.opened(self.ctx.model.opens))
        if self.ctx.settings["stated"]:
            self._ledgers = Ledgers(self.ctx, (0, self._layers - 1), self.ctx.model.tensors(*opened), RING)
        self.ctx.hold("weights opened", tensors=opened)

    def _built(self, format: Format, folded: Folded | None = None) -> Transformer:
        transformer = Transformer(fixed(folded or fold(self.ctx.model, self._layers), format.scales), format)
        warm(transformer, self._party)
        return transformer

    async def _program(self) -> Transformer:
        return self._own or await self._agreed.program()

    @serve
    async def format(self, sender: str) -> list[object]:
        """How the layers' numbers are held, from their weights and from running them on random tokens."""
        return list(self._format)

    async def arrived(self, passage: Passage, told: bytes) -> None:
        found = leading(decode_told, told, self.ctx.settings["firsts"], passage.before[0])
        self._sessions[passage] = _Session(self._party, found)

    async def gone(self, peer: str) -> None:
        """Nothing is sent there any more for sessions of before: a fresh process would not know what to do with it."""
        for session in self._sessions.values():
            session.gone.add(peer)
        await super().gone(peer)

    async def closed(self, passage: Passage) -> None:
        if (session := self._sessions.pop(passage, None)) is None:
            return
        session.over = True
        if self._ledgers is not None:
            self._ledgers.drop(session.told.session)
        try:
            async with asyncio.timeout(LEAVE), session.turn:
                pass
        except TimeoutError:
            pass  # its peer was never asked for the step
        session.running.close()
        ends: tuple[tuple[str, dict[str, bytes]], ...] = (
            (DEALER, {"session": session.told.material}),
            (session.told.route[0], {"session": session.told.session, "leave": session.leave}),
        )
        for peer, told in ends:
            if peer not in session.gone:
                with contextlib.suppress(UnfedError):  # where it is gone by now, it keeps nothing
                    await self.ctx.send(peer, "end", **told)

    async def received(self, passage: Passage, data: bytes) -> None:
        session, sender = self._sessions[passage], passage.before[0]
        async with session.turn:
            preparing = session.running.prepared == session.running.done
            if session.over or (DEALER if preparing else self._peer) in session.gone:
                return  # nobody waits for it any more
            try:
                if preparing:
                    await self._prepare(passage, session, data)
                else:
                    await self._step(passage, session, data)
            except Unsealed as error:
                raise self._misused(sender, f"sent {error}") from None
            except UnfedError:
                if not session.over:  # or nobody waits for it any more
                    raise

    async def _prepare(self, passage: Passage, session: _Session, data: bytes) -> None:
        """Fetch and expand the next step's randomness; or state what was done, where no step is to come."""
        asked, running = read_step(data), session.running
        if isinstance(asked, Over):
            if session.told.route[0] not in session.gone:
                await state(self.ctx, self._ledgers, session.told, asked.release)
            return
        if isinstance(asked, Done):
            session.leave = asked.leave
            if self._ledgers is not None:
                self._ledgers.dismiss(session.told.session, asked.leave)
            return
        if asked.start != running.ahead or asked.start + asked.tokens > self.ctx.settings["context"]:
            raise Unsealed("a cell that prepares a step out of turn, or more rows than there may be")
        running.prepared, running.ahead = running.prepared + 1, asked.start + asked.tokens
        program = session.program = session.program or await self._program()
        told = {"session": session.told.material, "step": running.done, "start": asked.start, "tokens": asked.tokens}
        material = Material.travelled(await self.ctx.call(DEALER, "material", **told), DEALER)
        await asyncio.to_thread(running.prepare, program, asked.start, asked.tokens, material)
        await self.answer(passage, prepared())

    async def _step(self, passage: Passage, session: _Session, data: bytes) -> None:
        """Run tokens through the layers."""
        start, keys = read_keys(data, self._card.vocab, self._depth)
        running, told, tokens = session.running, session.told, len(keys.root)
        if not running.ready or (start, tokens) != (running.ready[0].start, running.ready[0].tokens):
            raise Unsealed("a cell whose keys do not fit what was prepared")
        self.ctx.hold("keys", **keys._asdict())
        running.done += 1
        assert session.program is not None, "a step that was prepared has one"
        run = partial(copy_context().run, self._run, session, session.program, keys)
        share, fallen = await asyncio.get_running_loop().run_in_executor(self._threads, run)
        if session.over or told.route[0] in session.gone:
            return
        self.ctx.contribute(rows=tokens, layer_tokens=self._layers * tokens)
        scale = session.program.scales.residual
        if self._ledgers is not None:
            ledger = self._ledgers.of(told.session, told.session, (CLIENT,))
            ledger.receives(CLIENT, start, data)
            ledger.shares(start, share, scale)
        await self.answer(passage, guard(int(fallen)))
        first, *route = told.route
        named = {"session": told.session, "reply": told.reply, "route": route, "start": start}
        await self.ctx.send(first, "hidden_share", **named, share=share, scale=scale)

    def _run(self, session: _Session, program: Transformer, keys: Keys) -> tuple[torch.Tensor, torch.Tensor]:
        running = session.running
        if running.channel is None:
            running.channel = self.ctx.channel(self._peer, f"layers {session.told.peer.hex()}")
            if session.over or self._peer in session.gone:  # while it was waited for
                running.close()
        given = program.weights.embedding.given(self._party, keys)
        return running.run(program, self._peer, given)


class _Session:
    """Attributes:
    turn: held by whatever is done for the session, one after the other.
    program: what it runs, once its first step is prepared.
    over: whether its circuit is closed.
    gone: peers whose process of back then is gone.
    leave: the client's, to forget what was stated.
    """

    def __init__(self, party: int, told: ToNode) -> None:
        self.told = told
        self.running = RunSession(party)
        self.turn = asyncio.Lock()
        self.program: Transformer | None = None
        self.over = False
        self.gone: set[str] = set()
        self.leave = b""
