"""`unfed-console verify`: what a proof says of a party, found out here and without any fleet."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from .entry import FAILED, OK
from .output import emit
from .terminal import clean


class _About(msgspec.Struct):
    """What every proof tells, whatever backend it comes from."""

    backend: str
    party: str
    model: str = ""


@click.command(short_help="See for yourself what a proof says of a party.")
@click.argument("proof", metavar="PROOF")
@click.option("--model", required=True, metavar="FOLDER", help="The model that the party was to run.")
def verify(proof: str, model: str) -> int:
    """Do again what a party signed that it did, as a proof shows it, and say whether it did.

    Exits with 0 where the proof holds, with 1 where the party did nothing wrong, with 2 where the proof is none.
    """
    from unfed.plugins import OpenedModel, UnfedError
    from unfed.plugins.host import PluginHost

    from ..party.model import OpenModel
    from ..results.paths import expand
    from ..runner.models import read_card

    path = expand(proof)
    try:
        data = path.read_bytes()
        about = msgspec.json.decode(data, type=_About)
    except OSError as error:
        raise UnfedError(f"cannot read {proof}: {error.strerror}", kind="bad-input") from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise UnfedError(f"{proof} is no proof: {error}", kind="bad-input") from error
    backend = PluginHost().backend(about.backend)()
    opened = OpenModel("whoever checks", OpenedModel(read_card(Path(expand(model))), ("all",)))
    try:
        found = backend.judge(data, opened)
    except UnfedError as error:  # whatever it is: a status of 1 would say that the party did nothing wrong
        raise UnfedError.of(msgspec.structs.replace(error.failure, kind="bad-input")) from error
    if not found:
        emit(clean(f"{about.party} did what it signed: this proves nothing against it."))
        return FAILED
    emit(clean(f"Proven: {about.party} {found}."))
    emit("By its own signature on what it received and what it sent; the certificate in the proof says whose it is.")
    return OK
