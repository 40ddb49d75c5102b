"""Profiles: TOML files naming models, backends, options and links. See `docs/operate.md`."""

from __future__ import annotations

import contextlib
import tomllib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from unfed.plugins import Emulation, UnfedError
from unfed.plugins.options import nearest

from ..results.paths import config_folder, expand
from .links import MBIT, emulation

MAX_FILE = 1_000_000


class Keys(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class RunKeys(Keys):
    """What stands under `[run]`; the command line's flags of the same names go before."""

    max_new_tokens: Annotated[int, Field(ge=1, le=1_000_000)] = 32
    temperature: Annotated[FiniteFloat, Field(ge=0)] = 0.0
    top_p: Annotated[FiniteFloat, Field(gt=0, le=1)] = 1.0
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    links: str | None = None
    timeout: Annotated[FiniteFloat, Field(gt=0, le=7 * 86400)] = 120.0


class LinkKeys(Keys):
    delay_ms: FiniteFloat = 0.0
    bandwidth_mbit: FiniteFloat | None = None


class ProfileKeys(Keys):
    """A whole profile as it stands in its file."""

    title: str = ""
    description: str = ""
    template: str = "{prompt}"
    prompts: str | None = None
    models: dict[str, str | list[str]] = {}
    run: RunKeys = RunKeys()
    backends: dict[str, dict[str, Any]] = {}
    links: dict[str, LinkKeys] = {}


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """A profile, checked, its paths made whole.

    Attributes:
        path: the file.
        origin: whether it ships with the package, lies in the user's folder, or was named by its path.
        prompts: the prompts file, None where it brings none.
        models: slot → folder or id, or several. Folders are absolute.
        backends: backend → its options.
    """

    name: str
    path: Path
    origin: Literal["built-in", "user", "file"]
    title: str
    description: str
    template: str
    prompts: Path | None
    models: Mapping[str, str | tuple[str, ...]]
    run: RunKeys
    backends: Mapping[str, Mapping[str, Any]]
    links: Mapping[str, Emulation]


class BrokenProfile(msgspec.Struct, frozen=True):
    """A profile that cannot be read, and why."""

    name: str
    path: Path
    reason: str


def profile_paths() -> dict[str, tuple[Path, Literal["built-in", "user"]]]:
    """Name → file and origin. A user's profile hides a built-in one of its name."""
    found: dict[str, tuple[Path, Literal["built-in", "user"]]] = {}
    with resources.as_file(resources.files("unfed.profiles")) as folder:
        found.update({path.stem: (path, "built-in") for path in sorted(folder.glob("*.toml"))})
    with contextlib.suppress(OSError):  # a folder that may not be read holds no profile for us
        found.update({path.stem: (path, "user") for path in sorted(config_folder().glob("profiles/*.toml"))})
    return dict(sorted(found.items()))


def profiles() -> list[Profile | BrokenProfile]:
    """Every profile that has a name; one that cannot be read takes no other with it."""
    listed: list[Profile | BrokenProfile] = []
    for name, (path, origin) in profile_paths().items():
        try:
            listed.append(read_profile(path, name, origin))
        except UnfedError as error:
            listed.append(BrokenProfile(name, path, str(error)))
    return listed


def find_profile(wanted: str) -> Profile:
    """The profile of this name, or in this file where it ends in .toml.

    Raises:
        UnfedError: there is none (the nearest is suggested), or it cannot be used.
    """
    if wanted.endswith(".toml"):
        return read_profile(expand(wanted).absolute(), Path(wanted).stem, "file")
    known = profile_paths()
    if wanted not in known:
        raise UnfedError(f"there is no profile {wanted!r}", hint=nearest(wanted, known))
    path, origin = known[wanted]
    return read_profile(path, wanted, origin)


def read_profile(path: Path, name: str, origin: Literal["built-in", "user", "file"]) -> Profile:
    """The profile in a file; paths in it are relative to the file.

    Raises:
        UnfedError: naming the file and the key.
    """
    keys = _keys(path)
    if "{prompt}" not in keys.template:
        raise UnfedError(
            f"{path}: the template does not hold {{prompt}}", hint='write it like template = "{prompt} =>"'
        )
    models: dict[str, str | tuple[str, ...]] = {}
    for slot, reference in keys.models.items():
        models[slot] = (
            _reference(reference, path)
            if isinstance(reference, str)
            else tuple(_reference(each, path) for each in reference)
        )
    return Profile(
        name=name,
        path=path,
        origin=origin,
        title=keys.title or name,
        description=keys.description,
        template=keys.template,
        prompts=path.parent / expand(keys.prompts) if keys.prompts else None,
        models=models,
        run=keys.run,
        backends=keys.backends,
        links={
            key: emulation(link.delay_ms / 1000, link.bandwidth_mbit and link.bandwidth_mbit * MBIT, f"{path}: {key}")
            for key, link in keys.links.items()
        },
    )


def check_run(values: Mapping[str, Any], where: str) -> RunKeys:
    """Run settings, checked; `where` begins an error's message.

    Raises:
        UnfedError: a value out of its bounds.
    """
    try:
        return RunKeys.model_validate(dict(values))
    except ValidationError as error:
        raise _said(error, where) from error


def _keys(path: Path) -> ProfileKeys:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE + 1)
    except (OSError, ValueError) as error:
        raise UnfedError(f"cannot read the profile {path}: {getattr(error, 'strerror', None) or error}") from error
    if len(data) > MAX_FILE:
        raise UnfedError(f"{path} is too large for a profile")
    try:
        return ProfileKeys.model_validate(tomllib.loads(data.decode()))
    except UnicodeDecodeError as error:
        raise UnfedError(f"{path}: invalid UTF-8 at byte {error.start}", hint="save the file as UTF-8") from error
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise UnfedError(f"{path}: broken TOML: {error}") from error
    except ValidationError as error:
        raise _said(error, str(path)) from error


def _said(error: ValidationError, where: str) -> UnfedError:
    """The first fault in words; an unknown key with the nearest that is known."""
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"] if part not in ("str", "list[str]"))
    if first["type"] == "extra_forbidden":
        *table, key = [str(part) for part in first["loc"]]
        kinds: dict[str, type[Keys]] = {"": ProfileKeys, "run": RunKeys, "links": LinkKeys}
        known = kinds[table[0] if table else ""].model_fields
        return UnfedError(f"{where}: there is no key {place!r}", hint=nearest(key, known))
    return UnfedError(f"{where}: {place} = {first['input']!r}: {first['msg']}")


def _reference(reference: str, path: Path) -> str:
    """A folder relative to the profile as an absolute one; anything else (an id) as it is."""
    if reference.startswith("hf:"):
        return reference
    folder = path.parent / expand(reference)
    first = path.parent / Path(reference).parts[0] if reference else folder
    explicit = reference.startswith((".", "~", "/"))
    return str(folder.absolute()) if explicit or folder.is_dir() or first.is_dir() else reference
