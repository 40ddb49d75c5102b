"""The built-in reward schemes, one file each, registered as a stranger's would be."""

from __future__ import annotations

from ..hookspecs import hookimpl
from ..reward import RewardScheme
from .equal import Equal
from .work import Work


@hookimpl
def unfed_reward_schemes() -> list[type[RewardScheme]]:
    return [Equal, Work]
