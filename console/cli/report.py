"""A record as plain text: answers prompt by prompt, then what each variant cost, promises and earns."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from statistics import median

from unfed.plugins import Claim, badge

from ..results.record import Record, Result
from .terminal import clean, columns, cut, seconds, size, table

NONE = "–"
AHEAD = 7
"""The summary's column that few runs have anything in."""


def report(record: Record, *, width: int | None = None) -> str:
    """The whole report. Control characters in prompts and answers are shown, not obeyed."""
    room = width or columns()
    parts = [_head(record), *_prompts(record, room)]
    if record.results:
        parts += [_guarantees(record, room), _rewards(record), _summary(record)]
    return "\n\n".join(part for part in parts if part)


def _head(record: Record) -> str:
    model = record.model
    temperature = record.settings.get("temperature", 0)
    about = [
        f"run {record.run_id}" + ("" if record.status == "complete" else f" ({record.status})"),
        f"profile {record.profile}" if record.profile else "",
        f"model {model.name} ({model.family or 'unknown family'}, {_count(model.parameters)})" if model else "",
        f"temperature {temperature:g}, seed {record.seed}" if temperature else "greedy",
        f"links {record.links}" if record.links else "",
        f"{record.concurrency} queries at once: timings disturb each other" if record.concurrency > 1 else "",
    ]
    return clean(" · ".join(part for part in about if part))


def _prompts(record: Record, room: int) -> Iterator[str]:
    widest = max((len(result.variant) for result in record.results), default=0)
    by_prompt: dict[str, list[Result]] = {}
    for result in record.results:
        by_prompt.setdefault(result.prompt_id, []).append(result)
    for prompt in record.prompts:
        if not (results := by_prompt.get(prompt.id)):
            continue
        label = f"   [{clean(prompt.label)}]" if prompt.label else ""
        lines = [cut(f"{clean(prompt.id)}  {clean(prompt.brief)}", room - len(label)) + label]
        lines += [cut(f"  {result.variant:<{widest}}  {_line(result)}", room) for result in results]
        yield "\n".join(lines)


def _line(result: Result) -> str:
    if result.status != "ok" or result.answer is None:
        return f"{result.status.upper()}  {clean(str(result.error or 'no reason given'))}"
    simulated = "SIMULATED  " if result.mode == "simulated" else ""
    right = {True: "right  ", False: "wrong  ", None: ""}[result.utility.correct]
    told = f"{seconds(result.seconds.total):>8}  {_rate(result):>10}  {right}"
    margin = result.fidelity.margin
    differs = f"  (parts from plain at a margin of {margin:.2g})" if margin is not None else ""
    return f"{simulated}{told}{clean(result.answer.text.strip())}{differs}"


def _summary(record: Record) -> str:
    head = [
        "variant", "answered", "right", "agree", "mean KL", "logit err",
        "setup", "ahead", "offline", "first token", "total", "tok/s", "traffic", "rounds", "",
    ]  # fmt: skip
    rows = []
    for variant, results in _variants(record):
        ok = [result for result in results if result.status == "ok"]
        scored = [result.utility.correct for result in ok if result.utility.correct is not None]
        fidelity = [result.fidelity for result in ok]
        rates = [rate for result in ok if (rate := _per_second(result))]
        rows.append(
            [
                variant + (" (simulated)" if results[0].mode == "simulated" else ""),
                f"{len(ok)}/{len(results)}",
                f"{sum(scored)}/{len(scored)}" if scored else NONE,
                _mean([each.token_agreement for each in fidelity], "{:.3f}"),
                _mean([each.mean_kl for each in fidelity], "{:.2g}"),
                _largest([each.max_logit_error for each in fidelity]),
                seconds(results[0].seconds.setup) if any(result.seconds.setup for result in results) else NONE,
                *(_median(ok, what) for what in ("ahead", "offline", "first_token", "total")),
                f"{median(rates):.1f}" if rates else NONE,
                size(median(result.traffic.bytes for result in ok)) if ok else NONE,
                f"{median(result.traffic.rounds for result in ok):g}" if ok else NONE,
                badge(results[0].guarantee) if results[0].guarantee else "",
            ]
        )
    note = "Medians per answer; agreement and KL are means and the logit error the largest, against plain."
    if not any(result.seconds.ahead for result in record.results):
        for row in (head, *rows):
            del row[AHEAD]
    else:
        note += " Ahead is time spent before the query was asked."
    right = range(1, len(head) - 1)
    return f"{table(head, rows, right=right)}\n{note}\nTraffic is counted on the wire without TLS overhead."


