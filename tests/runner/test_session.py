"""Runs through real fleets of `plain` and `split`: records, faults, concurrency, and fleets that outlive a run."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import msgspec
import psutil
import pytest
import pytest_asyncio
from random_models import save_llama
from real_fleets import Lent

from unfed.console.fleet.process import LocalLauncher
from unfed.console.results.check import faults
from unfed.console.results.record import Prompt, Record, news, to_json
from unfed.console.runner.attached import AttachedFleet
from unfed.console.runner.build import Wanted, build
from unfed.console.runner.notices import Answering, Notice, ResultReady, RunBegan, RunEnded, Told
from unfed.console.runner.orders import decode_report, packed, socket_path, unpacked
from unfed.console.runner.outcome import blank
from unfed.console.runner.request import Request
from unfed.console.runner.session import Session
from unfed.console.runner.supervisor import Supervisor
from unfed.plugins import Emulation, Note, Token, UnfedError
from unfed.plugins.host import PluginHost

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]

TEXTS = ("a large animal with four legs", "the act of moving", "a building where people live")
SLOW = Emulation(delay=0.01)
"""Links that make an answer of 200 tokens take seconds, so that something can happen in the middle of it."""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_llama(tmp_path_factory.mktemp("llama"), layers=3, hidden=32, vocab=300, seed=1)


@pytest_asyncio.fixture(loop_scope="session", scope="module")
async def session(launcher: LocalLauncher, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Session]:
    session = Session(PluginHost(), logs=tmp_path_factory.mktemp("logs"), launcher=Lent(launcher))
    await session.warm()
    yield session
    await session.close()


async def asked(model: Path, *sets: str, tokens: int = 12, texts: tuple[str, ...] = TEXTS) -> Request:
    wanted = Wanted(
        backends=("plain", "split"), model=str(model), prompts=texts, sets=sets, max_new_tokens=tokens, timeout=60
    )
    return await build(wanted, PluginHost())


def nothing(notice: Notice) -> None:
    pass


def when_streaming(variant: str, act: Callable[[], object], after: int = 3) -> Callable[[Notice], None]:
    """A watcher that acts once, in the middle of the first answer of `variant`."""
    seen = 0

    def watch(notice: Notice) -> None:
        nonlocal seen
        if isinstance(notice, Answering) and notice.variant == variant and isinstance(notice.event, Token):
            seen += 1
            if seen == after:
                act()

    return watch


def pid_of(session: Session, variant: str, party: str) -> int:
    return next(state.pid for state in session.parties() if (state.variant, state.name) == (variant, party))


async def test_news_reach_consoles_that_are_attached() -> None:
    told = Told(news("unfed", Note(kind="caught", text="it failed a spot check", party="layers-1")))
    assert decode_report(packed(told)[4:]) == told


async def test_a_run_makes_a_valid_record(session: Session, model: Path) -> None:
    notices: list[Notice] = []
    record = await session.run(await asked(model), notices.append)
    assert faults(msgspec.json.decode(to_json(record))) == []
    assert (record.status, record.concurrency) == ("complete", 1)
    assert [(r.variant, r.prompt_id) for r in record.results] == [
        (variant, prompt) for prompt in ("p1", "p2", "p3") for variant in ("plain", "split")
    ]
    for result in record.results:
        assert result.status == "ok", result.error
        assert result.answer is not None and len(result.answer.token_ids) == 12
        assert result.fidelity.token_agreement == 1.0 and result.fidelity.max_logit_error == 0.0
        assert 0 < result.seconds.first_token < result.seconds.total and result.seconds.setup > 0
        assert sum(link.bytes for link in result.traffic.links) == result.traffic.bytes > 0
        for split in result.rewards:
            assert sum(split.shares.values()) == pytest.approx(1)
    split = next(result for result in record.results if result.variant == "split")
    path = [(link.source, link.target) for link in split.traffic.links]
    assert path == [("client", "layers-0"), ("layers-0", "layers-1"), ("layers-1", "layers-2"), ("layers-2", "client")]
    assert split.traffic.rounds == split.traffic.messages == 4 * 12  # each token goes once around
    assert {party.name for party in record.parties if party.variant == "split"} == {
        "client",
        "layers-0",
        "layers-1",
        "layers-2",
    }
    assert sum(isinstance(notice, ResultReady) for notice in notices) == 6
    assert all(n.event.logits is None for n in notices if isinstance(n, Answering) and isinstance(n.event, Token))


async def test_fleets_are_kept_where_they_fit_and_replaced_where_not(session: Session, model: Path) -> None:
    request = await asked(model)
    await session.run(request, nothing)
    before = pid_of(session, "plain", "server"), pid_of(session, "split", "layers-0")
    await session.run(await asked(model, "split.shards=2"), nothing)
    after = pid_of(session, "plain", "server"), pid_of(session, "split", "layers-0")
    assert before[0] == after[0] and before[1] != after[1]
    assert not psutil.pid_exists(before[1])


async def test_several_queries_at_once_do_not_mix(session: Session, model: Path) -> None:
    texts = tuple(f"{text} number {index}" for index in range(4) for text in TEXTS)
    request = await asked(model, texts=texts)
    alone = await session.run(request, nothing)
    together = await session.run(msgspec.structs.replace(request, concurrency=8), nothing)
    race = await session.run(msgspec.structs.replace(request, race=True), nothing)
    assert (together.concurrency, race.concurrency) == (8, 2)

    def answers(record: Record) -> list[object]:
        return [(r.variant, r.prompt_id, r.answer and r.answer.token_ids, r.traffic.bytes > 0) for r in record.results]

    assert answers(alone) == answers(together) == answers(race)
    assert [r.traffic.messages for r in alone.results] == [r.traffic.messages for r in together.results]


async def test_one_prompt_too_long_fails_alone(session: Session, model: Path) -> None:
    record = await session.run(await asked(model, texts=(TEXTS[0], "word " * 3000)), nothing)
    states = [(r.prompt_id, r.status, r.error and r.error.kind) for r in record.results]
    assert states == [("p1", "ok", None), ("p1", "ok", None), *[("p2", "failed", "bad-input")] * 2]
    again = await session.run(await asked(model), nothing)
    assert {result.status for result in again.results} == {"ok"}


async def test_a_killed_node_is_named_and_the_other_backend_goes_on(session: Session, model: Path) -> None:
    request = msgspec.structs.replace(await asked(model, tokens=150), emulation=SLOW)
    killed = []

    def kill() -> None:
        os.kill(pid_of(session, "split", "layers-1"), signal.SIGKILL)
        killed.append(time.monotonic())

    ended: list[float] = []

    def watch(notice: Notice) -> None:
        streaming(notice)
        if isinstance(notice, ResultReady) and notice.result.variant == "split":
            ended.append(time.monotonic())

    streaming = when_streaming("split", kill)
    record = await session.run(request, watch)
    assert ended[0] - killed[0] < 5
    for result in record.results:
        if result.variant == "plain":
            assert result.status == "ok"
        else:
            assert result.status == "failed" and result.error is not None
            assert (result.error.kind, result.error.party) == ("party-lost", "layers-1")
            assert "SIGKILL" in result.error.message or "signal 9" in result.error.message
    again = await session.run(await asked(model), nothing)  # a broken fleet is replaced for the next run
    assert {result.status for result in again.results} == {"ok"}


async def test_a_stopped_node_is_named(session: Session, model: Path) -> None:
    request = msgspec.structs.replace(await asked(model, tokens=150, texts=TEXTS[:1]), emulation=SLOW)
    stop = lambda: os.kill(pid_of(session, "split", "layers-2"), signal.SIGSTOP)  # noqa: E731
    began = time.monotonic()
    record = await session.run(request, when_streaming("split", stop))
    assert time.monotonic() - began < 20
    split = next(result for result in record.results if result.variant == "split")
    assert split.error is not None and (split.error.kind, split.error.party) == ("party-hung", "layers-2")
    assert next(r for r in record.results if r.variant == "plain").status == "ok"


async def test_an_interrupted_run_keeps_what_it_has(session: Session, model: Path) -> None:
    request = msgspec.structs.replace(await asked(model, tokens=150), emulation=SLOW)
    record = await session.run(request, when_streaming("split", session.interrupt))
    assert record.status == "interrupted"
    states = [(r.variant, r.prompt_id, r.status) for r in record.results]
    assert states == [("plain", "p1", "ok"), ("split", "p1", "cancelled")]
    assert faults(msgspec.json.decode(to_json(record))) == []


async def test_cancelling_one_variant_leaves_the_rest(session: Session, model: Path) -> None:
    request = msgspec.structs.replace(await asked(model, tokens=30, texts=TEXTS[:2]), emulation=SLOW)
    record = await session.run(request, when_streaming("split", lambda: session.cancel("split")))
    states = [(r.variant, r.prompt_id, r.status) for r in record.results]
    assert states == [("plain", "p1", "ok"), ("split", "p1", "cancelled"), ("plain", "p2", "ok"), ("split", "p2", "ok")]


async def test_cancelling_a_variant_whose_turn_has_not_come_skips_it(session: Session, model: Path) -> None:
    request = msgspec.structs.replace(await asked(model, tokens=30, texts=TEXTS[:2]), emulation=SLOW)
    record = await session.run(request, when_streaming("plain", lambda: session.cancel("split")))
    states = [(r.variant, r.prompt_id, r.status) for r in record.results]
    assert states == [("plain", "p1", "ok"), ("split", "p1", "cancelled"), ("plain", "p2", "ok"), ("split", "p2", "ok")]


async def test_audit_records_views_of_every_party(session: Session, model: Path, tmp_path: Path) -> None:
    request = msgspec.structs.replace(await asked(model, texts=TEXTS[:1]), audit=tmp_path / "views")
    record = await session.run(request, nothing)
    for result in record.results:
        assert {view.party for view in result.views} == {p.name for p in record.parties if p.variant == result.variant}
        assert all(Path(view.path).stat().st_size > view.bytes > 0 for view in result.views)
        assert {entry.party for entry in result.audit} == {v.party for v in result.views} - {"client"}
        assert all(entry.attack is None and entry.reason for entry in result.audit)


async def test_a_fleet_that_outlives_runs(launcher: LocalLauncher, model: Path, tmp_path: Path) -> None:
    host = PluginHost()
    wanted = Wanted(backends=("plain", "split"), model=str(model), max_new_tokens=8, prompts=("unused",))
    request = await build(wanted, host)
    own = Session(host, logs=tmp_path / "logs", launcher=Lent(launcher))
    supervisor = Supervisor("lab", tmp_path, wanted, request, own)
    ready = asyncio.Event()
    serving = asyncio.create_task(supervisor.serve(nothing, ready.set))
    waiting = asyncio.create_task(ready.wait())
    await asyncio.wait({serving, waiting}, return_when=asyncio.FIRST_COMPLETED)
    assert ready.is_set(), serving.exception()
    assert (tmp_path / "lab.sock").stat().st_mode & 0o777 == 0o600

    async def attach(*texts: str, variants: int = 2) -> Record:
        fleet = await AttachedFleet.reach(tmp_path, "lab")
        prompts = tuple(Prompt(id=f"a{index}", prompt=text) for index, text in enumerate(texts))
        ours = msgspec.structs.replace(request, prompts=prompts, variants=request.variants[:variants])
        record = await fleet.run(ours, nothing)
        await fleet.close()
        return record

    one, two = await asyncio.gather(attach(TEXTS[0], TEXTS[1]), attach(TEXTS[2], variants=1))
    assert [r.status for r in one.results] == ["ok"] * 4
    assert [(r.variant, r.status) for r in two.results] == [("plain", "ok")]
    fleet = await AttachedFleet.reach(tmp_path, "lab")
    status = await fleet.status()
    assert status.variants == ("plain", "split") and {state.health for state in status.parties} == {"ready"}
    with pytest.raises(UnfedError, match="running already"):
        await Supervisor("lab", tmp_path, wanted, request, own).serve(nothing, ready.set)
    await fleet.stop()
    await serving
    assert not any(psutil.pid_exists(state.pid) for state in status.parties)
    with pytest.raises(UnfedError, match="no fleet called"):
        await AttachedFleet.reach(tmp_path, "lab")


async def test_a_supervisor_that_dies_leaves_what_was_answered(model: Path, tmp_path: Path) -> None:
    request = await build(Wanted(backends=("plain", "split"), model=str(model), prompts=TEXTS[:2]), PluginHost())
    first = blank(request.variants[0], request.prompts[0])

    async def attend(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await unpacked(reader)
        for notice in (RunBegan(Record(run_id="r", started="now", profile=None)), ResultReady(first)):
            writer.write(packed(notice))
        writer.close()  # as one that is killed

    server = await asyncio.start_unix_server(attend, str(socket_path(tmp_path, "lab")))
    seen: list[object] = []
    fleet = await AttachedFleet.reach(tmp_path, "lab")
    record = await fleet.run(request, seen.append)
    await fleet.close()
    server.close()
    assert record.run_id == "r" and record.status == "complete"
    assert [result.status for result in record.results] == ["ok", "failed", "failed", "failed"]
    assert all("'lab' ended" in result.error.message for result in record.results if result.error)
    assert isinstance(seen[-1], RunEnded) and seen[-1].record is record
