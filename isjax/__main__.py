"""``isjax`` and ``python -m isjax``: the command line as a process of its own.

What is imported stays, and what is left at the end goes with the process. To look for garbage among either would take
the better part of a second, so the collector is told of both.
"""

import atexit
import gc

gc.disable()

from isjax.cli.main import main  # noqa: E402

gc.freeze()
gc.enable()
atexit.register(gc.freeze)

if __name__ == "__main__":
    main()
