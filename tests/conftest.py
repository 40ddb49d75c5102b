import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "support"))

from real_fleets import launcher  # noqa: F401  (a fixture: the one warm fork server of a session)
