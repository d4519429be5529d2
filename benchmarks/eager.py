"""The second eager call of every public function, compared with the same call under the caller's own ``jit``.

An eager call checks its arguments and dispatches one compiled program; it should take at most 20 times as long as the
program, plus 2 ms. First calls, which compile, are reported separately. The two alternate, and times are the minimum
over many calls, which is less sensitive to other work on the machine than the median.
"""

import argparse
import pathlib
import time

import jax

from benchmarks._report import machine, print_machine, print_markdown, write_figures
from benchmarks.calls import CALLS, Call

MOST_TIMES, MOST_SECONDS_MORE = 20, 2e-3
COLUMNS = {
    "function": ("function", ""),
    "eager, ms": ("eager_ms", ".3f"),
    "jit, ms": ("jit_ms", ".3f"),
    "eager ÷ jit": ("ratio", ".1f"),
    "first eager call, s": ("first_eager_s", ".2f"),
    "first call under jit, s": ("first_jit_s", ".2f"),
    "within bound": ("within", ""),
}


def seconds(function, arguments):
    start = time.perf_counter()
    jax.block_until_ready(function(*arguments))
    return time.perf_counter() - start


def least_in_turns(functions, arguments, *, budget, most=200):
    """Least seconds of each function: at least three calls, then as many as the budget allows."""
    least, stop = [float("inf")] * len(functions), time.perf_counter() + budget
    for turn in range(most):
        if turn >= 3 and time.perf_counter() > stop:
            break
        least = [min(so_far, seconds(f, arguments)) for so_far, f in zip(least, functions, strict=True)]
    return least


def measure(name: str, call: Call, budget: float):
    first, second = call.arguments(0), call.arguments(1)
    row = {"function": f"`{name}`", "first_eager_s": seconds(call.function, first)}
    if not call.traceable:
        [eager] = least_in_turns([call.function], second, budget=budget)
        return row | {"eager_ms": eager * 1e3}
    jitted = jax.jit(call.function)
    row["first_jit_s"] = seconds(jitted, first)
    eager, inside = least_in_turns([call.function, jitted], second, budget=budget)
    within = eager <= MOST_TIMES * inside + MOST_SECONDS_MORE
    return row | {
        "eager_ms": eager * 1e3,
        "jit_ms": inside * 1e3,
        "ratio": eager / inside,
        "within": "yes" if within else "no",
    }


def main(arguments):
    parser = argparse.ArgumentParser(prog="python -m benchmarks eager", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=CALLS, metavar="NAME", default=list(CALLS), help="which functions")
    parser.add_argument("--budget", type=float, default=1.0, help="seconds of second calls for each function")
    parser.add_argument("--output", type=pathlib.Path, help="where to write the figures, as JSON")
    options = parser.parse_args(arguments)
    about = machine()
    print_machine(about)
    rows = print_markdown((measure(name, CALLS[name], options.budget) for name in options.only), COLUMNS)
    compared = [row for row in rows if "within" in row]
    beyond = [row["function"] for row in compared if row["within"] == "no"]
    bound = f"eager ≤ {MOST_TIMES} × jit + {MOST_SECONDS_MORE * 1e3:g} ms"
    print(f"\n{bound}: {len(compared) - len(beyond)} of {len(compared)}")
    print("beyond the bound: " + (", ".join(beyond) or "none"))
    write_figures(options.output, about, rows=rows)
    return 0
