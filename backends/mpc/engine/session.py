"""How one program runs at every party: the dealer makes its material, the nodes prepare it, then compute.

A program is a function of a `Run`: it opens shares, applies gates, and does what is linear with torch. The same
function is run by the dealer (`Dealing`), by each node ahead of time (`Preparing`) and with its inputs (`Computing`),
and by whoever wants to know what it will cost (`cost.predict`). Where nothing is computed, shares are shapes without
content (`blank`). So no program can look at values: what it sends tells lengths alone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

import torch

from .blank import blank
from .material import Deal, Draw
from .wire import Mask, Wire

Made = TypeVar("Made")

Linear = Callable[[torch.Tensor], torch.Tensor]

Exchange = Callable[[torch.Tensor], torch.Tensor]
"""Send a flat int64 tensor to the other node and return what it sent at the same time, of the same length."""


class Gate(Protocol):
    """One protocol on as many wires as it takes. Its docstring gives what it computes, its source, and its cost."""

    def deal(self, deal: Deal, *wires: Any, **none: Any) -> Any:
        """At the dealer: add what the nodes need to know of products of masks; returns a result without content."""
        ...

    def read(self, draw: Draw, *wires: Any, **none: Any) -> tuple[Any, Any]:
        """At a node: take the material out in the same order; returns it, and a result without content."""
        ...

    def ready(self, party: int, material: Any) -> Any:
        """At a node, ahead of time: expand what came compressed."""
        ...

    def compute(self, party: int, material: Any, *wires: Any, **none: Any) -> Any:
        """At a node: the result from public values and own shares. Sends nothing."""
        ...


class Run(Protocol):
    """What a program is given."""

    def open(self, *shares: torch.Tensor) -> tuple[Wire, ...]:
        """Put shares under fresh masks that the dealer knows, as Beaver 1991 opens factors (see `gates.product`).

        Rounds: 1 for all of them. Bytes: 8 an element and direction; of material none, for masks follow from seeds.
        """
        ...

    def given(self, opened: torch.Tensor) -> Wire:
        """An input that its owner opened itself: the value plus a mask, of which the nodes told it the seeds (see
        `InputOwner`), so that no node has to open it.

        Damgård, Pastro, Smart and Zakarias, "Multiparty Computation from Somewhat Homomorphic Encryption" (CRYPTO
        2012): inputs. Rounds: 0. Bytes: ahead 16 from each node to the owner, for all that is dealt at once; from it 8
        an element to each node.
        """
        ...

    def renew(self, wire: Wire, linear: Linear, plus: torch.Tensor | None = None) -> Wire:
        """What a public linear map makes of a wire's rows, opened under fresh masks that the dealer knows; and what is
        public `plus` that.

        Both nodes know linear(v) of x = v - r. What is missing, the fresh mask less linear(r), depends on no input, so
        that it is opened ahead: see Ben-Efraim, Nielsen and Omri, "Turbospeedz" (ACNS 2019), whose values go through
        linear gates likewise. Rounds: 0, and one ahead for all of a run, or of several that are prepared together.
        Bytes: ahead, 8 an element and direction; of material none.
        """
        ...

    def apply(self, gate: Gate, *wires: Wire) -> Any:
        """A gate's result: a share, or a wire. No round."""
        ...

    def public(self, value: torch.Tensor) -> torch.Tensor:
        """What a party adds to its share so that `value`, which all know, is added to the whole."""
        ...

    def share(self, wire: Wire) -> torch.Tensor:
        """A wire's value as shares."""
        ...

    def ahead(self, make: Callable[[], Made]) -> Made:
        """What depends on nothing secret, such as on positions: made when a run is prepared, used when it computes."""
        ...


class Shapes:
    """What is common to runs that compute nothing."""

    def public(self, value: torch.Tensor) -> torch.Tensor:
        return blank(*value.shape)

    def share(self, wire: Wire) -> torch.Tensor:
        return blank(*wire.shape)

    def ahead(self, make: Callable[[], Made]) -> Made:
        return make()


class Dealing(Shapes):
    """The dealer's run: it makes the masks, and what the gates need to know of them."""

    def __init__(self, deal: Deal) -> None:
        self.deal = deal

    def open(self, *shares: torch.Tensor) -> tuple[Wire, ...]:
        return tuple(Wire(blank(*each.shape), (Mask(self.deal.mask(*each.shape)),)) for each in shares)

    def given(self, opened: torch.Tensor) -> Wire:
        return Wire(blank(*opened.shape), (Mask(self.deal.told(*opened.shape)),))

    def renew(self, wire: Wire, linear: Linear, plus: torch.Tensor | None = None) -> Wire:
        return self.open(linear(blank(*wire.shape)))[0]

    def apply(self, gate: Gate, *wires: Wire) -> Any:
        return gate.deal(self.deal, *wires)


