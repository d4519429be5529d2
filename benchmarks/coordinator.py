"""What the coordinator of a study costs: a study of very many blocks, on workers that train nothing.

The workers are simulated: of the blocks handed to them, the 64 oldest are finished at once, with results of the right
shapes. All but one succeed, so that the study is interrupted with all other blocks on disk; then it is resumed. What is
left is the work of the coordinator: planning, handing out, writing, reading, assembling and saving.
"""

import argparse
import math
import pathlib
import resource
import tempfile
import time

import jax
import numpy as np

import isjax
import isjax.study
from benchmarks._report import machine, print_machine, print_table, write_figures
from isjax.study.blocks import Part, RunError
from isjax.sweeps import SweepResult

GIBIBYTE = 2**20  # ru_maxrss counts kibibytes
NUM_PROBLEMS, NUM_LENGTHS = 10, 100


def a_study(num_blocks, num_seeds):
    """Problems and a grid of which each (problem, learning rate, length) is a block, because it has many steps."""
    key, options = jax.random.key(0), {"num_inputs": 3, "num_relevant": 2, "num_classes": 2}
    sources = [isjax.sparse_source(key, **options, discrimination=0.9 - i / 20) for i in range(NUM_PROBLEMS)]
    num_rates = math.ceil(num_blocks / (NUM_PROBLEMS * NUM_LENGTHS))
    spec = isjax.SweepSpec(
        hidden=((8,),),
        lengths=tuple(range(32, 32 + NUM_LENGTHS)),
        learning_rates=tuple(0.1 * 2**-i for i in np.linspace(0, 1, num_rates)),
        num_seeds=num_seeds,
        num_steps=2**25,
        num_evals=16,
    )
    return {(f"source {i}", "biased"): source.problem("biased") for i, source in enumerate(sources)}, spec


def train_nothing(work):
    """Results of the shapes of a block."""
    spec = work.spec
    axes = map(len, (spec.network_names, spec.batch_sizes, spec.learning_rates, spec.lengths))
    shape = (len(work.problems), *axes, spec.num_seeds, spec.num_evals)
    of_problems, of_members = np.full(shape[:1], 0.5, np.float32), np.full(shape, 0.5, np.float32)
    arrays = {name: of_problems if name in OF_PROBLEMS else of_members for name in SweepResult._fields}
    return Part(arrays | {"steps": np.ones(shape, np.int32)}, {"compile": 0.0, "run": 0.0})


OF_PROBLEMS = ("conditional_entropy", "encoder_bias", "uniform_risk")


class Workers:
    """An executor of 64 workers that finish a block as soon as they have it; the last of ``num_blocks`` fails."""

    def __init__(self, failing=None):
        self.failing, self.num_submitted, self.num_taken, self.most_waiting = failing, 0, 0, 0
        self.first_submitted = None  # wall and CPU seconds

    def submit(self, _fn, /, *args):
        [work] = args
        if self.first_submitted is None:
            self.first_submitted = now()
        self.num_submitted += 1
        self.most_waiting = max(self.most_waiting, self.num_submitted - self.num_taken)
        return Future(self, self.num_submitted - 1, work)


class Future:
    def __init__(self, workers, i, work):
        self.workers, self.i, self.work = workers, i, work

    def done(self):
        return self.i < self.workers.num_taken + 64

    def result(self):
        self.workers.num_taken += 1
        if self.i == self.workers.failing:
            raise MemoryError("this block fails, so that the study is interrupted")
        return train_nothing(self.work)

    def cancel(self):
        pass


def now():
    return np.array([time.perf_counter(), time.process_time()])


def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / GIBIBYTE


def runs(num_blocks, num_seeds, folder):
    """The interrupted run, and its resumption."""
    problems, spec = a_study(num_blocks, num_seeds)
    num_blocks = len(problems) * spec.num_members // spec.num_seeds
    key, path = jax.random.key(0), pathlib.Path(folder) / "study.nc"
    for name, workers in (("a run", Workers(failing=num_blocks - 1)), ("its resumption", Workers())):
        start = now()
        try:
            study = isjax.study.run(key, problems, spec, output=path, executor=workers, resume=True)
        except RunError:
            study = None
        stop, first = now(), workers.first_submitted
        (start_s, start_cpu_s), (rest_s, rest_cpu_s) = (first - start).tolist(), (stop - first).tolist()
        yield {
            "name": f"{name}, {num_blocks:,} blocks, {workers.num_submitted:,} trained",
            "num_blocks": num_blocks,
            "start_s": start_s,
            "start_cpu_s": start_cpu_s,
            "rest_s": rest_s,
            "rest_cpu_s": rest_cpu_s,
            "block_ms": 1e3 * (start_s + rest_s) / num_blocks,
            "block_cpu_ms": 1e3 * (start_cpu_s + rest_cpu_s) / num_blocks,
            "most_waiting": workers.most_waiting,
            "peak_gib": peak(),
            "file_mib": path.stat().st_size / 2**20 if study is not None else None,
        }


COLUMNS = {
    "": ("name", ""),
    "to the first block, s": ("start_s", ".1f"),
    "CPU": ("start_cpu_s", ".1f"),
    "the rest, s": ("rest_s", ".1f"),
    "CPU, rest": ("rest_cpu_s", ".1f"),
    "a block, ms": ("block_ms", ".2f"),
    "CPU, a block": ("block_cpu_ms", ".2f"),
    "handed out": ("most_waiting", ",d"),
    "peak, GiB": ("peak_gib", ".2f"),
    "file, MiB": ("file_mib", ",.0f"),
}


def main(arguments):
    parser = argparse.ArgumentParser(prog="python -m benchmarks coordinator", description=__doc__)
    parser.add_argument("--blocks", type=int, default=100_000, help="how many blocks the study has")
    parser.add_argument("--seeds", type=int, default=4, help="how many networks a block has")
    parser.add_argument("--output", type=pathlib.Path, help="where to write the figures, as JSON")
    options = parser.parse_args(arguments)
    about = machine("xarray")
    print_machine(about)
    with tempfile.TemporaryDirectory() as folder:
        rows = print_table(runs(options.blocks, options.seeds, folder), COLUMNS)
    write_figures(options.output, about, rows=rows)
    return 0
