"""Faces of backends for tests of what stands before a fleet; no role is behind them."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from unfed.plugins import Backend, Claim, Models, Options, Party, Plan, Requirement, Slot, UnfedError, hookimpl
from unfed.plugins.host import PluginHost


class AlphaOptions(Options):
    shards: Annotated[int, Field(ge=1, le=9)] = 3
    """Nodes."""
    wire: Literal["fp32", "fp16"] = "fp32"
    names: tuple[str, ...] = ()
    cap: int | None = None
    fast: bool = False


class BetaOptions(Options):
    wire: Literal["fp32", "bf16"] = "fp32"
    noise: float = 0.0


CLAIM = Claim(asset="prompt", property="confidentiality", against=("network",), basis="computational")


class Alpha(Backend):
    name, title = "alpha", "Alpha"
    Options = AlphaOptions

    def plan(self, models: Models, options: Options) -> Plan:
        assert isinstance(options, AlphaOptions)
        if options.shards > 4:
            raise UnfedError(f"there are no {options.shards} layers", hint="4 at most")
        return Plan(parties=(Party("client", role="x:Y"),), links=(), guarantee=(CLAIM,))


class Beta(Alpha):
    name, title = "beta", "Beta"
    Options = BetaOptions
    slots: ClassVar = {
        "model": Slot("answers"),
        "members": Slot("vote", many=True),
        "denoiser": Slot("cleans up", optional=True),
    }

    def plan(self, models: Models, options: Options) -> Plan:
        return Plan(parties=(Party("client", role="x:Y"),), links=(), guarantee=(CLAIM,))


class Needy(Alpha):
    name, title = "needy", "Needy"
    requires = (Requirement("no_such_library", "pip install no-such-library"),)


class Faces:
    @hookimpl
    def unfed_backends(self) -> list[type[Backend]]:
        return [Alpha, Beta, Needy]


def host(*more: object) -> PluginHost:
    """A host of these faces (and of `more` plugins) alone."""
    made = PluginHost(points=[])
    for index, plugin in enumerate((Faces(), *more)):
        made.register(plugin, f"test-{index}")
    return made
