"""The command: `python -m reproduction.gpu prepare` and `python -m reproduction.gpu run`."""

import sys

from reproduction.gpu.command import main

sys.exit(main())
