"""The app: it owns the session, hears its notices, and shows pages over them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import ClassVar

import msgspec
from textual import on
from textual.app import App
from textual.binding import Binding
from textual.dom import DOMNode
from textual.keys import format_key

from .actions import ACTS, IDS, bindings
from .board import Board
from .desk import Choice, Desk
from .history import History
from .keymap import FILE, read_keymap
from .palette import Actions
from .runs import Running
from .screens.compare import CompareScreen
from .screens.confirm import Confirm
from .screens.explain import Explain, help_of, keys_here
from .screens.fleet import FleetScreen
from .screens.gallery import GalleryScreen
from .screens.page import Page
from .screens.plugins import PluginsScreen
from .screens.runs import RunsScreen
from .settings import Settings, read_settings, write_settings
from .themes import DEFAULT, UNFED

CLOSING = 15.0
"""Seconds that parties have to end when one quits."""
