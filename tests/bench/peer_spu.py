"""SPU's ABY3, three parties over its own links on loopback: `peer_spu.py FOLDER`, by a Python that has spu and jax.

A question is `{"work", "number"}` (see `make_works`), and perhaps `secret`, of the weights; the answer tells `seconds`
of the slowest party from shared input to shared result; sharing and opening are left out, to the peer's advantage.
`error` is the largest against float64.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import socket
import sys
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

os.environ.update(JAX_PLATFORMS="cpu", XLA_FLAGS="--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")

import jax
import jax.numpy as jnp
import numpy as np
import spu.api
import spu.libspu
import spu.utils.frontend

PARTIES = 3
MASKED = -16.0
"""Added to the scores of tokens that lie ahead: SPU's exponentials are wrong far below that."""

Arrays = dict[str, Any]


def settings() -> Any:
    """ABY3 on 64 bits and one thread; everything else as SPU has it."""
    chosen = spu.libspu.RuntimeConfig()
    chosen.protocol = spu.libspu.ProtocolKind.ABY3
    chosen.field = spu.libspu.FieldType.FM64
    chosen.max_concurrency = 1
    return chosen


def mlp(x: Any, w: Arrays) -> Any:
    return jax.nn.relu(x @ w["w1"] + w["b1"]) @ w["w2"] + w["b2"]


def block(x: Any, w: Arrays) -> Any:
    tokens, hidden = x.shape
    heads = 4
    joined = _normed(x, w) @ w["qkv"] + w["qkv_bias"]
    queries, keys, values = (
        part.reshape(tokens, heads, hidden // heads).transpose(1, 0, 2) for part in jnp.split(joined, 3, -1)
    )
    ahead = np.triu(np.full((tokens, tokens), MASKED, np.float32), 1)
    weighed = jnp.matmul(jax.nn.softmax(jnp.matmul(queries, keys.transpose(0, 2, 1)) + ahead, -1), values)
    x = x + weighed.transpose(1, 0, 2).reshape(tokens, hidden) @ w["out"] + w["out_bias"]
    up = _normed(x, w) @ w["up"] + w["up_bias"]
    return x + (up * jax.nn.sigmoid(up)) @ w["down"] + w["down_bias"]


def _normed(x: Any, w: Arrays) -> Any:
    return x * jax.lax.rsqrt(jnp.mean(x * x, -1, keepdims=True) + w["epsilon"])


WORKS = {"mlp": mlp, "block": block}


class Program:
    """One computation, compiled: the input is secret, and the weights are where that is asked for."""

    def __init__(self, folder: Path, work: str, secret: bool) -> None:
        with np.load(folder / f"{work}.npz") as stored:
            found = {name: stored[name] for name in stored if name != "heads"}
        self._x, self._wanted = found.pop("x"), found.pop("wanted")
        names = list(found)
        self.weights = [found[name].astype(np.float32) for name in names]
        self.names = ["x", *names]
        program = WORKS[work]
        shares = spu.libspu.Visibility
        self.seen = shares.VIS_SECRET if secret else shares.VIS_PUBLIC
        self.executable, _ = spu.utils.frontend.compile(
            spu.utils.frontend.Kind.JAX,
            lambda x, *weights: program(x, dict(zip(names, weights, strict=True))),
            (self.input(0), *self.weights),
            {},
            self.names,
            [shares.VIS_SECRET] + [self.seen] * len(names),
            lambda results: [f"result {place}" for place in range(len(results))],
        )

    def input(self, number: int) -> Any:
        return self._x[number % len(self._x)].astype(np.float32)

    def error(self, number: int, found: Any) -> float:
        return float(np.abs(found - self._wanted[number % len(self._x)]).max())


def party(rank: int, ports: list[int], asked: Connection) -> None:
    """One party: is handed shares, runs the program that it is told, and hands its share of the result back."""
    description = spu.libspu.link.Desc()
    description.recv_timeout_ms = 60_000
    for place, port in enumerate(ports):
        description.add_party(f"party-{place}", f"127.0.0.1:{port}")
    link = spu.libspu.link.create_brpc(description, rank)
    runtime = spu.api.Runtime(link, settings())
    while True:
        try:
            program, named = asked.recv()
        except EOFError:
            return
        executable = spu.libspu.Executable()
        executable.ParseFromString(program)
        for name, share in named.items():
            runtime.set_var(name, _share(*share))
        link.barrier()
        began = time.perf_counter()
        runtime.run(executable)
        took = time.perf_counter() - began
        result = runtime.get_var(executable.output_names[0])
        asked.send((took, _parts(result)))


def _parts(share: Any) -> tuple[bytes, list[bytes]]:
    return share.meta, list(share.share_chunks)


def _share(meta: bytes, chunks: list[bytes]) -> Any:
    share = spu.libspu.Share()
    share.meta, share.share_chunks = meta, chunks
    return share


def main(folder: Path) -> None:
    answers_to = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # SPU logs to stdout
    spawn = multiprocessing.get_context("spawn")
    ports = _free(PARTIES)
    ends = [spawn.Pipe() for _ in ports]
    for rank, (_, theirs) in enumerate(ends):
        spawn.Process(target=party, args=(rank, ports, theirs), daemon=True).start()
        theirs.close()
    programs: dict[tuple[str, bool], Program] = {}
    seen = spu.libspu.Visibility
    io = spu.api.Io(PARTIES, settings())
    for line in sys.stdin:
        question = json.loads(line)
        number, kind = question["number"], (question["work"], bool(question.get("secret")))
        if kind not in programs:
            programs[kind] = Program(folder, *kind)
        program = programs[kind]
        shared = [io.make_shares(program.input(number), seen.VIS_SECRET)]
        shared += [io.make_shares(weight, program.seen) for weight in program.weights]
        for rank, (ours, _) in enumerate(ends):
            named = {name: _parts(each[rank]) for name, each in zip(program.names, shared, strict=True)}
            ours.send((program.executable.SerializeToString(), named))
        answers = [ours.recv() for ours, _ in ends]
        found = io.reconstruct([_share(*share) for _, share in answers])
        told = {"seconds": max(took for took, _ in answers), "error": program.error(number, found)}
        print(json.dumps(told), file=answers_to, flush=True)


def _free(count: int) -> list[int]:
    """Ports that nobody listens on just now."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


if __name__ == "__main__":
    main(Path(sys.argv[1]))