class Preparing(Shapes):
    """A node's run ahead of time: it reads its material and expands it, for `Computing` to use.

    Attributes:
        sent: bytes sent ahead so far, without framing.
    """

    def __init__(self, draw: Draw) -> None:
        self.draw = draw
        self.made: deque[Any] = deque()
        self.sent = 0
        self._renewed: list[_Renewed] = []

    def meet(self, exchange: Exchange) -> None:
        """Open what `renew` needs to know, of all that was prepared so far: one round, or none for nothing."""
        if not self._renewed:
            return
        before = _mapped([(each.linear, each.before) for each in self._renewed])
        mine = torch.cat([(each.mask - part).reshape(-1) for each, part in zip(self._renewed, before, strict=True)])
        values = mine + exchange(mine)
        self.sent += 8 * mine.numel()
        pieces = torch.split(values, [each.mask.numel() for each in self._renewed])
        for each, value in zip(self._renewed, pieces, strict=True):
            missing = value.reshape(each.mask.shape)
            each.missing = missing if each.plus is None else missing + each.plus
        self._renewed.clear()

    def open(self, *shares: torch.Tensor) -> tuple[Wire, ...]:
        masks = [self.draw.mask(*each.shape) for each in shares]
        self.made.append(masks)
        return tuple(Wire(blank(*mask.shape), (Mask(mask),)) for mask in masks)

    def given(self, opened: torch.Tensor) -> Wire:
        self.made.append(mask := self.draw.told(*opened.shape))
        return Wire(blank(*mask.shape), (Mask(mask),))

    def renew(self, wire: Wire, linear: Linear, plus: torch.Tensor | None = None) -> Wire:
        if not wire.plain:
            raise ValueError("only what has no public factors in its masks can be renewed")
        mask = self.draw.mask(*linear(blank(*wire.shape)).shape)
        self.made.append(renewed := _Renewed(mask, linear, wire.masked(), plus))
        self._renewed.append(renewed)
        return Wire(blank(*mask.shape), (Mask(mask),))

    def apply(self, gate: Gate, *wires: Wire) -> Any:
        material, result = gate.read(self.draw, *wires)
        self.made.append(gate.ready(self.draw.party, material))
        return result

    def ahead(self, make: Callable[[], Made]) -> Made:
        self.made.append(made := make())
        return made


class Computing:
    """A node's run on its shares. What was prepared is used up: there is no way to use it twice.

    Attributes:
        rounds: exchanges so far.
        sent: bytes sent so far, without framing.
    """

    def __init__(self, party: int, made: deque[Any], exchange: Exchange) -> None:
        self.party = party
        self.rounds = self.sent = 0
        self._made = made
        self._exchange = exchange

    def open(self, *shares: torch.Tensor) -> tuple[Wire, ...]:
        masks = self._made.popleft()
        mine = torch.cat([(share + mask).reshape(-1) for share, mask in zip(shares, masks, strict=True)])
        values = mine + self._exchange(mine)
        self.rounds += 1
        self.sent += 8 * mine.numel()
        pieces = torch.split(values, [mask.numel() for mask in masks])
        return tuple(Wire(piece.reshape(mask.shape), (Mask(mask),)) for piece, mask in zip(pieces, masks, strict=True))

    def given(self, opened: torch.Tensor) -> Wire:
        return Wire(opened, (Mask(self._made.popleft()),))

    def renew(self, wire: Wire, linear: Linear, plus: torch.Tensor | None = None) -> Wire:
        renewed = self._made.popleft()
        if renewed.missing is None:
            raise RuntimeError("what was prepared has not met the other node: call `Preparing.meet`")
        return Wire(linear(wire.value) + renewed.missing, (Mask(renewed.mask),))

    def apply(self, gate: Gate, *wires: Wire) -> Any:
        return gate.compute(self.party, self._made.popleft(), *wires)

    def public(self, value: torch.Tensor) -> torch.Tensor:
        return torch.zeros_like(value) if self.party else value

    def share(self, wire: Wire) -> torch.Tensor:
        return wire.share(self.party)

    def ahead(self, make: Callable[[], Made]) -> Made:
        made: Made = self._made.popleft()
        return made


class _Renewed:
    """A node's share of a fresh mask, and what is still to be done for it.

    Attributes:
        linear, before: what the mask takes the place of: `linear` of this share of a mask.
        missing: by how much the whole mask is more than that, and `plus`; None until it was opened.
    """

    def __init__(self, mask: torch.Tensor, linear: Linear, before: torch.Tensor, plus: torch.Tensor | None) -> None:
        self.mask, self.linear, self.before, self.plus = mask, linear, before, plus
        self.missing: torch.Tensor | None = None


def _mapped(parts: Sequence[tuple[Linear, torch.Tensor]]) -> list[torch.Tensor]:
    """What each map makes of its rows, by one use for all rows of one map."""
    found: dict[int, torch.Tensor] = {}
    alike: dict[Linear, list[int]] = {}
    for number, (linear, _) in enumerate(parts):
        alike.setdefault(linear, []).append(number)
    for linear, numbers in alike.items():
        rows = [parts[number][1] for number in numbers]
        pieces = torch.split(linear(torch.cat(rows)), [len(each) for each in rows])
        found |= dict(zip(numbers, pieces, strict=True))
    return [found[number] for number in range(len(parts))]
