"""What `mpc` measures with, apart from measuring: figures, rows, delays, peers that end, and our programs' results."""

import asyncio
import json
import os
import sys
import time
from pathlib import Path

import pytest
import torch
from bench import make_works, spu_home
from bench.late import Late
from bench.mpc_contest import Contest, Told, contend, figures
from bench.mpc_decode import token_seconds
from bench.mpc_works import arrays, public, secret, secrets
from bench.peers import Peer
from bench.report import Report, table
from machine import run

from unfed.backends.common.folded import fold
from unfed.backends.mpc.engine import ring
from unfed.backends.mpc.transformer.shared import flat, unflat
from unfed.console.party.model import OpenModel
from unfed.console.runner.models import read_card
from unfed.plugins import Answer, Finished, OpenedModel, Phase, Token


def test_a_peers_whole_time_counts_and_ours_with_and_without_the_offline_part():
    assert figures({"seconds": 2.0, "waiting": 1.5, "error": 0.1}) == {"whole": 2.0}
    assert figures({"offline": 1.0, "online": 0.5, "error": 0.1}) == {"online": 0.5, "whole": 1.5}
    assert figures({"online": 0.5, "error": 0.1}) == {"online": 0.5, "whole": 0.5}


def token(at):
    return Token(id=1, text="", at=at)


def test_a_decode_token_has_its_own_offline_phase_and_the_first_token_does_not_count():
    events = [
        Phase(name="tokenise", seconds=9.0),
        *(event for at, ahead in ((5.0, 8.0), (5.5, 0.1), (6.5, 0.3), (7.1, 0.2)) for event in phase(ahead, at)),
        Finished(answer=Answer(text=""), total=7.2, first_token=5.0, offline=9.0),
    ]
    told = token_seconds(events)
    assert told["online"] == pytest.approx(0.6)
    assert told["offline"] == pytest.approx(0.2)
    with pytest.raises(ValueError, match="cannot be told apart"):
        token_seconds([each for each in events if each != phase(0.3, 0)[1]])


def phase(seconds, at):
    return [
        Phase(name="randomness", kind="offline"),
        Phase(name="randomness", kind="offline", seconds=seconds),
        token(at),
    ]


async def test_rows_hold_both_errors_and_leave_out_the_peer_that_is_not_there(tmp_path):
    asked = []

    async def ours(question):
        asked.append(question)
        return {"offline": 0.002, "online": 0.001, "error": 0.005 if len(asked) == 5 else 0.001, "deal": 0.001}

    async def theirs(question):
        return {"seconds": 0.03, "waiting": 0.01, "error": 0.007}

    report = Report(tmp_path / "b.json", ["mpc"])
    rows = (
        Told("whole", "whole", "crypten", 5),
        Told("online", "online", "crypten", 40),
        Told("else", "whole", "spu", 5),
    )
    await contend(report, Contest("work", rows, runs=3, trips=2), {"ours": ours, "crypten": theirs})
    whole, online = report.rows
    assert (whole.name, whole.against, whole.unit, whole.met) == ("mpc: whole", "CrypTen, TTP", "ms", True)
    assert (whole.ours, whole.peer, whole.ratio) == pytest.approx((3.0, 30.0, 10.0))
    assert (online.ours, online.ratio, online.met) == (pytest.approx(1.0), pytest.approx(30.0), False)
    assert (whole.max_error, whole.notes["peer_max_error"]) == (0.005, 0.007)
    assert whole.notes["peer_less_waiting_for_triples_ms"] == pytest.approx(20.0)
    assert [each["number"] for each in asked[2:]] == [0, 1, 2, 3, 4, 5]  # the first two were a warm-up


@pytest.mark.parametrize(("wrong", "error"), [(1, 1.0), (3, 1.0), (5, float("nan"))])
async def test_results_that_are_mostly_wrong_have_no_time(tmp_path, wrong, error):
    asked = []

    async def ours(question):
        return {"online": 0.001, "error": 0.01}

    async def theirs(question):
        asked.append(question)
        return {"seconds": 0.03, "error": 0.005 if len(asked) - 1 > wrong else error}  # the first is a warm-up

    report = Report(tmp_path / "b.json", ["mpc"])
    contest = Contest("work", (Told("a", "online", "crypten", 5),), runs=5)
    if wrong < 3:
        await contend(report, contest, {"ours": ours, "crypten": theirs})
        notes = report.rows[0].notes
        assert (notes["wrong_of_peer"], notes["peer_max_error"]) == (wrong, error)
    else:
        with pytest.raises(RuntimeError, match="crypten is off by"):
            await contend(report, contest, {"ours": ours, "crypten": theirs})
        assert report.rows == []


async def test_one_wrong_result_of_ours_is_one_too_many(tmp_path):
    async def ours(question):
        return {"online": 0.001, "error": 0.06 if question["number"] == 2 else 0.01}

    async def theirs(question):
        return {"seconds": 0.03, "error": 0.01}

    report = Report(tmp_path / "b.json", ["mpc"])
    contest = Contest("work", (Told("a", "online", "crypten", 5),), runs=5)
    with pytest.raises(RuntimeError, match=r"ours is off by 0\.06 in work, 1 times of 5"):
        await contend(report, contest, {"ours": ours, "crypten": theirs})
    assert report.rows == []


