"""``isjax`` and ``python -m isjax``: the command line as a process of its own.

Garbage collection during the imports and at the end of the process would take most of a second and free nothing: it is
disabled for both.
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
