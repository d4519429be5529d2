"""The command ``isjax measure``, as a process of its own: seconds and peak memory against the number of rows.

The data: a target of 10 classes, an input of 1000 symbols, a code of 50 that is sufficient and one of 25 that merges
its codes in pairs, all of them words. Resamples and permutations are the command's defaults.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile
import time

import numpy as np
import polars as pl

import isjax
from benchmarks._report import machine, print_machine, print_table, write_figures

NUM_SYMBOLS, NUM_CODES, NUM_CLASSES = 1000, 50, 10


def model(rng):
    """p(y | good), which is uniform."""
    mass = np.exp(rng.normal(size=(NUM_CODES, NUM_CLASSES)))
    return mass / mass.sum(1, keepdims=True)


def exact_loss(seed):
    """What the code ``coarse`` loses, in nats."""
    return float(
        isjax.mutual_information_loss(model(np.random.default_rng(seed)) / NUM_CODES, np.arange(NUM_CODES) // 2)
    )


def sample(seed, rows):
    """A frame of words, whose code ``good`` is sufficient for the target, and whose code ``coarse`` is not."""
    rng = np.random.default_rng(seed)
    cumulative = model(rng).cumsum(1)
    x = rng.integers(0, NUM_SYMBOLS, rows)
    good = rng.permutation(np.arange(NUM_SYMBOLS) % NUM_CODES)[x]
    target = (rng.random((rows, 1)) > cumulative[good, :-1]).sum(1)
    columns = {"input": x, "good": good, "coarse": good // 2, "target": target}
    return pl.DataFrame({name: [f"{name} {code}" for code in codes] for name, codes in columns.items()})


LAUNCHER = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True)
usage = resource.getrusage(resource.RUSAGE_CHILDREN)
print(usage.ru_utime + usage.ru_stime, usage.ru_maxrss, file=sys.stderr)
"""


def measure(path, method):
    """Seconds of wall and of CPU, peak memory in MB, and what the command printed.

    It is started by a small process: on Linux the peak of a child is not below the memory of the one that starts it.
    """
    words = [sys.executable, "-c", LAUNCHER, sys.executable, "-m", "isjax", "measure", str(path), "--target", "target"]
    words += ["--json", "--method", method, "--encoders", "good", "coarse"]
    start = time.perf_counter()
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    seconds = time.perf_counter() - start
    cpu, memory = map(float, done.stderr.splitlines()[-1].split())
    scale = 1e6 if sys.platform == "darwin" else 1e6 / 1024  # bytes there, KiB elsewhere
    return seconds, cpu, memory / scale, json.loads(done.stdout)


def rows(options):
    with tempfile.TemporaryDirectory() as folder:
        for num_rows in options.rows:
            frame = sample(0, num_rows)
            for suffix, write in (("csv", frame.write_csv), ("parquet", frame.write_parquet)):
                path = pathlib.Path(folder) / f"sample.{suffix}"
                write(path)
                seconds, cpu, memory, found = measure(path, options.method)
                good, coarse = found["encoders"]
                yield {
                    "name": f"{num_rows} rows, {suffix}",
                    "seconds": seconds,
                    "cpu_seconds": cpu,
                    "memory": memory,
                    "good": good["loss"]["corrected"],
                    "good_p": good["permutation_p_value"],
                    "coarse": coarse["loss"]["corrected"],
                    "coarse_low": coarse["low"],
                    "coarse_high": coarse["high"],
                    "coarse_exact": exact_loss(0),
                }


def main(arguments):
    parser = argparse.ArgumentParser(prog="python -m benchmarks measure", description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 1_000_000], help="how many rows")
    parser.add_argument("--method", default="inversion", help="as of isjax measure")
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
        "from": ("coarse_low", ".6f"),
        "to": ("coarse_high", ".6f"),
        "exact": ("coarse_exact", ".6f"),
    }
    write_figures(options.output, about, measure=print_table(rows(options), columns))
    return 0
