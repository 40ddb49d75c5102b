"""Fills the model slots of the chosen backends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from unfed.plugins import Backend, ModelCard, Slot, UnfedError
from unfed.plugins.host import PluginHost
from unfed.plugins.options import nearest

from .profile import Profile
from .sources import Say, open_model

Cards = Mapping[str, ModelCard | tuple[ModelCard, ...]]
"""A slot → the model that fills it, or the models where it takes many."""


async def fill_slots(
    backends: Sequence[type[Backend]],
    model: str | None,
    profile: Profile | None,
    host: PluginHost,
    say: Say | None = None,
) -> Cards:
    """Cards for the slots that the backends have; a model that no chosen backend needs is not opened.

    Args:
        model: a reference for the slot `model`, in place of the profile's.
        say: is told how a fetch goes on.
    Raises:
        UnfedError: a slot that must be filled is not, or a model cannot be used.
    """
    given: dict[str, str | tuple[str, ...]] = dict(profile.models) if profile else {}
    if model is not None:
        given["model"] = model
    wanted: dict[str, tuple[str, Slot]] = {}
    for backend in backends:
        for name, slot in backend.slots.items():
            if name in given:
                wanted.setdefault(name, (backend.name, slot))
            elif not slot.optional:
                raise _unfilled(backend.name, name, slot, given)
    if model is not None and "model" not in wanted:
        raise UnfedError("no chosen backend takes a model in the slot 'model'", hint="name its models in a profile")
    opened: dict[str, ModelCard] = {}
    cards: dict[str, ModelCard | tuple[ModelCard, ...]] = {}
    for name, (who, slot) in wanted.items():
        references = given[name]
        listed = (references,) if isinstance(references, str) else references
        if not listed or (len(listed) > 1 and not slot.many):
            raise UnfedError(f"the slot {name!r} of backend {who} takes one model, and {len(listed)} are given")
        for reference in listed:
            if reference not in opened:
                opened[reference] = await open_model(reference, host, say)
        cards[name] = tuple(opened[each] for each in listed) if slot.many else opened[listed[0]]
    return cards


def _unfilled(backend: str, name: str, slot: Slot, given: Mapping[str, object]) -> UnfedError:
    if name == "model":
        hint = "give --model FOLDER_OR_ID, or a profile that names one such as --profile demo"
    else:
        hint = f'name it under [models] of a profile: {name} = "FOLDER_OR_ID"'
    if given:
        close = nearest(name, given)
        hint += f"; the profile fills {close.removeprefix('known: ')}" if close.startswith("known") else f"; {close}"
    return UnfedError(f"backend {backend} needs a model in the slot {name!r} ({slot.about})", hint=hint)