def _rewards(record: Record) -> str:
    rows = []
    for variant, results in _variants(record):
        sums: dict[str, dict[str, list[float]]] = {}
        for result in results:
            for split in result.rewards if result.status == "ok" else ():
                for party, share in split.shares.items():
                    sums.setdefault(split.scheme, {}).setdefault(party, []).append(share)
        for scheme, shares in sums.items():
            told = ", ".join(f"{party} {sum(each) / len(each):.1%}" for party, each in shares.items())
            rows.append([variant, scheme, told])
    return table(["rewards", "scheme", "mean share"], rows) if rows else ""


def _guarantees(record: Record, room: int) -> str:
    lines = []
    for variant, results in _variants(record):
        if claims := next((result.guarantee for result in results if result.guarantee), []):
            lines.append(f"guarantee of {variant} (attacked: {clean(_attacked(results))})")
            for claim in claims:
                lines += textwrap.wrap(
                    clean(_claim(claim)), room, initial_indent="  ", subsequent_indent="      ", break_on_hyphens=False
                )
    return "\n".join(lines)


def _attacked(results: Sequence[Result]) -> str:
    """The most that each attack recovered at each party, or why there is nothing to say."""
    entries = [entry for result in results for entry in result.audit]
    if not entries:
        return "not in this run"
    told: dict[str, str] = {}
    best: dict[tuple[str, str], float] = {}
    for entry in entries:
        if entry.attack is None:
            told.setdefault(entry.party, f"{entry.party}: {entry.reason or 'no attack available'}")
        elif entry.token_recovery is not None:
            key = (entry.party, entry.attack)
            best[key] = max(best.get(key, 0.0), entry.token_recovery)
    told.update({f"{party} {name}": f"{party}: {name} recovers {share:.0%}" for (party, name), share in best.items()})
    return ", ".join(told.values())


def _claim(claim: Claim) -> str:
    against = " + ".join(claim.against) or "nobody"
    numbers = "".join(f", {name} = {value:g}" for name, value in claim.parameters.items())
    if claim.basis == "none":
        held = f"no {claim.property} of the {claim.asset} against {against}"
    else:
        held = f"{claim.property} of the {claim.asset} against {against}: {claim.basis}{numbers}"
    reveals = f"; reveals {', '.join(claim.reveals)}" if claim.reveals else ""
    assumes = f"; assumes {', '.join(claim.assumes)}" if claim.assumes else ""
    return f"{held}{reveals}{assumes}"


def _variants(record: Record) -> list[tuple[str, list[Result]]]:
    found: dict[str, list[Result]] = {}
    for result in record.results:
        found.setdefault(result.variant, []).append(result)
    return list(found.items())


def _per_second(result: Result) -> float | None:
    """Decoding speed: tokens a second after the first."""
    return 1 / result.seconds.per_token if result.seconds.per_token > 0 else None


def _rate(result: Result) -> str:
    rate = _per_second(result)
    return f"{rate:.1f} tok/s" if rate else ""


def _mean(values: Sequence[float | None], form: str) -> str:
    known = [value for value in values if value is not None]
    return form.format(sum(known) / len(known)) if known else NONE


def _largest(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{max(known):.2g}" if known else NONE


def _median(results: Sequence[Result], what: str) -> str:
    values = [getattr(result.seconds, what) for result in results]
    return seconds(median(values)) if values and any(values) else (NONE if not values else "0")


def _count(parameters: int) -> str:
    for unit, factor in (("B", 1e9), ("M", 1e6), ("k", 1e3)):
        if parameters >= factor:
            return f"{parameters / factor:.1f}{unit} parameters"
    return f"{parameters} parameters"
