"""The console's own theme: quiet greys, one colour for what matters, and one for each kind of trouble."""

from __future__ import annotations

from textual.theme import Theme

DEFAULT = "unfed"

UNFED = Theme(
    name=DEFAULT,
    primary="#6fa8dc",
    secondary="#8892a6",
    accent="#7cc5c0",
    foreground="#d6dbe4",
    background="#12151b",
    surface="#171b23",
    panel="#1f2430",
    success="#86b97a",
    warning="#dcb058",
    error="#e0736d",
    dark=True,
    variables={
        "text-primary": "#7cc5c0",
        "text-success": "#86b97a",
        "text-warning": "#dcb058",
        "text-error": "#e0736d",
        "border": "#353d4d",
        "border-blurred": "#2a303c",
        "footer-background": "#12151b",
        "footer-key-foreground": "#6fa8dc",
        "footer-description-foreground": "#8f98a9",
        "block-cursor-background": "#2b3a4f",
        "block-cursor-foreground": "#e8ecf3",
        "block-cursor-text-style": "none",
        "block-cursor-blurred-background": "#222a37",
        "input-selection-background": "#6fa8dc 35%",
        "scrollbar": "#343c4b",
        "scrollbar-background": "#171b23",
        "scrollbar-corner-color": "#171b23",
        "scrollbar-background-hover": "#1b202a",
        "scrollbar-background-active": "#1b202a",
    },
)
