"""Where the time of the default study goes: the command ``isjax sweep``, as a process of its own from start to end.

It runs with an empty cache of compiled programs, then with the filled one. The shell is all but importing JAX and
the library, drawing the sources, compiling, training, and JAX's exit: it imports xarray and matplotlib, cuts blocks,
writes files, draws the figure and prints the tables. With the empty cache, matplotlib also builds its list of fonts.
"""

import argparse
import json
import os
import pathlib
import resource
import subprocess
import sys
import tempfile
import time

from benchmarks._report import machine, print_machine, print_table, write_figures
from isjax.study import load

STUDY = """
import atexit, json, sys, time
seconds = {}

@atexit.register  # registered first, so called last, after JAX
def say():
    seconds["leaving"] = time.perf_counter() - end
    json.dump(seconds, sys.stderr)

start = time.perf_counter()
import isjax
library = time.perf_counter()
from isjax.__main__ import main
import matplotlib.backends.backend_agg, isjax._shell.style, isjax.study.report, isjax.study.runner
from isjax.cli.study import Sweep
shell = time.perf_counter()
seconds |= {"library": library - start, "shell_import": shell - library}
draw = Sweep.problems

def problems(self):
    start = time.perf_counter()
    drawn = draw(self)
    seconds["sources"] = time.perf_counter() - start
    return drawn

Sweep.problems = problems
main(["sweep", "--quiet", "--overwrite", "--output", sys.argv[1], *sys.argv[2:]])
end = time.perf_counter()
"""
SPENT = ("library", "leaving", "shell_import", "sources", "compile", "run")


def study(folder, options):
    """Seconds of one study, by what they were spent on."""
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-c", STUDY, str(folder), *options],
        env=os.environ | {"XDG_CACHE_HOME": str(folder / "cache")},
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise RuntimeError(f"the study failed: {done.stderr}")
    row = {"wall": wall, "cpu": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime}
    of_blocks = load(folder / "study.nc").attrs
    row |= json.loads(done.stderr.splitlines()[-1]) | {
        name: of_blocks[f"{name}_seconds"] for name in ("compile", "run")
    }
    row["rest"] = wall - sum(row[name] for name in SPENT)
    row["share"] = 100 * (row["shell_import"] + row["rest"]) / wall
    return row


COLUMNS = {
    "seconds": ("name", ""),
    "wall": ("wall", ".1f"),
    "CPU": ("cpu", ".1f"),
    "library": ("library", ".2f"),
    "JAX's end": ("leaving", ".2f"),
    "sources": ("sources", ".2f"),
    "compiling": ("compile", ".1f"),
    "training": ("run", ".1f"),
    "shell: import": ("shell_import", ".2f"),
    "the rest": ("rest", ".2f"),
    "shell, %": ("share", ".1f"),
}


def main(arguments):
    parser = argparse.ArgumentParser(prog="python -m benchmarks study", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="how often, each time cold and warm")
    parser.add_argument("--options", nargs="*", default=[], help="of isjax sweep, without their dashes: num-seeds=2")
    parser.add_argument("--output", type=pathlib.Path, help="where to write the figures: FILE.json")
    options = parser.parse_args(arguments)
    about = machine()
    print_machine(about)

    def rows():
        words = [f"--{option}" for option in options.options]
        for i in range(1, options.rounds + 1):
            with tempfile.TemporaryDirectory() as folder:
                for cache in ("empty cache", "filled cache"):
                    yield {"name": f"{cache}, round {i}"} | study(pathlib.Path(folder), words)

    write_figures(options.output, about, rows=print_table(rows(), COLUMNS))
    return 0
