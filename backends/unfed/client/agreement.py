"""Whether the nodes' statements of a session hang together: what each received is what the one before it sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from unfed.plugins import Context, UnfedError

from ..integrity.statements import Signed, Statement, read
from ..names import ENTRIES
from .session import Session


def agreed(
    ctx: Context,
    session: Session,
    said: Sequence[Signed],
    layers: Mapping[str, tuple[int, int]],
    wire: str,
    shared: int = 0,
) -> list[Statement]:
    """At the client: both entries' statements, then those of `layers`, of this session and of no other.

    Args:
        layers: by node, in order, the first and the last that it is to run.
        wire: type that hidden states are to travel in.
        shared: how many layers the entries are to run.
    Raises:
        UnfedError: (`protocol`, naming whose it is) a statement is missing, not signed, or at odds with what the client
            sent and received or with the statement before it, which its signer was not to countersign then.
    """
    names = (*ENTRIES, *layers)
    if len(said) != len(names):
        raise UnfedError(f"{len(said)} statements came back, expected {len(names)}", kind="protocol", party=names[-1])
    found = [read(signed, name, ctx.certificate(name)) for signed, name in zip(said, names, strict=True)]
    entries, nodes = found[: len(ENTRIES)], found[len(ENTRIES) :]
    for entry, asked in zip(entries, session.asked, strict=True):
        if entry.session != session.session or entry.after != session.session or entry.came != (asked.head,):
            raise _at_odds(entry.party, "what it was asked")
        if entry.layers != ((0, shared - 1) if shared else ()):
            raise _at_odds(entry.party, "what it was to run")
    before, came = session.session, tuple(entry.sent for entry in entries)
    for node in nodes:
        if node.layers != layers[node.party] or node.wire != wire:
            raise _at_odds(node.party, "what it was to run")
        if node.session != before or node.came != came:
            raise _at_odds(node.party, "what it received")
        before, came = node.after, (node.sent,)
    if before != session.reply or came != (session.results.head,):
        raise _at_odds(nodes[-1].party, "what came back")
    for each in found:
        if each.release != session.release or each.steps != session.asked[0].steps:
            raise _at_odds(each.party, "how many steps there were, or for whom")
    return found


def _at_odds(party: str, what: str) -> UnfedError:
    return UnfedError(f"{party} states something else than {what}", kind="protocol", party=party)
