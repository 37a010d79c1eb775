"""Libraries that come with an extra, imported when they are first needed."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from parlour.errors import MissingExtra


def extra(module: str, name: str = "flow") -> Any:
    """The module. Raises `MissingExtra` that says what to install."""
    try:
        return import_module(module)
    except ImportError as error:
        raise MissingExtra(
            f"this needs {module.partition('.')[0]}; install it with: pip install 'parlour[{name}]'"
        ) from error
