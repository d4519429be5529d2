"""The command ``isjax measure``, as a process of its own: seconds and peak memory against the number of rows.

The data: a target of 10 classes, an input of 1000 symbols, a code of 50 that is sufficient and one of 25 that merges
its codes in pairs, all of them words. Resamples and permutations are the command's defaults.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import numpy as np
import polars as pl

from benchmarks._report import machine, print_machine, print_table, write_figures

NUM_SYMBOLS, NUM_CODES, NUM_CLASSES = 1000, 50, 10


def sample(seed, rows):
    """A frame of words, whose code ``good`` is sufficient for the target, and whose code ``coarse`` is not."""
    rng = np.random.default_rng(seed)
    mass = np.exp(rng.normal(size=(NUM_CODES, NUM_CLASSES)))
    cumulative = (mass / mass.sum(1, keepdims=True)).cumsum(1)
    x = rng.integers(0, NUM_SYMBOLS, rows)
    good = rng.permutation(np.arange(NUM_SYMBOLS) % NUM_CODES)[x]
    target = (rng.random((rows, 1)) > cumulative[good, :-1]).sum(1)
    columns = {"input": x, "good": good, "coarse": good // 2, "target": target}
    return pl.DataFrame({name: [f"{name} {code}" for code in codes] for name, codes in columns.items()})


def measure(path):
    """Seconds of wall and of CPU, peak memory in MB, and what the command printed."""
    words = [sys.executable, "-m", "isjax", "measure", str(path), "--target", "target", "--json"]
    words += ["--encoder", "good", "coarse"]
    start = time.perf_counter()
    child = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert child.stdout is not None
    printed = child.stdout.read()
    _, status, usage = os.wait4(child.pid, 0)
    seconds = time.perf_counter() - start
    child.returncode = os.waitstatus_to_exitcode(status)
    assert child.returncode == 0, f"isjax measure ended with {child.returncode}"
    scale = 1e6 if sys.platform == "darwin" else 1e3  # bytes there, KiB elsewhere
    return seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / scale, json.loads(printed)


def rows(options):
    with tempfile.TemporaryDirectory() as folder:
        for num_rows in options.rows:
            frame = sample(0, num_rows)
            for suffix, write in (("csv", frame.write_csv), ("parquet", frame.write_parquet)):
                path = pathlib.Path(folder) / f"sample.{suffix}"
                write(path)
                seconds, cpu, memory, found = measure(path)
                good, coarse = found["encoders"]
                yield {
                    "name": f"{num_rows} rows, {suffix}",
                    "seconds": seconds,
                    "cpu_seconds": cpu,
                    "memory": memory,
                    "good": good["loss"]["corrected"],
                    "good_p": good["permutation_p_value"],
                    "coarse": coarse["loss"]["corrected"],
                    "coarse_p": coarse["permutation_p_value"],
                }


def main(arguments):
    parser = argparse.ArgumentParser(prog="python -m benchmarks measure", description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 1_000_000], help="how many rows")
    parser.add_argument("--output", type=pathlib.Path, help="where to write the figures, as JSON")
    options = parser.parse_args(arguments)
    about = machine("polars")
    print_machine(about)
    columns = {
        "sample": ("name", ""),
        "wall, s": ("seconds", ".1f"),
        "CPU, s": ("cpu_seconds", ".1f"),
        "peak, MB": ("memory", ".0f"),
        "loss of good": ("good", ".6f"),
        "p": ("good_p", ".3f"),
        "of coarse": ("coarse", ".6f"),
        "p ": ("coarse_p", ".3f"),
    }
    write_figures(options.output, about, measure=print_table(rows(options), columns))
    return 0
