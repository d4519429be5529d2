"""A step of SGD of one network on the devices of this machine, by the number of members that train in lock step.

Meant for an accelerator, where a step of more members takes little longer until the device is busy; it runs anywhere.
X itself (ten binary inputs), batches of 32, eight data lengths. The peers train as many members in lock step, and
PyTorch, on the same device, also one after another. Contenders of a width take turns, each warmed up.
"""

import argparse
import importlib.util
import pathlib
import time
from functools import partial

import jax

from benchmarks._report import in_turns, machine, print_machine, print_table, write_figures
from benchmarks.sweep import LENGTHS, of_isjax, of_torch, of_torch_func, of_vmap_of_scan, problem_of

BATCH_SIZE = 32


def contenders(problem, width, sizes, num_steps):
    """The name, the number of members in lock step, and what makes each contender."""
    options = {"problem": problem, "width": width, "size": BATCH_SIZE, "num_steps": num_steps}
    most = max(sizes) // len(LENGTHS)
    for size in sizes:
        yield "isjax", size, partial(of_isjax, **options, num_seeds=size, chunk_size=size)
    yield "isjax, its own choice", None, partial(of_isjax, **options, num_seeds=max(sizes))
    for size in sizes:
        yield "jit(vmap(scan))", size, partial(of_vmap_of_scan, **options, num_seeds=size // len(LENGTHS))
    if importlib.util.find_spec("torch"):
        yield "torch.func.vmap", max(sizes), partial(of_torch_func, **options, num_seeds=most)
        yield "PyTorch, one by one", 1, partial(of_torch, **options)


def rows_of(width, sizes, num_steps, num_rounds):
    """A row for each contender."""
    problem, ready = problem_of("identity"), []
    for name, size, make in contenders(problem, width, sizes, num_steps):
        start = time.perf_counter()
        run, steps = make()
        ready.append({"tool": name, "in_lock_step": size, "width": width, "run": run, "steps": steps})
        ready[-1]["first_s"] = time.perf_counter() - start
    seconds = in_turns({i: row["run"] for i, row in enumerate(ready)}, num_rounds)
    for i, row in enumerate(ready):
        first, median = seconds[i]
        del row["run"]
        row["first_s"] += first or 0
        yield row | {"run_s": median, "step_us": median / row["steps"] * 1e6}


COLUMNS = {
    "": ("tool", ""),
    "width": ("width", "d"),
    "in lock step": ("in_lock_step", ",d"),
    "µs a step": ("step_us", ".3f"),
    "a run, s": ("run_s", ".2f"),
    "first call, s": ("first_s", ".1f"),
}


def main(arguments):
    parser = argparse.ArgumentParser(prog="python -m benchmarks chunks", description=__doc__)
    parser.add_argument("--widths", type=int, nargs="+", default=[32, 256, 1024])
    parser.add_argument(
        "--sizes", type=int, nargs="+", default=[32, 256, 2048], help="members in lock step, multiples of 8"
    )
    parser.add_argument("--steps", type=int, default=200, help="of each member")
    parser.add_argument("--rounds", type=int, default=3, help="how often each contender runs")
    parser.add_argument("--output", type=pathlib.Path, help="where to write the figures: FILE.json")
    options = parser.parse_args(arguments)
    about = machine("torch") | {"devices": [device.device_kind for device in jax.devices()]}
    print_machine(about)
    rows = []
    for width in options.widths:
        rows += print_table(rows_of(width, options.sizes, options.steps, options.rounds), COLUMNS)
    write_figures(options.output, about, rows=rows)
    return 0
