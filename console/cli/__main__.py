"""`python -m unfed.console.cli` is `unfed-console`."""

import sys

from . import main

sys.exit(main())
