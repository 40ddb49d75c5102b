"""The console: screens over a session. Importing this imports no textual; `run_app` does."""

from __future__ import annotations


def run_app(profile: str | None = None) -> int:
    """Run the console until its user quits.

    Args:
        profile: name or path of the profile to start with; None: the demo profile.
    Returns:
        The exit code: 0; 1 where the app itself failed; 128 and more where a signal ended it.
    """
    from .app import UnfedApp
    from .local import LocalDesk

    app = UnfedApp(LocalDesk(), profile=profile)
    app.run()
    return app.return_code or 0
