"""Spot checks of `unfed` on real fleets: whoever cheats is named, and nobody else."""

from __future__ import annotations

import asyncio
import json
import math
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from real_fleets import Outcome, ask, log_of, running, until, with_roles

from unfed.backends.unfed.backend import Unfed
from unfed.backends.unfed.integrity.proof import decode, encode
from unfed.console.cli import main
from unfed.console.fleet.fleet import Fleet
from unfed.console.fleet.member import Member
from unfed.console.fleet.process import LocalLauncher
from unfed.console.fleet.questions import Questions
from unfed.console.party.control import Happened
from unfed.console.runner.models import read_card
from unfed.plugins import Failure, Metric, Note, Phase, Plan

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]

DEMO = Path(__file__).parents[2] / "profiles" / "demo" / "model"
PROMPTS = ("a large body of salt water =>", "someone who studies the stars =>", "the act of moving a heavy thing =>")
CHEATS = ("perturb", "skip", "stale", "smaller")
AFTER = {"mpc_layers": 1}
"""Where the entries run the first layer."""
STATED = Note(kind="check", party="verifier", text="a decoy was done again, and all was as stated")


def plan(roles: dict[str, str] | None = None, **options: Any) -> Plan:
    options = {"relays": 0, "shards": 2, "check_rate": 1, **options}
    made = Unfed().plan({"model": read_card(DEMO)}, Unfed.Options(**options))
    return with_roles(made, {name.replace("-", "_"): role for name, role in (roles or {}).items()})


def fleet_of(launcher: LocalLauncher, folder: Path, made: Plan, **more: Any) -> Any:
    return running(launcher, made, folder, models={"model": read_card(DEMO)}, **more)


async def asked(fleet: Fleet, prompt: str, **more: Any) -> Outcome:
    """Ask, and wait until decoys that follow are checked."""
    outcome = await ask(fleet, prompt, **{"max_new_tokens": 4, **more})
    assert await fleet.rested()
    return outcome


async def failing(fleet: Fleet) -> Failure:
    """The failure of the first query that fails, of a few."""
    for prompt in PROMPTS:
        if (failure := (await ask(fleet, prompt, max_new_tokens=4)).failure) is not None:
            return failure
        assert await fleet.rested()
    raise AssertionError("nobody was named")


def metric(outcomes: Sequence[Outcome], name: str) -> float:
    return sum(e.value for each in outcomes for e in each.events if isinstance(e, Metric) and e.name == name)


@pytest.mark.parametrize(
    ("cheat", "options", "named"),
    [
        *((cheat, {}, "layers-1") for cheat in CHEATS),
        ("stale", AFTER, "layers-1"),
        ("perturb", AFTER | {"shards": 1}, "layers-0"),
    ],
)
async def test_a_cheat_is_named_by_a_decoy_and_proven_to_anybody(
    launcher: LocalLauncher,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    cheat: str,
    options: dict[str, Any],
    named: str,
) -> None:
    proofs = tmp_path / "proofs"
    told: list[Note] = []
    async with fleet_of(
        launcher, tmp_path, plan(cheat=cheat, proofs=str(proofs), **options), told=told.append
    ) as fleet:
        first = await asked(fleet, PROMPTS[0])
        assert first.failure is None, "a decoy follows what is asked"
        (news,) = told
        assert (news.kind, news.party) == ("caught", named) and "computed something else" in news.text
        outcome = await ask(fleet, PROMPTS[1], max_new_tokens=4)
        failure = outcome.failure
        assert failure is not None and not told[1:], "at once, and once"
        assert not any(isinstance(event, Note) for event in outcome.events)
        assert (failure.kind, failure.party) == ("protocol", named)
        assert failure.message.startswith("it failed a spot check: it computed something else: off by ")
        (path,) = proofs.iterdir()
        assert str(path) in failure.hint
    code = main(["verify", str(path), "--model", str(DEMO)])
    assert code == 0 and f"Proven: {named} computed something else" in capsys.readouterr().out


@pytest.mark.parametrize("cheat", CHEATS)
async def test_a_cheat_is_named_by_a_live_check_before_its_answer_counts_and_no_proof_is_kept(
    launcher: LocalLauncher, tmp_path: Path, cheat: str
) -> None:
    proofs = tmp_path / "proofs"
    async with fleet_of(launcher, tmp_path, plan(cheat=cheat, checks="live", proofs=str(proofs))) as fleet:
        for prompt in PROMPTS[:2]:
            failure = (await ask(fleet, prompt, max_new_tokens=4)).failure
            assert failure is not None and (failure.kind, failure.party) == ("protocol", "layers-1")
            assert "computed something else" in failure.message and "no proof is kept" in failure.hint
    assert not proofs.exists()


