"""The methods of a role that its peers may call, and the check of every message against their signatures."""

from __future__ import annotations

import inspect
import sys
import types
import typing
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from unfed.plugins import Role, UnfedError


class Handler:
    """One served method: `async def method(self, sender, *, field: type = default, …)`."""

    def __init__(self, method: Callable[..., Awaitable[Any]]) -> None:
        self._method = method
        hints = typing.get_type_hints(method)
        parameters = list(inspect.signature(method).parameters.values())[1:]
        if any(each.kind is not inspect.Parameter.KEYWORD_ONLY for each in parameters):
            raise TypeError(f"{method.__qualname__}: fields of a served method are keyword-only, after the sender")
        self._fields = {each.name: _Field(each.name, hints.get(each.name, Any)) for each in parameters}
        self._required = {each.name for each in parameters if each.default is inspect.Parameter.empty}

    def check(self, values: dict[str, Any]) -> dict[str, Any]:
        """The values as the method takes them. Raises ValueError where they do not fit."""
        if missing := self._required - values.keys():
            raise ValueError(f"the field {min(missing)!r} is missing")
        for name, value in values.items():
            if (field := self._fields.get(name)) is None:
                raise ValueError(f"there is no field {name[:32]!r}")
            values[name] = field.check(value)
        return values

    def __call__(self, sender: str, values: dict[str, Any]) -> Awaitable[Any]:
        return self._method(sender, **values)


class _Field:
    """What one field may hold: a tensor, what msgspec makes of plain values, or either."""

    def __init__(self, name: str, kind: Any) -> None:
        self.name = name
        self.kind = kind
        parts = typing.get_args(kind) if typing.get_origin(kind) in (typing.Union, types.UnionType) else (kind,)
        plain = [part for part in parts if not _is_tensor(part)]
        self._tensor = len(plain) < len(parts) or kind is Any
        self._plain = typing.Union[tuple(plain)] if plain else None  # noqa: UP007  (made of what is known only now)
        if self._plain is not None:
            try:
                msgspec.convert(None, self._plain)
            except msgspec.ValidationError:
                pass
            except TypeError as error:
                raise TypeError(f"the field {name!r} cannot be checked: {error}") from None

    def check(self, value: Any) -> Any:
        if type(value) is self.kind or self.kind is Any:
            return value
        if _is_tensor(type(value)):
            if not self._tensor:
                raise ValueError(f"the field {self.name!r} should be {self.kind}, not a tensor")
            return value
        if self._plain is None:
            raise ValueError(f"the field {self.name!r} should be a tensor")
        try:
            return msgspec.convert(value, self._plain)
        except (msgspec.ValidationError, RecursionError) as error:
            raise ValueError(f"the field {self.name!r}: {error}") from None


def _is_tensor(kind: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(kind, type) and issubclass(kind, torch.Tensor)


def served(role: Role) -> dict[str, Handler]:
    """Handlers by name. Raises TypeError for a signature that cannot be served."""
    return {
        name: Handler(getattr(role, name))
        for name, method in inspect.getmembers(type(role), inspect.iscoroutinefunction)
        if getattr(method, "__unfed_serves__", False)
    }


def load_role(reference: str) -> type[Role]:
    """The class that `package.module:Class` names.

    Raises:
        UnfedError: it cannot be imported or is no role.
    """
    module, _, name = reference.partition(":")
    try:
        __import__(module)
        found = getattr(sys.modules[module], name)
    except ModuleNotFoundError as error:
        raise UnfedError(
            f"the role {reference} needs the module {error.name!r}",
            kind="unavailable",
            hint=f"pip install {error.name}",
        ) from error
    except (ImportError, AttributeError) as error:
        raise UnfedError(f"the role {reference} cannot be imported: {error}", kind="unavailable") from error
    if not (isinstance(found, type) and issubclass(found, Role)):
        raise UnfedError(f"{reference} is not a Role", kind="internal")
    return found
