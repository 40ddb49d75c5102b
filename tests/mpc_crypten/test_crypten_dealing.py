"""What goes over the wire between nodes and dealer: checked requests, AES masks, sessions that do not mix."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from crypten_machine import pipe, run
from uniform import is_uniform

from unfed.backends.mpc_crypten import randomness, requests
from unfed.backends.mpc_crypten.communicator import Communicator
from unfed.backends.mpc_crypten.dealing import Dealt, Server
from unfed.backends.mpc_crypten.library import MPCTensor, TTPServer, arithmetic, cfg, crypten
from unfed.backends.mpc_crypten.randomness import Generator
from unfed.backends.mpc_crypten.requests import Request
from unfed.backends.mpc_crypten.session import install
from unfed.plugins import UnfedError

SQUARE = ["square", [[3, 4]], ""]


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"requests": []},
        {"requests": "square"},
        {"requests": [SQUARE], "more": 1},
        {"requests": [["wraps", [[3]], ""]]},
        {"requests": [["__init__", [[3]], ""]]},
        {"requests": [["square", [[3], [3]], ""]]},
        {"requests": [["square", [[-1]], ""]]},
        {"requests": [["square", [[0]], ""]]},
        {"requests": [["square", [[True]], ""]]},
        {"requests": [["square", [[3.0]], ""]]},
        {"requests": [["square", [[3]], "mul"]]},
        {"requests": [["square", [[1] * 9], ""]]},
        {"requests": [["square", [[1 << 30, 1 << 30]], ""]]},
        {"requests": [["square", [[1 << 23]], ""]] * 3},
        {"requests": [["additive", [[3], [3]], "eval"]]},
        {"requests": [["additive", [[3], [4]], "mul"]]},
        {"requests": [["additive", [[3, 4], [3, 4]], "matmul"]]},
        {"requests": [["additive", [[1 << 14, 1], [1, 1 << 14]], "matmul"]]},
        {"requests": [["square", [[1]], ""]] * (requests.MOST + 1)},
    ],
)
def test_the_dealer_refuses_what_is_no_request_and_names_who_asks(fields: dict[str, Any]) -> None:
    install()
    mine, theirs = pipe()
    mine.send(**fields)
    with pytest.raises(UnfedError) as refused:
        Server().serve("compute-0", theirs)
    assert (refused.value.failure.kind, refused.value.failure.party) == ("protocol", "compute-0")


def test_what_is_dealt_is_a_triple_of_both_seeds() -> None:
    """c = a · b, where a and b follow from what the two nodes hold; and the correction alone is spread evenly."""
    install()
    server = Server()
    nodes = [Generator(seed) for seed in server.seeds]
    first = server.additive((64, 32), (32, 64), "matmul")
    a, b = (sum(node.take(shape) for node in nodes) for shape in ((64, 32), (32, 64)))
    assert torch.equal(a @ b, first + nodes[1].take((64, 64)))
    assert is_uniform(first.numpy())


def test_masks_come_from_aes_in_every_place_where_crypten_draws_them() -> None:
    install()
    drawn = {module.__name__ for module in (sys.modules[name] for name in list(sys.modules) if "crypten" in name)
             if getattr(module, "generate_random_ring_element", None) is randomness.ring_element
             or getattr(module, "generate_kbit_random_tensor", None) is randomness.kbit}  # fmt: skip
    asks = {"common.rng", "mpc.primitives.arithmetic", "mpc.primitives.binary", "mpc.provider.ttp_provider"}
    assert {f"crypten.{name}" for name in asks} <= drawn
    assert is_uniform(randomness.ring_element((2000,), generator=Generator.fresh()).numpy())
    bits = randomness.kbit((20000,), 1, generator=Generator.fresh())
    assert set(bits.tolist()) == {0, 1} and abs(bits.double().mean() - 0.5) < 0.02


def test_the_dealer_is_never_a_rank() -> None:
    install()
    assert cfg.mpc.provider == "TTP"
    assert issubclass(Server, TTPServer)
    assert isinstance(crypten.mpc.get_default_provider(), crypten.mpc.provider.TrustedThirdParty)
    assert not torch.distributed.is_initialized()


def test_what_two_ranks_open_is_uniform() -> None:
    """Whatever the value, and for comparisons too, which open words and single bits."""
    seen: list[torch.Tensor] = []
    install()
    all_reduce = Communicator._exchange

    def watched(self: Communicator, mine: torch.Tensor) -> torch.Tensor:
        theirs = all_reduce(self, mine)
        if self._channel is not None:
            seen.append(theirs)
        return theirs

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Communicator, "_exchange", watched)
        run(lambda x: MPCTensor.from_shares(x, precision=16).relu().square().share, torch.full((3000,), 1 << 16))
    words = [each for each in seen if not bool(((each == 0) | (each == 1)).all())]
    bits = torch.cat([each for each in seen if bool(((each == 0) | (each == 1)).all())]).double()
    assert is_uniform(np.concatenate([each.numpy() for each in words]))
    assert len(bits) == 6000 and abs(bits.mean() - 0.5) < 0.04


def test_a_share_of_another_shape_or_type_is_refused_and_its_sender_named() -> None:
    for wrong in (torch.zeros(3, dtype=torch.int64), torch.zeros(2), b"", None):
        mine, theirs = pipe()
        theirs.send(opened=wrong)
        with pytest.raises(UnfedError) as refused:
            Communicator(0, "compute-1", mine, {}).all_reduce(torch.zeros(2, dtype=torch.int64))
        assert (refused.value.failure.kind, refused.value.failure.party) == ("protocol", "compute-1")
        mine, theirs = pipe()
        theirs.send(shares=wrong)
        with pytest.raises(UnfedError) as refused:
            Dealt(None).fetch([Request("square", ((2,),))], "dealer", mine)
        assert (refused.value.failure.kind, refused.value.failure.party) == ("protocol", "dealer")


def test_a_program_that_asks_for_something_else_than_rehearsed_ends() -> None:
    dealt = Dealt(None)
    dealt._shares.append((Request("square", ((2,),)), torch.zeros(2, dtype=torch.int64)))
    with pytest.raises(RuntimeError, match="rehearsed"):
        dealt.ttp_request("square", None, torch.Size([3]))
    assert arithmetic.generate_random_ring_element is randomness.ring_element


def test_requests_travel_in_messages_that_fit() -> None:
    many = [Request("square", ((requests.LARGEST // 3,),))] * 7 + [Request("B2A", ((1,),))] * (requests.MOST + 5)
    sent = list(requests.batches(many))
    assert [request for batch in sent for request in batch] == many
    for batch in sent:
        assert requests.arrived({"requests": [request.parts() for request in batch]}) == batch


def test_crypten_is_imported_on_a_torch_without_its_registry() -> None:
    code = (
        "import sys; from unfed.backends.mpc_crypten import library;"
        "from importlib.metadata import version;"
        "assert library.crypten.__version__ == '0.4.1';"
        "assert not library.crypten.is_initialized()"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
