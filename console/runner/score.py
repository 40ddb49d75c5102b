"""Scores an answer: fidelity against the reference, utility against the label, and each scheme's reward split."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from unfed.plugins import CLIENT, Contribution, RewardScheme, Token

from ..results.record import Fidelity, RewardSplit, Utility

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from .variants import Variant

REFERENCE = "plain"
"""Name of the backend that the others are compared with."""

NO_REFERENCE = f"no {REFERENCE} in this run"
REFERENCE_FAILED = f"{REFERENCE} did not answer this prompt"
NO_ANSWER = "there is no whole answer to compare"


def reference_variant(variants: Sequence[Variant]) -> str | None:
    """Id of the variant that serves as the reference: the first of backend `plain`."""
    return next((variant.id for variant in variants if variant.backend.name == REFERENCE), None)


def fidelity(answer: Sequence[Token] | None, reference: Sequence[Token] | None, *, reason: str = "") -> Fidelity:
    """How close an answer is to the reference's answer to the same prompt.

    `token_agreement` is the fraction of positions with the same token, of the longer answer's positions (two empty
    answers agree). `mean_kl` is the mean over steps of KL(reference ‖ answer) in nats, and `max_logit_error` the
    largest absolute difference of two logits; both run up to and including the first differing token, since from
    there on the two were asked different questions. Logits are taken as they come, before temperature. `margin` is, at
    that token, the reference's largest logit less its logit of the token that was taken instead: below twice the logit
    error, rounding alone may have tipped it.

    Args:
        answer: every token of a whole answer, in order; None where there is none.
        reference: the same of the reference; None where there is none.
        reason: why there is no reference, where the caller knows better than `NO_REFERENCE`.
    """
    if answer is None:
        return Fidelity(reason=reason or NO_ANSWER)
    if reference is None:
        return Fidelity(reason=reason or NO_REFERENCE)
    same = [mine.id == theirs.id for mine, theirs in zip(answer, reference, strict=False)]
    longest = max(len(answer), len(reference))
    scored = Fidelity(reference=REFERENCE, token_agreement=sum(same) / longest if longest else 1.0)
    compared = same.index(False) + 1 if False in same else len(same)
    if False in same:
        scored.margin = _margin(answer[compared - 1].id, reference[compared - 1].logits)
    kls, errors = [], []
    for mine, theirs in zip(answer[:compared], reference[:compared], strict=True):
        if mine.logits is None or theirs.logits is None:
            who = REFERENCE if theirs.logits is None else "this backend"
            scored.reason = f"{who} reported no logits"
            return scored
        step = _compare(mine.logits, theirs.logits)
        if isinstance(step, str):
            scored.reason = step
            return scored
        kls.append(step[0])
        errors.append(step[1])
    if not kls:
        scored.reason = "there is no step to compare"
        return scored
    scored.mean_kl, scored.max_logit_error = math.fsum(kls) / len(kls), max(errors)
    return scored


def _margin(token: int, logits: bytes | None) -> float | None:
    """The largest of `logits` less that of `token`; None where there are none that could be compared."""
    import numpy as np

    if not logits or len(logits) % 4 or not 0 <= token < len(logits) // 4:
        return None
    values = np.frombuffer(logits, "<f4").astype(np.float64)
    margin = float(values.max() - values[token])
    return margin if math.isfinite(margin) else None


def _compare(mine: bytes, theirs: bytes) -> tuple[float, float] | str:
    """KL(theirs ‖ mine) in nats and the largest logit error of one step, or why they cannot be compared."""
    import numpy as np

    if len(mine) % 4 or len(theirs) % 4 or not mine:
        return "logits are not whole float32 values"
    if len(mine) != len(theirs):
        return f"logits differ in size: {len(mine) // 4} here, {len(theirs) // 4} at {REFERENCE}"
    ours = np.frombuffer(mine, "<f4").astype(np.float64)
    reference = np.frombuffer(theirs, "<f4").astype(np.float64)
    if np.isnan(ours).any() or np.isnan(reference).any():
        return "logits hold values that are not numbers"
    with np.errstate(invalid="ignore", divide="ignore"):
        error = float(np.where(ours == reference, 0.0, np.abs(ours - reference)).max())
        log_ours, log_reference = _log_softmax(ours), _log_softmax(reference)
        weight = np.exp(log_reference)
        kl = float(np.where(weight > 0, weight * (log_reference - log_ours), 0.0).sum())
    if not (math.isfinite(error) and math.isfinite(kl)):
        return "the logits' distance is infinite"
    return max(0.0, kl), error  # rounding can put a KL of zero just below it


def _log_softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    import numpy as np

    shifted = logits - logits.max()
    result: NDArray[np.float64] = shifted - np.log(np.exp(shifted).sum())
    return result


def scores(tokens: Sequence[Token]) -> list[float]:
    """What an image's one token says of every class; empty where it says nothing that is a number."""
    import numpy as np

    logits = tokens[0].logits if len(tokens) == 1 else None
    if not logits or len(logits) % 4:
        return []
    values = np.frombuffer(logits, "<f4")
    return [float(value) for value in values] if np.isfinite(values).all() else []


def utility(text: str, label: str | None) -> Utility:
    """Whether the answer's first word is the label.

    The first word is the first run between white space that holds a letter; only its letters count, casefolded, as
    do the label's. Digits count too where the label has one.
    """
    if label is None:
        return Utility()
    digits = any(character.isdigit() for character in label)

    def letters(word: str) -> str:
        return "".join(each for each in word if each.isalpha() or (digits and each.isdigit())).casefold()

    first = next((word for word in map(letters, text.split()) if word), "")
    return Utility(correct=bool(first) and first == letters(label))


def rewards(
    schemes: Mapping[str, type[RewardScheme]],
    nodes: Sequence[str],
    contributions: Sequence[Contribution],
    caught: Collection[str] = (),
) -> list[RewardSplit]:
    """The split of each scheme. A scheme that fails leaves its split empty with the reason, and the others alone.

    Args:
        nodes: names of every process of the plan but the client.
        contributions: what they said they did; several of one party are added up, and a party that says nothing did
            nothing.
        caught: parties that a check found out to do something else than they should: what they did does not count.
    """
    amounts: dict[str, dict[str, float]] = {node: {} for node in nodes if node != CLIENT}
    for each in contributions:
        if (mine := amounts.get(each.party)) is not None and each.party not in caught:
            for key, value in each.amounts.items():
                mine[key] = mine.get(key, 0.0) + value
    whole = [Contribution(party=party, amounts=done) for party, done in amounts.items()]
    splits = []
    for name, scheme in sorted(schemes.items()):
        try:
            shares = {party: float(share) for party, share in scheme().shares(whole).items()}
        except Exception as error:  # a third party's code may raise anything at all
            splits.append(RewardSplit(scheme=name, shares={}, reason=f"{type(error).__name__}: {error}"))
            continue
        fault = _fault(shares, amounts)
        splits.append(RewardSplit(scheme=name, shares={} if fault else shares, reason=fault))
    return splits


def _fault(shares: Mapping[str, float], nodes: Mapping[str, object]) -> str | None:
    """Why `shares` are no split of one reward among `nodes`."""
    if strangers := sorted(set(shares) - set(nodes)):
        return f"it rewards {', '.join(strangers)}, which is no node of this plan"
    if any(not math.isfinite(share) or share < 0 for share in shares.values()):
        return "a share is negative or no number"
    if shares and not math.isclose(math.fsum(shares.values()), 1.0, abs_tol=1e-6):
        return "the shares do not sum to 1"
    return None
