"""Checks of the face: what can be said of a backend before any process starts."""

from __future__ import annotations

import asyncio
import importlib
import os
import re
import sys
from pathlib import Path
from typing import Any

import msgspec

from ..backend import Backend
from ..errors import UnfedError
from ..models import ModelCard
from ..plan import Plan
from .outcome import complain
from .privacy import members
from .rig import Rig

HEAVY = ("torch", "transformers", "tensorflow", "jax", "tenseal", "crypten", "concrete", "onnxruntime")
"""Modules that a face never imports: the console imports it, and must start at once."""

_OUTSIDE = """
import sys, msgspec
from unfed.plugins.conformance.face import Errand
errand = msgspec.json.decode(sys.stdin.buffer.read(), type=Errand)
plan = errand.plan()
heavy = [name for name in {heavy!r} if name in sys.modules]
sys.stdout.buffer.write(msgspec.json.encode([heavy, msgspec.json.encode(plan).decode()]))
"""


class Errand(msgspec.Struct):
    """What a fresh interpreter is told, to make the same plan as ours."""

    module: str
    name: str
    options: dict[str, Any]
    models: dict[str, ModelCard | tuple[ModelCard, ...]]

    def plan(self) -> Plan:
        found: Any = importlib.import_module(self.module)
        for part in self.name.split("."):
            found = getattr(found, part)
        backend: type[Backend] = found
        return backend().plan(self.models, backend.Options.model_validate(self.options))


async def imports(rig: Rig) -> str:
    """The face imports nothing heavy, and its plan is the same in another process."""
    heavy, plan = await _elsewhere(rig)
    complain(
        f"importing {rig.backend.__module__} or making a plan imports {name}: import it in the role's module instead"
        for name in heavy
    )
    ours, theirs = (msgspec.json.decode(each) for each in (msgspec.json.encode(rig.plan), plan))
    if ours != theirs:
        different = sorted(key for key in ours if ours[key] != theirs.get(key))
        complain([f"two processes make different plans (in {', '.join(different)}): a plan is data, without chance"])
    return "imports nothing heavy; the plan is the same in another process"


async def plan(rig: Rig) -> str:
    """The plan is pure data that hangs together."""
    rig.plan.check()
    again = rig.backend().plan(rig.models, rig.options)
    problems = []
    if again != rig.plan:
        problems.append("plan() returns something else when it is called again")
    try:
        if msgspec.json.decode(msgspec.json.encode(rig.plan), type=Plan) != rig.plan:
            problems.append("the plan is not what it was after a round trip through JSON: use plain JSON values")
    except (TypeError, ValueError, msgspec.MsgspecError) as error:
        problems.append(f"the plan cannot be written as JSON ({error}): use plain JSON values in settings")
    linked = {end for link in rig.plan.links for end in (link.a, link.b)}
    problems += [
        f"{party.name} has no link to anybody"
        for party in rig.plan.parties
        if party.name not in linked and len(rig.plan.parties) > 1
    ]
    complain(problems)
    return f"{len(rig.plan.processes())} processes, {len(rig.plan.links)} links, {len(rig.plan.guarantee)} claims"


async def declared(rig: Rig) -> str:
    """Name, title, options with defaults and descriptions, and slots that the plan uses."""
    backend, problems = rig.backend, []
    if not re.fullmatch(r"[a-z][a-z0-9_-]*", backend.name):
        problems.append(f"the name {backend.name!r} should be lower-case letters, digits, - and _")
    if not backend.title.strip() or not backend.summary.strip():
        problems.append("title and summary should say what the technique is: people choose by them")
    for name, field in backend.Options.model_fields.items():
        if field.is_required():
            problems.append(f"the option {name} has no default")
        if not (field.description or "").strip():
            problems.append(f"the option {name} is not described: write a docstring below it")
    problems += [f"{need.module} is not installed: {need.install}" for need in backend.missing()]
    problems += _slots(rig)
    complain(problems)
    return f"{len(backend.Options.model_fields)} options, {len(backend.slots)} model slots"


async def guarantee(rig: Rig) -> str:
    """Every node is told apart: some claim says whether it learns the prompt, and the output."""
    problems = []
    for asset in ("prompt", "output"):
        claims = [each for each in rig.plan.guarantee if each.asset == asset and each.property == "confidentiality"]
        for node in rig.nodes:
            if not any(node in members(rig.plan, claim) for claim in claims):
                problems.append(f"no claim says whether {node} learns the {asset}: basis 'none' says that it does")
    for claim in rig.plan.guarantee:
        if claim.denies and not (claim.assumes or claim.reveals or claim.parameters):
            problems.append(
                f"the claim on {claim.asset} against {', '.join(claim.against)} ({claim.basis}) neither assumes nor "
                f"reveals anything: say what must hold, and what is learned all the same (such as the length)"
            )
    complain(problems)
    return f"{sum(claim.denies for claim in rig.plan.guarantee)} of {len(rig.plan.guarantee)} claims promise something"


def _slots(rig: Rig) -> list[str]:
    opened: set[str] = set()
    problems = []
    for party in rig.plan.parties:
        for slot, parts in party.opens.items():
            name, _, index = slot.partition("[")
            opened.add(name)
            cards = rig.models.get(name)
            if name not in rig.backend.slots or cards is None:
                problems.append(f"{party.name} opens the slot {slot!r}, which the backend does not declare")
                continue
            card = cards if isinstance(cards, ModelCard) else cards[int(index.rstrip("]") or 0)]
            try:
                card.opened(parts)
            except UnfedError as error:
                problems.append(f"{party.name} opens {', '.join(parts)} of {slot}: {error}")
    problems += [
        f"the slot {name!r} is declared and filled, and no party opens any of it" for name in set(rig.models) - opened
    ]
    return problems


async def _elsewhere(rig: Rig) -> tuple[list[str], str]:
    """Make the plan in a fresh interpreter; returns the heavy modules it then holds, and the plan as JSON."""
    errand = Errand(
        module=rig.backend.__module__,
        name=rig.backend.__qualname__,
        options=rig.options.model_dump(mode="json"),
        models=dict(rig.models),
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        _OUTSIDE.format(heavy=HEAVY),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(each or str(Path.cwd()) for each in sys.path)},
    )
    out, said = await process.communicate(msgspec.json.encode(errand))
    if process.returncode:
        last = said.decode(errors="replace").strip().splitlines()[-1:]
        complain([f"the face cannot be imported in a fresh interpreter: {''.join(last)}"])
    heavy, made = msgspec.json.decode(out, type=tuple[list[str], str])
    return heavy, made
