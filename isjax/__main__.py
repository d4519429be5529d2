"""``python -m isjax``."""

from isjax.cli import main

if __name__ == "__main__":
    main()
