"""Checks of answers: the order of events, prompts that cannot be asked, several at once, and what is left behind."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping, Sequence

from ..plan import Plan
from ..query import Answer, Event, Failed, Finished, Phase, Started, Token
from .canary import Asked
from .exchange import Exchange
from .likeness import alike
from .outcome import Complaint, NotApplicable, complain
from .probe import Weight
from .probes import Probes
from .rig import SHORT, Rig

AT_ONCE = 4
REPEATS = 8
"""Queries in flight together, and queries asked while what a role keeps is weighed."""
SLACK = 0.05
"""Seconds by which two clocks may disagree."""


async def events(rig: Rig) -> str:
    """Events come in order, and the answer is what the tokens said."""
    made = await rig.ask(await rig.fleet(), rig.query(logits=True))
    if made.failure is not None:
        raise Complaint(f"an ordinary prompt is not answered: {made.failure}")
    complain(disorder(made))
    answer = made.answer
    assert answer is not None
    return f"{len(made.tokens)} tokens, {len(answer.text)} characters, stopped at {answer.stopped}"


def disorder(made: Exchange) -> list[str]:
    """What is wrong with the events of one query that was answered or failed."""
    events = [event for _, event in made.events]
    problems = []
    if not events or not isinstance(events[0], Started):
        problems.append("the first event is not Started")
    endings = [place for place, event in enumerate(events) if isinstance(event, Finished | Failed)]
    if endings != [len(events) - 1]:
        problems.append(f"{len(endings)} events end the query: exactly one does, and it comes last")
    problems += _phases(events)
    if (finished := made.finished) is not None:
        problems += _answer(finished.answer, made.tokens, made.query.max_new_tokens)
        if finished.first_token > finished.total + 1e-6:
            problems.append(f"the first token came after {finished.first_token:.3f} s of {finished.total:.3f} s")
        if finished.total + finished.offline > made.seconds + SLACK:
            problems.append("the client counts more seconds than passed")
        times = [token.at for token in made.tokens]
        if times != sorted(times) or (times and times[-1] > finished.total + 1e-6):
            problems.append("the times of the tokens do not rise up to the total")
    return problems


def _phases(events: Sequence[Event]) -> list[str]:
    open_: dict[tuple[str, str], int] = {}
    problems = []
    for event in events:
        if isinstance(event, Phase):
            key = (event.party, event.name)
            open_[key] = open_.get(key, 0) + (1 if event.seconds is None else -1)
            if open_[key] < 0:
                problems.append(f"the phase {event.name!r} of {event.party} ends without having begun")
    if isinstance(events[-1] if events else None, Finished):
        problems += [
            f"the phase {name!r} of {party} never ends: use `with ctx.phase(…)` around what it times"
            for (party, name), count in open_.items()
            if count > 0 and party == "client"
        ]
    return problems


def _answer(answer: Answer, tokens: list[Token], most: int) -> list[str]:
    problems = []
    if tuple(token.id for token in tokens) != tuple(answer.token_ids):
        problems.append(
            f"Answer.token_ids ({len(answer.token_ids)}) are not the ids of the Token events ({len(tokens)}), in order"
        )
    told = "".join(token.text for token in tokens)
    if told.strip() != answer.text.strip():
        problems.append(
            f"the texts of the tokens ({len(told)} characters) do not add up to Answer.text ({len(answer.text)}); "
            "only white space at both ends may differ"
        )
    if len(tokens) > most:
        problems.append(f"{len(tokens)} tokens were generated where max_new_tokens is {most}")
    return problems


async def bad_input(rig: Rig) -> str:
    """A prompt that cannot be asked (empty, too long) fails alone, as bad input, and the next one is answered."""
    fleet = await rig.fleet()
    tried = rig.planter.unaskable(rig.prompt())
    problems = []
    for what, prompt in tried.items():
        made = await rig.ask(fleet, rig.query(prompt))
        if made.failure is None:
            problems.append(f"{what} is answered: raise UnfedError('the prompt is …') in answer()")
        elif made.failure.kind != "bad-input":
            problems.append(
                f"{what} fails as {made.failure.kind!r} ({made.failure}): raise UnfedError, kind 'bad-input'"
            )
        problems += disorder(made)
        after = await rig.ask(fleet)
        if after.failure is not None:
            raise Complaint(f"after {what} the fleet no longer answers: {after.failure}")
    complain(problems)
    return f"{len(tried)} kinds refused as bad input; the fleet lives on"


async def concurrency(rig: Rig) -> str:
    """Queries in flight at once get the answers they get alone, and the same query the same greedy answer."""
    fleet = await rig.fleet()
    prompts = [rig.prompt() for _ in range(AT_ONCE)]

    def asked(prompt: Asked) -> Awaitable[Exchange]:
        return rig.ask(fleet, rig.query(prompt, logits=True))

    alone = [await asked(prompt) for prompt in prompts]
    again = [await asked(prompt) for prompt in prompts]
    together = await asyncio.gather(*map(asked, prompts))
    for made in (*alone, *again, *together):
        if made.failure is not None:
            raise Complaint(f"a query that is answered alone fails beside others: {made.failure}")
        complain(disorder(made))
    chance = _by_chance(rig.plan)
    if not all(map(alike, alone, again)):
        if chance:
            raise NotApplicable(
                f"answers differ by chance, as the claim with {chance} says, so a mix-up would not show"
            )
        raise Complaint("the same greedy query is answered in two ways: is state left over from the query before it?")
    if mixed := AT_ONCE - sum(map(alike, alone, together)):
        raise Complaint(
            f"{mixed} of {AT_ONCE} queries are answered otherwise when they are in flight together: "
            "keep a role's state by `ctx.query`"
        )
    different = len({made.answer for made in alone if made.answer})
    return f"{AT_ONCE} queries at once answered as alone ({different} different answers), twice the same"


def _by_chance(plan: Plan) -> str:
    """The parameter of a claim by which answers are drawn at random, such as differential privacy's epsilon."""
    drawn = (name for claim in plan.guarantee if claim.basis == "statistical" for name in claim.parameters)
    return next(drawn, "")