async def test_a_proof_that_was_altered_proves_nothing(launcher: LocalLauncher, tmp_path: Path) -> None:
    """The command as it is run by whoever is shown one."""
    proofs = tmp_path / "proofs"
    async with fleet_of(launcher, tmp_path, plan(cheat="skip", proofs=str(proofs))) as fleet:
        await failing(fleet)
    (path,) = proofs.iterdir()
    proof = decode(path.read_bytes())
    step = proof.outputs[0]
    honest = msgspec.structs.replace(step, data=step.data[:-1] + bytes([step.data[-1] ^ 1]))
    other = tmp_path / "other.json"
    other.write_bytes(encode(msgspec.structs.replace(proof, outputs=(honest, *proof.outputs[1:]))))
    command = [sys.executable, "-m", "unfed.console.cli", "verify", str(other), "--model", str(DEMO)]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and "is not what layers-1 signed that it computed" in done.stderr


@pytest.mark.parametrize(
    "options",
    [
        {"wire_dtype": "fp16", "shards": 3},
        {"wire_dtype": "bf16", "tail": 1},
        {"shards": 1, "relays": 1},
        {"checks": "live", "wire_dtype": "fp16"},
        {"mpc_layers": 1, "wire_dtype": "fp16"},
    ],
)
async def test_honest_nodes_are_never_accused(launcher: LocalLauncher, tmp_path: Path, options: dict[str, Any]) -> None:
    told: list[Note] = []
    async with fleet_of(launcher, tmp_path, plan(**options), told=told.append) as fleet:
        outcomes = [await asked(fleet, PROMPTS[n % 3], max_new_tokens=8, temperature=n % 2) for n in range(6)]
        assert [each.failure for each in outcomes] == [None] * 6
        checked = [event for each in outcomes for event in each.events if isinstance(event, Note)]
        if options.get("checks") == "live":
            assert [(note.kind, note.party, note.text) for note in checked] == [
                ("check", "verifier", "done again, and as stated")
            ] * 6 and not told
        else:
            assert not checked
            assert told == [STATED] * 6, "of the one after each, before the next is asked"


async def test_under_queries_at_once_decoys_run_beside_them_and_honest_nodes_are_not_accused(
    launcher: LocalLauncher, tmp_path: Path
) -> None:
    told: list[Note] = []
    async with fleet_of(launcher, tmp_path, plan(), told=told.append) as fleet:
        outcomes: list[Outcome] = []
        for _ in range(4):
            outcomes += await asyncio.gather(*(ask(fleet, PROMPTS[n % 3], max_new_tokens=4) for n in range(4)))
        assert await fleet.rested()
        outcomes.append(await asked(fleet, PROMPTS[0]))
        outcomes.append(await asked(fleet, PROMPTS[0]))
        assert [each.failure for each in outcomes] == [None] * 18
        assert told == [STATED] * len(told)
        assert 9 <= len(told) <= 18, "those that are to run beside a query wait for one"


