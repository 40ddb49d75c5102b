"""One computation by our engine and by its peers in turns, and the rows that come of it."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from bench.measure import Bar, Rounds, Turn
from bench.mpc_fleets import Ask
from bench.report import Report

AGAINST = {"crypten": "CrypTen, TTP", "better": "CrypTen, TTP, functions of mpc-crypten", "spu": "SPU, ABY3"}
ABOUT = {
    "crypten": "CrypTen 0.4.1 over gloo; its functions and settings as they are; triples made as they are asked for; "
    "rank 0 owns the input",
    "better": "likewise, with the roots, exponentials and softmax that the backend mpc-crypten writes for CrypTen",
    "spu": "three parties, FM64, one thread each, on the same cores; sharing and opening are not in its time",
}
WRONG = 0.05
"""Results this far off are no results."""
OURS = ("deal", "fetch", "expand", "compute")
"""Seconds that our parties tell of themselves."""


class Told(msgspec.Struct, frozen=True):
    """A row: our figure (`whole` is offline and online) against a peer, and the least ratio where there is one."""

    title: str
    figure: str
    peer: str
    bar: float | None = None


class Contest(msgspec.Struct, frozen=True):
    """One computation, and the rows that come of it.

    Attributes:
        secret: whether the weights are, too.
        trips: questions in a turn, of which the median counts.
        notes: what a reader has to know beside the figures.
    """

    work: str
    rows: tuple[Told, ...]
    runs: int
    secret: bool = False
    trips: int = 1
    warmup: int = 1
    notes: Mapping[str, str] = {}


async def contend(report: Report, contest: Contest, asks: Mapping[str, Ask]) -> None:
    """Rows of one computation, against those peers that there are."""
    rows = [row for row in contest.rows if row.peer in asks]
    told: dict[str, list[dict[str, Any]]] = {name: [] for name in dict.fromkeys(["ours", *(row.peer for row in rows)])}
    rounds = Rounds(*told)
    turns = {name: _turn(asks[name], contest, name, told[name]) for name in told}
    try:
        if rows:
            await rounds.take(turns, runs=contest.runs, warmup=contest.warmup)
    finally:
        if rounds.taken:
            for name in told:
                _check(name, contest.work, told[name])
            for row in rows:
                report.add(
                    rounds.row(
                        f"ours {row.figure}",
                        f"{row.peer} whole",
                        name=f"mpc: {row.title}",
                        against=AGAINST[row.peer],
                        unit="ms",
                        bars=[] if row.bar is None else [Bar("ratio", row.bar)],
                        max_error=worst(told["ours"]),
                        notes=_notes(told["ours"], told[row.peer])
                        | {
                            "trips": contest.trips,
                            "about_peer": ABOUT[row.peer],
                            **contest.notes,
                        },
                    )
                )


def _check(name: str, work: str, answers: Sequence[Mapping[str, float]]) -> None:
    """Raises RuntimeError where a contestant's results are wrong, so that its time says nothing.

    Peers cut shares in ways that fail now and then: they may be wrong in fewer than half of their runs. We may not.
    """
    wrong = [answer["error"] for answer in answers if not answer["error"] <= WRONG]
    if wrong and (name == "ours" or 2 * len(wrong) >= len(answers)):
        raise RuntimeError(f"{name} is off by {wrong[0]:.2g} in {work}, {len(wrong)} times of {len(answers)}")


def _turn(ask: Ask, contest: Contest, name: str, told: list[dict[str, Any]]) -> Turn:
    async def turn(number: int) -> dict[str, float]:
        taken = []
        for trip in range(contest.trips):
            question = {"work": contest.work, "number": abs(number) * contest.trips + trip, "secret": contest.secret}
            answer = await ask(question)
            taken.append(figures(answer))
            if number >= 0:
                told.append(answer)
        return {f"{name} {each}": 1e3 * statistics.median(figure[each] for figure in taken) for each in taken[0]}

    return turn


def figures(answer: Mapping[str, float]) -> dict[str, float]:
    """Seconds by what they count: a peer tells of `seconds`, we of `online` and perhaps of an `offline` part."""
    if "seconds" in answer:
        return {"whole": answer["seconds"]}
    return {"online": answer["online"], "whole": answer["online"] + answer.get("offline", 0.0)}


def worst(answers: Sequence[Mapping[str, float]]) -> float:
    return max(answer["error"] for answer in answers)


def _notes(ours: Sequence[Mapping[str, float]], peer: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    """Both errors side by side, and medians of what either told beside its time."""

    def middle(answers: Sequence[Mapping[str, float]], name: str) -> float:
        return statistics.median(answer[name] for answer in answers)

    notes: dict[str, Any] = {
        "max_error": worst(ours),
        "peer_max_error": worst(peer),
        "median_error": middle(ours, "error"),
        "peer_median_error": middle(peer, "error"),
        "wrong_of_peer": sum(not answer["error"] <= WRONG for answer in peer),
        "weights": "public",
    }
    for name in ("offline", "online", *OURS):
        if name in ours[0]:
            notes[f"{name}_ms"] = 1e3 * middle(ours, name)
    for name in ("rounds", "sent", "material"):
        if name in ours[0]:
            notes[name] = middle(ours, name)
    if "waiting" in peer[0]:
        notes["peer_less_waiting_for_triples_ms"] = 1e3 * statistics.median(
            answer["seconds"] - answer["waiting"] for answer in peer
        )
    return notes
