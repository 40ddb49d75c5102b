"""Ways through the fleet: which replicas run the layers of a session, by who is there and how fast they have been."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from itertools import zip_longest
from typing import NamedTuple

from unfed.plugins import Context, Failure, UnfedError

from ..circuits.hop import public_keys
from ..circuits.onion import Hop

WAIT = 15.0
"""Seconds to wait for a party that has no replica and is being replaced."""
TRIES, _PAUSE = 10, 0.05
"""How often the hops' keys are asked for before that is given up; seconds that the pause grows by each time."""
NOTICE = 1.0
"""Seconds to wait for word that a party is lost whom a message did not reach."""
_FORGETS = 0.2
"""Weight of the last measurement in a replica's average."""
_random = secrets.SystemRandom()


class Way(NamedTuple):
    """Of one session.

    Attributes:
        paths: hops of its circuits, guard first: to either entry, and to the last of the layers.
        route: the nodes that run the layers, first to last.
        beside: whoever works for the entries without being on the way.
    """

    paths: tuple[list[Hop], list[Hop], list[Hop]]
    route: tuple[str, ...]
    beside: tuple[str, ...] = ()

    @property
    def parties(self) -> frozenset[str]:
        return frozenset(hop.name for path in self.paths for hop in path) | {*self.route, *self.beside}

    @property
    def steps(self) -> tuple[tuple[str, ...], ...]:
        """From the client and back to it, processes that work side by side: both circuits out, layers, circuit back."""
        *out, back = [[hop.name for hop in path] for path in self.paths]
        there = [tuple(dict.fromkeys(name for name in names if name is not None)) for names in zip_longest(*out)]
        return (*there, *((name,) for name in self.route), *((name,) for name in reversed(back[:-1])))


class Ways:
    """All that there are.

    Args:
        entries: hops of the circuits to the entries, guard first.
        reply: those of the circuit back, without the last of the layers.
        verifier: those of the circuit to the verifier, if there is one.
        nodes: the replicas of each range of layers.
        caught: why a party is not to be used any more, if it is not.
        beside: whoever works for the entries.
    """

    def __init__(
        self,
        ctx: Context,
        entries: Sequence[Sequence[str]],
        reply: Sequence[str],
        verifier: Sequence[str],
        nodes: Sequence[Sequence[str]],
        caught: Callable[[str], UnfedError | None],
        beside: Sequence[str] = (),
    ) -> None:
        self._ctx, self._caught, self._beside = ctx, caught, tuple(beside)
        self._entries, self._reply, self._verifier, self._nodes = entries, reply, verifier, nodes
        self._fixed = {name: None for path in (*entries, reply) for name in path}
        self._hops = {**self._fixed, **dict.fromkeys(verifier), **dict.fromkeys(nodes[-1])}
        self._public: dict[str, tuple[str, bytes]] = {}
        """By hop, the certificate of the process that its key is of, and the key."""
        self._lost: dict[str, Failure] = {}
        self._losses: Counter[str] = Counter()
        self._changed = asyncio.Event()
        self._busy: Counter[str] = Counter()
        self._seconds: dict[str, float] = {}

    async def learn(self) -> None:
        """Get the hops' public keys.

        Raises:
            UnfedError: (`protocol`) that of a hop is missing which is there, or it is another's.
        """
        told = await self._ctx.call(self._entries[0][0], "directory")
        found = public_keys(self._ctx, told, self._hops, self._lost)
        self._public = {name: (self._ctx.certificate(name), key) for name, key in found.items()}

    def lost(self, party: str, failure: Failure) -> None:
        self._lost[party] = failure
        self._losses[party] += 1
        self._changed.set()

    def returned(self, party: str) -> None:
        self._lost.pop(party, None)
        self._seconds.pop(party, None)
        self._changed.set()

    async def misses(self, party: str) -> bool:
        """Whether it is one that was lost and may come back; who talks to it may notice before this is told."""
        before = self._losses[party]
        if party not in self._lost:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(NOTICE):
                    while self._losses[party] == before:
                        self._changed.clear()
                        await self._changed.wait()
        return self._losses[party] > 0

    async def way(self) -> Way:
        """One over parties that are there, waiting for those that nobody can stand in for.

        Raises:
            UnfedError: naming a party that did not come back in time, or that was caught and has no replica.
        """
        for again in range(TRIES):
            await self._here([*self._fixed, *self._beside])
            for replicas in self._nodes:
                await self._here(replicas, any)
            route = tuple(self._pick(replicas) for replicas in self._nodes)
            if self._knows([*self._fixed, route[-1]]):
                one, other = (self._path(path) for path in self._entries)
                return Way((one, other, self._path([*self._reply, route[-1]])), route, self._beside)
            await self._learn_again(again)
        raise AssertionError("the last try raises")

    async def to_verifier(self) -> list[Hop]:
        """Raises UnfedError as `way` does."""
        for again in range(TRIES):
            await self._here(self._verifier)
            if self._knows(self._verifier):
                return self._path(self._verifier)
            await self._learn_again(again)
        raise AssertionError("the last try raises")

    async def _learn_again(self, again: int) -> None:
        """Get keys once more. What is missing or old now may be so because of a loss that nobody has told us of yet, or
        of links to a fresh process that are not up yet: so it is nobody's fault, however often.

        Raises:
            UnfedError: (`timeout`) it was the last try.
        """
        why, party = "they are not those of who is there", self._reply[0]
        try:
            await self.learn()
        except UnfedError as error:
            why, party = error.failure.message, error.failure.party or party
        if again == TRIES - 1:
            raise UnfedError(f"the hops' keys cannot be had: {why}", kind="timeout", party=party)
        await asyncio.sleep(again * _PAUSE)

    def begins(self, way: Way) -> None:
        self._busy.update(way.route)

    def over(self, way: Way) -> None:
        self._busy.subtract(way.route)

    def took(self, way: Way, seconds: float) -> None:
        """A step of one token over these nodes. It is laid to all of them: only what they share does not differ."""
        for name in way.route:
            before = self._seconds.get(name, seconds)
            self._seconds[name] = before + _FORGETS * (seconds - before)

    def _path(self, names: Sequence[str]) -> list[Hop]:
        return [Hop(name, self._public[name][1]) for name in names]

    def _knows(self, names: Collection[str]) -> bool:
        """Whether the hops' keys are known, and those of the processes that there are now."""
        return all(self._public.get(name, ("",))[0] == self._ctx.certificate(name) for name in names)

    def _pick(self, replicas: Sequence[str]) -> str:
        """The least busy, then one that was not measured yet or the fastest, then any."""
        there = [name for name in replicas if name not in self._lost]
        honest = [name for name in there if self._caught(name) is None]
        if not honest:
            failure = self._caught(there[0])
            assert failure is not None
            raise failure
        return min(honest, key=lambda name: (self._busy[name], self._seconds.get(name, 0.0), _random.random()))

    async def _here(self, names: Collection[str], enough: Callable[[list[bool]], bool] = all) -> None:
        """Wait until they are there."""
        try:
            async with asyncio.timeout(WAIT):
                while not enough([name not in self._lost for name in names]):
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            name = next(name for name in names if name in self._lost)
            failure = self._lost[name]
            raise UnfedError(
                f"it did not come back within {WAIT:g} s: {failure.message}",
                kind="party-lost",
                party=name,
                hint=failure.hint or "restart it",
            ) from None
