"""``python -m benchmarks NAME …``: each benchmark has its own options (``--help``)."""

import importlib
import pathlib
import sys

FILES = pathlib.Path(__file__).parent.glob("*.py")
NAMES = sorted(path.stem for path in FILES if not path.stem.startswith("_") and path.stem != "calls")


def main() -> int:
    if len(sys.argv) < 2 or sys.argv[1] not in NAMES:
        print(f"usage: python -m benchmarks {{{','.join(NAMES)}}} [options]", file=sys.stderr)
        return 2
    return importlib.import_module(f"benchmarks.{sys.argv[1]}").main(sys.argv[2:])


sys.exit(main())
