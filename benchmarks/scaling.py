"""What a step of a network costs as a sweep grows, in members, data length and devices, and by the size of chunks.

Each cell has a process of its own, which holds one compiled sweep of an MLP on X itself (ten binary inputs, batches of
32) and is asked to run it when its turn comes. The peak of its resident memory is told beside the median time.
"""

import argparse
import itertools
import json
import pathlib
import resource
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import jax

import isjax
from benchmarks._report import in_turns, machine, print_machine, print_table, save_figure, write_figures
from isjax.sweeps import compile_sweep

LENGTHS = tuple(2**i for i in range(5, 13))
MEBIBYTE = 1024  # ru_maxrss counts kibibytes


def serve(num_devices, width, num_seeds, lengths, num_steps, chunk_size):
    """Compiles a sweep, and runs it once for every line that comes."""
    isjax.configure_cpu(num_devices)
    source = isjax.sparse_source(jax.random.key(0), num_inputs=10, num_relevant=4, num_classes=4, discrimination=0.8)
    spec = isjax.SweepSpec(
        hidden=((width,),),
        lengths=lengths,
        num_seeds=num_seeds,
        num_steps=num_steps,
        num_evals=1,
        chunk_size=chunk_size,
    )
    program = compile_sweep(jax.random.key(0), [source.problem("identity")], spec)
    print("ready", flush=True)
    for _ in sys.stdin:
        jax.block_until_ready(program())
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / MEBIBYTE, flush=True)


class Server:
    """A process that holds the sweep of one cell."""

    def __init__(self, **cell):
        command = [sys.executable, "-m", "benchmarks", "scaling", "--serve", json.dumps(cell)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.peak = 0.0
        self._read()

    def _read(self):
        line = self.process.stdout.readline() if self.process.stdout else ""
        if not line:
            raise RuntimeError(f"the process of a cell ended with code {self.process.wait()}")
        return line

    def __call__(self):
        assert self.process.stdin
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        self.peak = float(self._read())

    def close(self):
        self.process.communicate()


def measure(cells, num_rounds):
    """Adds to each cell its microseconds a step of one member, and the peak of its process in MiB."""
    with ThreadPoolExecutor(2) as pool:
        servers = dict(enumerate(pool.map(lambda cell: Server(**cell), cells)))
    try:
        seconds = in_turns(servers, num_rounds)
        for i, cell in enumerate(cells):
            members = cell["num_seeds"] * len(cell["lengths"])
            step = seconds[i].median / (members * cell["num_steps"])
            yield (
                cell
                | {"members": members, "length": max(cell["lengths"]), "step_us": step * 1e6}
                | {"run_s": seconds[i].median, "peak_mib": servers[i].peak}
            )
    finally:
        for server in servers.values():
            server.close()


def tables(widths, most_members, num_steps):
    """The cells of each table."""
    base = {
        "num_devices": 2,
        "width": 256,
        "num_seeds": 128,
        "lengths": LENGTHS,
        "num_steps": num_steps,
        "chunk_size": None,
    }
    members = [n for n in (64, 256, 1024, 4096, 16384) if n <= most_members]
    steps = {width: max(int(num_steps * (256 / width) ** 0.6), 20) for width in widths}
    return {
        "members": [base | {"num_seeds": n // len(LENGTHS)} for n in members],
        "lengths": [base | {"num_seeds": 256, "lengths": (2**i,)} for i in (5, 8, 11, 14)],
        "devices": [
            base | {"num_devices": n, "width": w, "num_steps": steps[w]} for w, n in itertools.product(widths, (1, 2))
        ],
        "chunks": [
            base | {"width": w, "num_steps": steps[w], "chunk_size": size}
            for w, size in itertools.product(widths, (1, 2, 4, 8, 16))
        ],
        "100,000 members": [base | {"num_seeds": 12_500, "num_steps": 10}] if most_members >= 16384 else [],
    }


COLUMNS = {
    "": ("table", ""),
    "width": ("width", "d"),
    "devices": ("num_devices", "d"),
    "chunk": ("chunk_size", ""),
    "members": ("members", ",d"),
    "longest n": ("length", ",d"),
    "steps": ("num_steps", "d"),
    "µs a step": ("step_us", ".2f"),
    "a run, s": ("run_s", ".2f"),
    "peak, MiB": ("peak_mib", ".0f"),
}


def draw(rows, axes):
    """Cost by members and length, memory by members, and cost by chunk size."""
    of = {name: [row for row in rows if row["table"] == name] for name in ("members", "lengths", "chunks")}

    def points(name, x, y):
        return zip(*((row[x], row[y]) for row in of[name]), strict=True)

    axes[0].plot(*points("members", "members", "step_us"), marker="o", label="1/8 of the members at each length")
    axes[0].set(xscale="log", ylim=(0, None), xlabel="members", ylabel="a step of one network (µs)", title="width 256")
    axes[1].plot(*points("members", "members", "peak_mib"), marker="o")
    axes[1].set(
        xscale="log", ylim=(0, None), xlabel="members", ylabel="peak of resident memory (MiB)", title="width 256"
    )
    axes[2].plot(*points("lengths", "length", "step_us"), marker="o")
    axes[2].set(xscale="log", ylim=(0, None), xlabel="data length n", title="width 256")
    for width in sorted({row["width"] for row in of["chunks"]}):
        of_width = [(row["chunk_size"], row["step_us"]) for row in of["chunks"] if row["width"] == width]
        axes[3].plot(*zip(*of_width, strict=True), marker="o", label=f"width {width}")
    sizes = sorted({row["chunk_size"] for row in of["chunks"]})
    axes[3].set(xscale="log", yscale="log", xlabel="members in lock step", title="chunks")
    axes[3].set_xticks(sizes, map(str, sizes))
    axes[3].minorticks_off()


def main(arguments):
    parser = argparse.ArgumentParser(prog="python -m benchmarks scaling", description=__doc__)
    parser.add_argument("--widths", type=int, nargs="+", default=[32, 256, 1024], help="for devices and chunk sizes")
    parser.add_argument("--members", type=int, default=16384, help="the most; below 16,384 the largest run is left out")
    parser.add_argument("--rounds", type=int, default=5, help="how often each cell runs")
    parser.add_argument("--steps", type=int, default=100, help="of each member of width 256; narrower ones take more")
    parser.add_argument("--output", type=pathlib.Path, help="where to write the figures: FILE.json, and FILE.png")
    parser.add_argument("--serve", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.serve:
        serve(**options.serve)
        return 0
    about = machine()
    print_machine(about)
    rows = []
    for name, cells in tables(options.widths, options.members, options.steps).items():
        num_rounds = 1 if name == "100,000 members" else options.rounds
        rows += print_table(({"table": name} | row for row in measure(cells, num_rounds)), COLUMNS)
    write_figures(options.output, about, rows=rows)
    save_figure(options.output, lambda axes: draw(rows, axes), panels=4)
    return 0
