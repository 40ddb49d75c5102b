"""`wire`: round trips between two real parties, by `ctx.call` and over a channel, against gRPC under mutual TLS."""

from __future__ import annotations

import json
import secrets
from pathlib import Path

from bench.fleets import asking, one_launcher
from bench.measure import Bar, Rounds, Turn
from bench.peer_grpc import make_keys
from bench.peers import Peer
from bench.report import Report

from unfed.console.fleet.fleet import Fleet
from unfed.plugins import Claim, Party, Plan, chain

SIZES = (
    (1 << 10, "1 KB", "µs", 1e6, 200, 30),
    (64 << 10, "64 KB", "µs", 1e6, 100, 20),
    (4 << 20, "4 MB", "ms", 1e3, 8, 12),
)
"""Bytes each way, their name, the unit, units per second, round trips in a block, blocks."""

WAYS = {"call": "ctx.call", "channel": "channel.exchange"}
PEERS = {"unary": "grpc.aio unary, mTLS", "stream": "grpc.aio stream, mTLS"}

PLAN = Plan(
    parties=(Party("client", "bench.wire_roles:Pinger"), Party("echo", "bench.wire_roles:Echo")),
    links=chain("client", "echo"),
    guarantee=(Claim(asset="prompt", property="confidentiality", against=("echo",), basis="none"),),
)


async def measure(report: Report, folder: Path) -> None:
    make_keys(folder)
    server = await Peer.start("peer_grpc.py", "server", str(folder))
    client = await Peer.start("peer_grpc.py", "client", str(folder))
    try:
        await client.ask(await server.ask({}))
        async with one_launcher(folder) as launcher:
            fleet = Fleet("wire", "wire", PLAN, {}, launcher=launcher, logs=folder)
            await fleet.start()
            try:
                for size in SIZES:
                    await _size(report, fleet, client, *size)
            finally:
                await fleet.stop()
    finally:
        await server.stop()
        await client.stop()


async def _size(
    report: Report, fleet: Fleet, grpc: Peer, size: int, named: str, unit: str, scale: float, trips: int, blocks: int
) -> None:
    """Blocks of round trips of `size` bytes each way, every transport in its turn."""

    def ours(way: str) -> Turn:
        async def turn(number: int) -> float:
            prompt = json.dumps({"way": way, "size": size, "trips": trips})
            answer = await asking(fleet, secrets.token_hex(6), prompt)
            return scale * float(json.loads(answer.text)["median"])

        return turn

    def theirs(way: str) -> Turn:
        async def turn(number: int) -> float:
            return scale * float((await grpc.ask({"way": way, "size": size, "trips": trips}))["median"])

        return turn

    rounds = Rounds("call", "unary", "channel", "stream")
    turns = {way: ours(way) for way in WAYS} | {way: theirs(way) for way in PEERS}
    try:
        await rounds.take(turns, runs=blocks, warmup=2)
    finally:
        if rounds.taken:
            for way, label in WAYS.items():
                for peer, against in PEERS.items():
                    bars = [Bar("ours", 150), Bar("ratio", 3)] if size == 1 << 10 and peer == "unary" else []
                    report.add(
                        rounds.row(
                            way,
                            peer,
                            name=f"wire: {named} round trip, {label}",
                            against=against,
                            unit=unit,
                            bars=bars,
                            notes={
                                "bytes_each_way": size,
                                "trips_per_block": trips,
                                "payload": "tensor; gRPC: bytes",
                            },
                        )
                    )
