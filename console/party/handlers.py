"""The methods of a role that its peers may call, and the check of every message against their signatures."""

from __future__ import annotations

import inspect
import sys
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
        self._types = {each.name: hints.get(each.name, Any) for each in parameters}
        self._required = {each.name for each in parameters if each.default is inspect.Parameter.empty}

    def check(self, values: dict[str, Any]) -> dict[str, Any]:
        """The values as the method takes them. Raises ValueError where they do not fit."""
        if missing := self._required - values.keys():
            raise ValueError(f"the field {min(missing)!r} is missing")
        torch = sys.modules.get("torch")
        for name, value in values.items():
            if name not in self._types:
                raise ValueError(f"there is no field {name[:32]!r}")
            kind = self._types[name]
            if kind is Any or type(value) is kind:
                continue
            if torch is not None and (isinstance(value, torch.Tensor) or kind is torch.Tensor):
                raise ValueError(f"the field {name!r} should be {getattr(kind, '__name__', kind)}")
            try:
                values[name] = msgspec.convert(value, kind)
            except msgspec.ValidationError as error:
                raise ValueError(f"the field {name!r}: {error}") from None
        return values

    def __call__(self, sender: str, values: dict[str, Any]) -> Awaitable[Any]:
        return self._method(sender, **values)


def served(role: Role) -> dict[str, Handler]:
    """Handlers by name. Raises TypeError for a signature that cannot be served."""
    return {
        name: Handler(method)
        for name, method in inspect.getmembers(role, inspect.iscoroutinefunction)
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