async def forgetting(rig: Rig) -> str:
    """What parties keep does not grow with the number of ended queries."""
    last = rig.prompt()  # before both: what is kept of the last query alone may depend on how long it was
    async with Probes(rig) as probes:
        for prompt in (rig.prompt(), last):
            await _expect_answer(rig, probes, prompt)
        before = await probes.weigh()
        for prompt in (*(rig.prompt() for _ in range(REPEATS)), last):
            await _expect_answer(rig, probes, prompt)
        after = await probes.weigh()
    complain(
        f"{name}: {fault}; drop it in `forget(query)`, which is called when a query has ended"
        for name in before
        for fault in growth(before[name], after[name])
    )
    return f"nothing left of {REPEATS} queries in {len(before)} parties"


async def _expect_answer(rig: Rig, probes: Probes, prompt: Asked) -> None:
    made = await rig.ask(probes.fleet, rig.query(prompt, SHORT))
    if made.failure is not None:
        raise Complaint(f"a query is not answered: {made.failure}")


def growth(before: Weight, after: Weight) -> list[str]:
    """What grew by about one a query."""
    grown = [
        f"{name} grew from {before.objects.get(name, 0)} to {count} objects in {REPEATS} queries"
        for name, count in after.objects.items()
        if count - before.objects.get(name, 0) >= REPEATS
    ]
    grown += [
        f"the tensors in {name} grew by {(size - before.bytes.get(name, 0)) / REPEATS:.0f} bytes a query"
        for name, size in after.bytes.items()
        if size - before.bytes.get(name, 0) >= 64 * REPEATS and not any(name in each for each in grown)
    ]
    counts: Mapping[str, tuple[int, int]] = {
        "open files": (before.descriptors, after.descriptors),
        "threads": (before.threads, after.threads),
    }
    grown += [
        f"{what} grew from {first} to {last} in {REPEATS} queries"
        for what, (first, last) in counts.items()
        if last - first >= REPEATS // 2
    ]
    return grown
