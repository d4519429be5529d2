"""The look that all figures share, and how they are written."""

import io
import os
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from isjax._shell.files import write_atomically

__all__ = ["LOOKS", "OTHER_COLOURS", "STYLE", "PictureFigure", "label", "save"]

STYLE: dict[Any, Any] = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "lines.linewidth": 1.4,
    "lines.markersize": 3.5,
    "axes.grid": True,
    "grid.linewidth": 0.4,
    "grid.alpha": 0.4,
}

# Okabe and Ito's colours, told apart by the colour-blind too, with a marker each for print without colour.
LOOKS = {
    "identity": ("#0072B2", "o", "X itself"),
    "sufficient": ("#009E73", "s", "sufficient U"),
    "biased": ("#D55E00", "^", "biased U"),
}
OTHER_COLOURS = ("#CC79A7", "#56B4E9", "#E69F00", "#000000")


class PictureFigure(Figure):
    """A figure that a notebook shows as a picture, without pyplot."""

    def _repr_png_(self) -> bytes:
        content = io.BytesIO()
        self.savefig(content, format="png", dpi=100)
        return content.getvalue()


def label(name: object) -> str:
    """A name as text on one line, which matplotlib would else read as mathematics.

    Examples:
      >>> import isjax._shell.style
      >>> isjax._shell.style.label("dose [mg]")
      'dose [mg]'
    """
    text = " ".join(str(name).split()).replace("$", r"\$")
    return text if len(text) <= _LONGEST else f"{text[:13]}…{text[-14:]}"


_LONGEST = 28  # characters of a label


def save(figure: Figure, path: str | os.PathLike[str]) -> Path:
    """Writes a figure in the format that the path's ending names, to a temporary file, then renamed.

    Args:
      figure: to be written.
      path: where to.

    Returns:
      The path.

    Raises:
      OSError: if it cannot be written.
      ValueError: if the ending is no format of matplotlib's.

    Examples:
      >>> import tempfile, matplotlib.figure, isjax._shell.style
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     print(isjax._shell.style.save(matplotlib.figure.Figure(), folder + "/figure.png").name)
      figure.png
    """
    return write_atomically(path, lambda temporary: figure.savefig(temporary, dpi=200))
