"""Studies: sweeps that survive interruption and scale out, with named results."""

from typing import TYPE_CHECKING

from isjax.study.figure import figure as figure  # at once: imported later, the module of this name would replace it
from isjax.study.figure import parts_figure as parts_figure

if TYPE_CHECKING:
    from isjax.study.results import load as load
    from isjax.study.results import save as save
    from isjax.study.runner import run as run

__all__ = ["figure", "load", "parts_figure", "run", "save"]


def __getattr__(name: str) -> object:
    """Imports the runner and the results at first use: a process that only trains blocks needs no xarray."""
    if name == "run":
        from isjax.study.runner import run

        return run
    if name in ("load", "save"):
        from isjax.study import results

        return getattr(results, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