def test_a_peer_that_cannot_run_is_said_in_table_and_document(tmp_path):
    report = Report(tmp_path / "b.json", ["mpc"])
    report.leave_out("SPU, ABY3", "no wheel for this Python")
    assert report.document(partial=False)["left_out"] == [{"peer": "SPU, ABY3", "why": "no wheel for this Python"}]
    assert "SPU, ABY3 are LEFT OUT: no wheel" in table([], [], report.left_out, partial=False)


async def test_an_environment_is_made_once_and_the_reason_told_where_it_cannot_be(tmp_path, monkeypatch):
    (tmp_path / "made").write_text("\n".join(spu_home.NEEDS))
    assert await spu_home.python(tmp_path) == str(tmp_path / "bin" / "python")
    monkeypatch.setattr(spu_home.sys, "executable", "/bin/false")
    (tmp_path / "made").write_text("something older")
    with pytest.raises(RuntimeError, match="no virtual environment with spu"):
        await spu_home.python(tmp_path)


def test_a_late_message_waits_for_its_age_and_an_old_one_does_not():
    sent = time.monotonic_ns()
    Late(0.2, [], [torch.tensor([sent - 10**9]), torch.tensor([sent])]).wait()
    assert time.monotonic_ns() - sent >= 0.2e9
    began = time.monotonic()
    Late(60.0, [], [torch.tensor([time.monotonic_ns() - 61 * 10**9])]).wait()
    Late(60.0, [], []).wait()  # the side that sent it
    assert time.monotonic() - began < 30


RANKS = """
import datetime, json, os, sys, time
import torch, torch.distributed as dist
from bench.late import make_late
make_late(0.25)
rank = int(sys.argv[1])
dist.init_process_group("gloo", init_method=f"file://{sys.argv[2]}", rank=rank, world_size=2)
group = dist.new_group([0, 1])
took = {}
def timed(name, work):
    began = time.monotonic(); work(); took[name] = time.monotonic() - began
value = torch.tensor([rank + 1])
timed("sum", lambda: dist.all_reduce(value, op=dist.ReduceOp.SUM, group=group))
message = torch.tensor([7 if rank == 0 else 0])
timed("message", lambda: (dist.isend if rank == 0 else dist.irecv)(message, 1 - rank, group=group).wait())
dist.all_reduce(torch.zeros(1), op=dist.ReduceOp.SUM, group=group)  # so that both begin together again
both = torch.tensor([9 if rank == 0 else 0])
timed("broadcast", lambda: dist.broadcast(both, 0, group=group))
try:
    dist.gather(value, [], 0, group=group)
except NotImplementedError:
    took["gather"] = None
print(json.dumps({"values": [int(value), int(message), int(both)], **took}))
"""


async def test_what_ranks_send_arrives_whole_and_late(tmp_path):
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1]), "GLOO_SOCKET_IFNAME": "lo"}
    ranks = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-c", RANKS, str(rank), str(tmp_path / "place"), stdout=-1, env=environment
        )
        for rank in (0, 1)
    ]
    first, second = [json.loads((await each.communicate())[0]) for each in ranks]
    assert first["values"] == second["values"] == [3, 7, 9]
    assert max(first["sum"], second["sum"]) >= 0.25
    assert second["message"] >= 0.1 and second["broadcast"] >= 0.1  # sent a little before it was waited for
    assert first["gather"] is second["gather"] is None


PARENT = """
import json, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
for line in sys.stdin:
    print(json.dumps({"pid": child.pid}), flush=True)
"""


async def test_a_peer_that_is_stopped_takes_its_own_processes_along(tmp_path):
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    peer = await Peer.start(str(script))
    pid = (await peer.ask({}))["pid"]
    os.kill(pid, 0)
    await peer.stop()
    async with asyncio.timeout(30):
        while running(pid):  # noqa: ASYNC110  (of a process that is not our child, nothing else tells)
            await asyncio.sleep(0.01)


def running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.parametrize(("name", "error"), [("mlp", 1e-4), ("block", 0.01)])
def test_our_programs_compute_what_is_compared(tmp_path, name, error):
    make_works.store(tmp_path)
    model = fold(OpenModel("owner", OpenedModel(read_card(tmp_path / "block"), ("all",))))
    work, owned = public(tmp_path, name, model), secrets(tmp_path, name, model)
    stored = arrays(tmp_path, name)
    x, wanted = (torch.from_numpy(stored[each][0]) for each in ("x", "wanted"))
    assert x.shape == work.shape

    def on_shares(run, vector, x):
        return secret(tmp_path, name, model, run, unflat(vector, owned))(run, x)

    encoded = ring.encode(x, work.given)
    shared, opened = ((), (encoded,)) if work.opened else ((encoded,), ())
    for program, weights in ((work, ()), (on_shares, (flat(owned),))):
        (first, second), _ = run(program, *weights, *shared, given=opened)
        assert int(first[1] + second[1]) == 0
        assert (ring.decode(first[0] + second[0], work.made) - wanted).abs().max() < error
