"""Shared by the benchmarks: timing in turns, the machine, tables, and results as JSON."""

import importlib.metadata
import json
import os
import pathlib
import platform
import statistics
import time
from typing import NamedTuple

from isjax._shell.files import write_atomically


class Seconds(NamedTuple):
    """Seconds of the first call, which compiles, and the median of the others."""

    first: float | None
    median: float


def in_turns(contenders, rounds):
    """Seconds of functions without arguments: one call of each, then ``rounds`` rounds of all of them."""
    times = {name: [] for name in contenders}
    for _ in range(rounds + 1):
        for name, f in contenders.items():
            start = time.perf_counter()
            f()
            times[name].append(time.perf_counter() - start)
    return {name: Seconds(first, statistics.median(rest)) for name, (first, *rest) in times.items()}


def machine(*peers):
    """The processor, its load, and the versions of the packages measured; None if not installed."""
    versions = {}
    for name in ("isjax", "jax", "jaxlib", "numpy", *peers):
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = None
    about = {"processor": _processor(), "cores": os.cpu_count(), "load": round(os.getloadavg()[0], 1)}
    return about | {"python": platform.python_version(), **versions}


def _processor():
    info = pathlib.Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((line.split(":")[1].strip() for line in lines if "model name" in line), platform.processor())


def print_machine(about):
    print(", ".join(f"{k} {v}" for k, v in about.items()))


def print_table(rows, columns):
    """Prints dictionaries as they are produced, and returns them as a list.

    ``columns`` maps a heading to a key of the row and a format. The first column is the name of the row; values that
    are None or absent are left blank.
    """
    first, *others = columns
    widths = [max(12, len(heading) + 2) for heading in others]
    kept = []
    print(f"\n{first:50s}" + "".join(f"{heading:>{width}s}" for heading, width in zip(others, widths, strict=True)))
    for row in rows:
        name, *cells = ("" if row.get(key) is None else format(row[key], spec) for key, spec in columns.values())
        print(f"{name:50s}" + "".join(f"{c:>{w}s}" for c, w in zip(cells, widths, strict=True)), flush=True)
        kept.append(row)
    return kept


def print_markdown(rows, columns):
    """``print_table`` as a Markdown table, the format of README."""
    kept = []
    print("\n| " + " | ".join(columns) + " |\n" + "|---" * len(columns) + "|")
    for row in rows:
        cells = ("" if row.get(key) is None else format(row[key], spec) for key, spec in columns.values())
        print("| " + " | ".join(cells) + " |", flush=True)
        kept.append(row)
    return kept


def write_figures(path, about, **tables):
    """Writes ``{"machine": about, NAME: rows, …}`` as JSON, unless ``path`` is None."""
    if path is not None:
        text = json.dumps({"machine": about, **tables}, indent=2, ensure_ascii=False) + "\n"
        write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def save_figure(path, draw, *, panels, share_y=False):
    """Draws panels side by side with one legend into a PNG named after a JSON ``path``, unless that is None."""
    if path is None:
        return
    import matplotlib.pyplot as plt

    style = pathlib.Path(__file__).parent.parent / "examples" / "isjax.mplstyle"
    with plt.style.context(style):
        figure, axes = plt.subplots(1, panels, figsize=(2.6 * panels, 3.4), sharey=share_y, squeeze=False)
        draw(axes[0])
        lines = {line.get_label(): line for axis in axes[0] for line in axis.get_lines()}
        lines = {label: line for label, line in lines.items() if not str(label).startswith("_")}
        figure.legend(lines.values(), lines.keys(), loc="outside lower center", ncols=3)
        write_atomically(path.with_suffix(".png"), lambda temporary: figure.savefig(temporary, format="png"))
        plt.close(figure)
