"""Checks of what is reported: the record, traffic, seconds, and logs that hold no secret."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..errors import UnfedError
from ..guarantee import badge
from ..image import Image
from ..plan import Plan
from ..query import Finished, Phase, Trace
from .exchange import Exchange
from .haystack import Seen, entries_after
from .needles import Needles
from .outcome import Complaint, complain
from .privacy import Planted, judge
from .rig import SHORT, Rig
from .wanted import Wanted

SLACK = 0.05
PLANTED = 3
"""Canaries that are asked: some greedy, the last one sampled."""


async def record(rig: Rig) -> str:
    """A run makes a record that its schema accepts, in which a bad prompt fails alone."""
    prompts = [rig.prompt(), " ", rig.prompt()]
    made, faults = await rig.lab.record(rig.backend, rig.options, rig.models, prompts, SHORT)
    problems = [f"the record does not fit its schema: {fault}" for fault in faults]
    results = made["results"]
    wanted = ["ok", "failed", "ok"]
    if [result["status"] for result in results] != wanted:
        found = ", ".join(f"{each['status']} ({(each['error'] or {}).get('message', '')})" for each in results)
        problems.append(f"an ordinary, a blank and an ordinary prompt end {found}; expected {', '.join(wanted)}")
    for result in results:
        if result["status"] == "ok" and not result["guarantee"]:
            problems.append("a result states no guarantee")
        for split in result["rewards"]:
            if split.get("reason"):
                problems.append(f"the reward scheme {split['scheme']} fails: {split['reason']}")
    told = {party["name"] for party in made["parties"]}
    if told != set(rig.plan.processes()):
        problems.append(f"the record tells of the parties {', '.join(sorted(told))}")
    complain(problems)
    return f"{len(results)} results; badge: {badge(rig.plan.guarantee)}"


async def canaries(rig: Rig) -> str:
    """No coalition saw what the guarantee denies it, in any form that the kit recognises."""
    fleet = await rig.fleet()
    start = _sizes(rig, await rig.ask(fleet))
    planted: list[Planted] = []
    last: Exchange | None = None
    for number in range(PLANTED):
        canary = rig.planter.plant(10_000 + number)
        rig.remember(canary.asked)
        heat = 1.0 if number == PLANTED - 1 else 0.0
        made = await rig.ask(fleet, rig.query(canary.asked, temperature=heat, seed=number, logits=True))
        if made.failure is not None and heat and made.failure.kind == "bad-input":
            continue  # it does not sample, and says so
        if made.failure is not None:
            raise Complaint(f"a canary is not answered: {made.failure}")
        assert made.answer is not None
        planted.append(Planted(canary, tuple(made.tokens), made.answer.text))
        last = made
    assert last is not None and last.settlement is not None
    views = {view.party: entries_after(view, start[view.party]) for view, _, _ in last.settlement.views}
    if silent := [name for name in rig.nodes if name not in views]:
        raise Complaint(f"there is no view of {', '.join(silent)}, so nothing can be said of it")
    verdict = judge(rig.plan, planted, views, rig.planter)
    complain(verdict.broken)
    entries = sum(len(seen) for name, seen in views.items() if name in rig.nodes)
    told = [f"{verdict.searched} denials hold in {entries} entries of the nodes' views"]
    if verdict.declared:
        told.append(f"open, as declared: {'; '.join(dict.fromkeys(verdict.declared))}")
    if verdict.unsearched:
        told.append(f"not searched: {'; '.join(verdict.unsearched)}")
    return ". ".join(told)


def _sizes(rig: Rig, made: Exchange) -> Mapping[str, int]:
    if made.failure is not None or made.settlement is None:
        raise Complaint(f"a query is not answered: {made.failure}")
    return {view.party: sum(1 for _ in view) for view, _, _ in made.settlement.views}


async def traffic(rig: Rig) -> str:
    """Bytes, messages and seconds are reported, and agree with what the views saw."""
    fleet = await rig.fleet()
    before = await rig.ask(fleet)
    await fleet.rested()
    start = _sizes(rig, before)
    made = await rig.ask(fleet)
    if made.settlement is None or made.finished is None:
        raise Complaint(f"a query is not answered: {made.failure}")
    counted = {made.query.id, *made.settlement.adopted}
    views: dict[str, list[Seen]] = {}
    for view, entries, _ in made.settlement.views:
        if rig.plan.private_ids:
            views[view.party] = entries_after(view, start[view.party])[:entries]
        else:
            views[view.party] = [seen for seen in entries_after(view, 0) if seen.entry.query in counted]
    trace = made.settlement.trace
    complain([*miscounted(rig.plan, trace, views), *mistimed(made, fleet.setup_seconds)])
    return f"{trace.messages} messages, {trace.bytes} bytes, {trace.rounds} rounds; {made.finished.total:.3f} s"


def miscounted(plan: Plan, trace: Trace, views: Mapping[str, Sequence[Seen]]) -> list[str]:
    """Where the trace of one query and what the parties saw of it disagree."""
    problems = []
    counted: Counter[tuple[str, str]] = Counter()
    for link in trace.links:
        counted[link.source, link.target] += link.messages
        if link.target not in plan.peers(link.source):
            problems.append(f"messages go from {link.source} to {link.target}, which the plan does not link")
        if link.messages > 0 and link.bytes <= 0:
            problems.append(f"{link.messages} messages from {link.source} to {link.target} have no bytes")
    arrived = Counter(
        (seen.entry.sender, party) for party, all_ in views.items() for seen in all_ if seen.entry.kind == "message"
    )
    for pair, messages in arrived.items():
        if messages > counted[pair]:
            problems.append(f"{pair[1]} received {messages} messages from {pair[0]}, and {counted[pair]} are counted")
    for pair, messages in counted.items():
        if messages and not arrived[pair] and pair[1] in views:
            problems.append(f"{messages} messages from {pair[0]} to {pair[1]} are counted, and its view shows none")
    if len(plan.processes()) > 1 and not trace.messages:
        problems.append("no message is sent for a query: what are the nodes for?")
    if trace.messages and trace.rounds < 1:
        problems.append("messages without a round")
    return problems


def mistimed(made: Exchange, setup: float) -> list[str]:
    """Where the seconds of one query disagree."""
    finished = made.finished
    assert isinstance(finished, Finished)
    problems = []
    wall = finished.total + finished.offline + setup + SLACK
    if finished.first_token > finished.total + 1e-6:
        problems.append(f"the first token came after {finished.first_token:.3f} s of {finished.total:.3f} s")
    depth, outermost = 0, 0.0
    for _, event in made.events:
        if isinstance(event, Phase) and event.party == "client":
            depth += 1 if event.seconds is None else -1
            if depth == 0 and event.seconds is not None:
                outermost += event.seconds
    if outermost > wall:
        problems.append(f"the client's phases take {outermost:.3f} s, the whole query {wall:.3f} s")
    problems += [
        f"the phase {name!r} takes {seconds:.3f} s, the whole query {wall:.3f} s"
        for name, seconds in finished.phases.items()
        if seconds > wall
    ]
    return problems


async def logs(rig: Rig) -> str:
    """Logs and errors hold no prompt, no word of one and no token ids."""
    needles = Needles()
    for prompt in dict.fromkeys(rig.planted):
        if isinstance(prompt, Image):
            needles.add_pixels("pixels", prompt.numpy().reshape(-1))
            continue
        if not prompt.strip() or len(prompt) > 10_000:
            continue
        needles.add_words("a prompt", (word for word in prompt.split() if len(word) >= 10 and word != "word"))
        needles.add_ids("token ids of a prompt", rig.planter.ids(prompt), rig.card.vocab if rig.card else 1 << 16)
    wanted = Wanted(needles)
    files = sorted(path for path in rig.logs.rglob("*") if path.is_file())
    problems = []
    for path in files:
        problems += [f"the log {path.name} holds {what}" for what in _found(_of_parties(path), wanted)]
    for failure in rig.failures:
        told = "\n".join(str(each) for each in (failure.message, failure.hint or ""))
        problems += [f"the error {failure.kind!r} holds {what}" for what in _found(told.encode(), wanted)]
    complain(f"{problem}: say what is wrong without quoting it" for problem in problems)
    return f"{len(files)} logs and {len(rig.failures)} errors searched for {len(rig.planted)} prompts"


def _of_parties(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UnfedError(f"cannot read {path.name}: {error.strerror}") from error


def _found(data: bytes, wanted: Wanted) -> list[str]:
    letters = re.sub(r"[\W_]", "", data.decode("utf-8", "replace")).casefold()
    return list(dict.fromkeys([*wanted.in_message(data), *wanted.in_text(letters)]))