async def test_a_decoy_has_the_client_do_what_a_query_does(
    launcher: LocalLauncher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or its messages would come earlier than those of a query."""
    told: dict[str, list[tuple[object, ...]]] = {}
    happened = Questions.happened

    def hear(self: Questions, member: Member, report: Happened) -> None:
        event = report.event
        of = (event.name, event.kind, event.seconds is None) if isinstance(event, Phase) else (type(event).__name__,)
        if member.spec.name == "client" and of[0] not in ("tokenise", "Metric", "Route"):
            told.setdefault(report.query, []).append(of)
        happened(self, member, report)

    monkeypatch.setattr(Questions, "happened", hear)
    text = tmp_path / "decoys.jsonl"
    text.write_text(json.dumps({"prompt": PROMPTS[0]}) + "\n")
    async with fleet_of(launcher, tmp_path, plan(decoys=str(text))) as fleet:
        assert (await asked(fleet, PROMPTS[0])).failure is None
        real, decoy = told.values()
        assert real == decoy and ("Token",) in real and ("decode", "online", True) in real and ("Finished",) in real


# -- how often


def inside(count: int, chances: Sequence[float]) -> bool:
    """Within the 99.9% interval of so many throws, each at a chance of its own."""
    spread = math.sqrt(sum(chance * (1 - chance) for chance in chances))
    return abs(count - sum(chances)) <= 3.29 * spread + 0.5


async def caught(fleet: Fleet, times: int, tokens: int) -> tuple[int, list[int]]:
    """How many of so many answers were caught, and the length of each answer."""
    outcomes = [await asked(fleet, PROMPTS[0], max_new_tokens=tokens, temperature=1.0, seed=n) for n in range(times)]
    assert [each.failure for each in outcomes] == [None] * times
    lengths = [sum(type(event).__name__ == "Token" for event in each.events) for each in outcomes]
    return int(metric(outcomes, "caught")), lengths


async def test_decoys_catch_at_their_rate(launcher: LocalLauncher, tmp_path: Path) -> None:
    """Of n sessions that a node spoils, each is followed by a decoy at p: 1 - (1 - p)^n."""
    rate, times = 0.3, 120
    made = plan({"client": "forgiving:Forgiving"}, cheat="skip", check_rate=rate)
    async with fleet_of(launcher, tmp_path, made) as fleet:
        count, _ = await caught(fleet, times, 2)
        print(f"decoys at p = {rate}: {count} of {times - 1} sessions caught")
        assert inside(count, [rate] * (times - 1)), count


async def test_live_checks_catch_at_their_rate_for_each_token(launcher: LocalLauncher, tmp_path: Path) -> None:
    rate, times = 0.1, 120
    made = plan({"client": "forgiving:Forgiving"}, cheat="skip", checks="live", check_rate=rate)
    async with fleet_of(launcher, tmp_path, made) as fleet:
        for tokens in (1, 6):
            count, lengths = await caught(fleet, times // 2, tokens)
            chances = [1 - (1 - rate) ** length for length in lengths]
            print(f"live at p = {rate}: {count} of {len(lengths)} answers caught, {sum(chances):.1f} expected")
            assert inside(count, chances), count


# -- who misbehaves otherwise


@pytest.mark.parametrize(
    ("party", "role", "said"),
    [
        ("layers-0", "Misstating", "layers-0 says that it sent something else than it did"),
        ("layers-0", "Fewer", "layers-0 states something else than what it was to run"),
        ("layers-1", "Denying", "layers-1 states something else than what it received"),
        ("layers-0", "Closed", "it failed a spot check: it did not open what it sent: never"),
        (
            "layers-0",
            "Otherwise",
            "it failed a spot check: it opened something else: this is not what layers-0 signed that it computed",
        ),
        ("layers-0", "Shapeless", "it failed a spot check: it opened what are no rows"),
        ("entry-1", "Swapping", "it failed a spot check: it sent shares that its keys do not give"),
        ("entry-1", "EntryClosed", "it failed a spot check: it did not open what it sent: never"),
        (
            "entry-1",
            "EntryOtherwise",
            "it failed a spot check: it opened something else: this is not what entry-1 signed that it sent",
        ),
        ("entry-0", "EntryFewer", "entry-0 states something else than what it was to run"),
    ],
)
async def test_who_states_or_opens_something_else_is_named(
    launcher: LocalLauncher, tmp_path: Path, party: str, role: str, said: str
) -> None:
    options = AFTER if role.startswith("Entry") else {}
    async with fleet_of(launcher, tmp_path, plan({party: f"unfed_rogues:{role}"}, **options)) as fleet:
        failure = await failing(fleet)
        assert (failure.kind, failure.party) == ("protocol", party) and failure.message == said


async def test_one_who_countersigns_regardless_does_not_hide_who_lies(launcher: LocalLauncher, tmp_path: Path) -> None:
    made = plan({"layers-0": "unfed_rogues:Misstating", "layers-1": "unfed_rogues:Regardless"})
    async with fleet_of(launcher, tmp_path, made) as fleet:
        failure = await failing(fleet)
        assert failure.kind == "protocol" and failure.party in ("layers-0", "layers-1")


async def test_a_guard_that_closes_circuits_has_nobody_accused(launcher: LocalLauncher, tmp_path: Path) -> None:
    told: list[Note] = []
    async with fleet_of(launcher, tmp_path, plan({"guard": "unfed_rogues:Closing"}), told=told.append) as fleet:
        outcomes = [await asked(fleet, prompt) for prompt in PROMPTS]
        assert [each.failure for each in outcomes] == [None] * 3 and told == [STATED] * 3


@pytest.mark.parametrize("kind", ["decoys", "live"])
async def test_where_a_check_is_held_back_nobody_is_accused(launcher: LocalLauncher, tmp_path: Path, kind: str) -> None:
    rogues = {"guard": "unfed_rogues:Withholding", "client": "unfed_rogues:Hurried"}
    told: list[Note] = []
    made = plan(rogues, checks=kind, cheat="skip")
    async with fleet_of(launcher, tmp_path, made, told=told.append) as fleet:
        outcomes = [await asked(fleet, prompt) for prompt in PROMPTS[:2]]
        why = "a decoy could not be checked: the verifier has not done it again within 2 s"
        assert [(note.kind, note.party, note.text) for note in told] == [("check", "verifier", why)] * (
            2 if kind == "decoys" else 0
        )
        for outcome in outcomes:
            if kind == "decoys":
                assert outcome.failure is None
            else:
                assert outcome.failure is not None and outcome.failure.party == "client", "which gave up"
                assert "the verifier has not done it again within 2 s" in outcome.failure.message
        assert kind == "live" or "a decoy was not answered and checked: the verifier has not" in log_of(fleet, "client")


async def test_a_verifier_without_leave_is_shown_nothing(launcher: LocalLauncher, tmp_path: Path) -> None:
    async with fleet_of(launcher, tmp_path, plan({"verifier": "unfed_rogues:Curious"})) as fleet:
        assert (await asked(fleet, PROMPTS[0])).failure is None
        await until(lambda: "asked, and was told: " in log_of(fleet, "verifier"))
        log = log_of(fleet, "verifier")
        assert "asks for what it has no leave to see" in log and "was shown" not in log
