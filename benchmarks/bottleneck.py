"""The information bottleneck curve: isjax compared with embo and dit, on the same joint and the same β.

β is dimensionless here (nats per nat). embo multiplies divergences in bits by its β and exponentiates to the base e, so
its β is ours times log 2; dit's equals ours. embo runs with one restart and at most 100 updates, its defaults, and
removes points that are not monotone; that step is included in its time. isjax runs 8 restarts at each β and shares
solutions between neighbouring β. All objectives are recomputed in float64 nats. dit takes seconds per point, so it runs
at some of the β and its time is scaled to all of them.
"""

import argparse
import functools
import importlib.util
import itertools
import math
import pathlib
import statistics
import time

import jax
import jax.numpy as jnp
import numpy as np

import isjax
from benchmarks._report import in_turns, machine, print_machine, print_table, write_figures


def objectives(complexity, relevance, betas):
    return np.asarray(complexity, np.float64) - betas * np.asarray(relevance, np.float64)


def embo_curve(joint, betas, rtol, restarts, iterations, *, monotone=True):
    """I(X;U) and I(U;Y) of embo in nats, and the β in our units of each point."""
    import embo  # pyright: ignore[reportMissingImports]

    scaled = betas * math.log(2)
    evenly = np.allclose(np.diff(scaled), np.diff(scaled)[0])
    assert evenly, "embo takes evenly spaced β"
    found = embo.InformationBottleneck(
        pxy=joint.copy(),
        minbeta=scaled[0],
        maxbeta=scaled[-1],
        numbeta=len(scaled),
        restarts=restarts,
        iterations=iterations,
        rtol=rtol,
        ensure_monotonic_bound="auto" if monotone else False,
    ).get_bottleneck()
    complexity, relevance, _, kept = (np.asarray(part) for part in found)
    return complexity * math.log(2), relevance * math.log(2), kept / math.log(2)


def dit_points(joint, betas):
    """I(X;U) and I(U;Y) of dit in nats at each β, and the seconds for each."""
    import dit  # pyright: ignore[reportMissingImports]
    from dit.rate_distortion.information_bottleneck import (  # pyright: ignore[reportMissingImports]
        InformationBottleneck,
    )

    distribution = dit.Distribution.from_ndarray(joint)
    points, seconds = [], []
    for beta in betas:
        start = time.perf_counter()
        solver = InformationBottleneck(distribution, beta=float(beta))
        solver.optimize()
        seconds.append(time.perf_counter() - start)
        pmf = solver.construct_joint(solver._optima)
        points.append((float(solver.complexity(pmf)) * math.log(2), float(solver.relevance(pmf)) * math.log(2)))
    return np.array(points), seconds


def isjax_curve(joint, betas, tolerance, num_restarts):
    """A function without arguments that returns the curve, with a new key at each call."""
    joint, betas = jnp.asarray(joint, jnp.float32), jnp.asarray(betas, jnp.float32)
    options = {"num_codes": joint.shape[0], "num_restarts": num_restarts, "tolerance": tolerance}
    seeds = itertools.count()
    return lambda: jax.block_until_ready(isjax.bottleneck_curve(jax.random.key(next(seeds)), joint, betas, **options))


def curves(options, joint, betas, tolerance, objectives_of_peers):
    """Rows of times and objectives at one tolerance, and the objectives of isjax."""
    contenders = {"isjax": isjax_curve(joint, betas, tolerance, options.restarts)}
    if importlib.util.find_spec("embo"):
        seeds = itertools.count()

        def embo():
            np.random.seed(next(seeds))  # noqa: NPY002  (embo draws from the global generator)
            return embo_curve(joint, betas, tolerance, 1, options.embo_iterations)

        contenders["embo"] = embo
        complexity, relevance, kept = embo_curve(joint, betas, tolerance, 1, options.embo_iterations, monotone=False)
        np.testing.assert_allclose(kept, betas)
        objectives_of_peers = {"embo": objectives(complexity, relevance, betas), **objectives_of_peers}
    seconds = in_turns(contenders, options.rounds)
    found = contenders["isjax"]()
    ours = objectives(found.complexity, found.relevance, betas)
    times = [
        {"what": f"curve, {tool}, relative change {tolerance:g}", "first_call_s": first, "median_s": median}
        | {"over_isjax": median / seconds["isjax"].median}
        for tool, (first, median) in seconds.items()
    ]
    times[0] |= {"converged": int(found.converged.sum()), "num_steps": int(found.num_steps.max())}
    times[0] |= {"smallest_rise": float(np.min(np.diff(found.relevance)))}
    return times, [compared(tolerance, tool, ours, theirs) for tool, theirs in objectives_of_peers.items()], ours


def compared(tolerance, tool, ours, theirs):
    name = f"isjax at {tolerance:g}, {tool}"
    return {"what": name, "excess": float(np.max(ours - theirs)), "deficit": float(np.max(theirs - ours))}


def run(options):
    """Rows of times, and of objectives."""
    rng = np.random.default_rng(options.seed)
    joint = rng.dirichlet(np.ones(64)).reshape(16, 4)
    joint = joint.astype(np.float32).astype(np.float64)
    joint /= joint.sum()
    betas = np.linspace(1.0, options.max_beta, options.num_betas)
    reference = {}
    if importlib.util.find_spec("embo"):
        complexity, relevance, _ = embo_curve(joint, betas, 1e-9, 4, 1000, monotone=False)
        reference["embo, 4 restarts of 1000 updates"] = objectives(complexity, relevance, betas)
    times, differences, _ = curves(options, joint, betas, 1e-3, reference)
    more, others, ours = curves(options, joint, betas, 1e-6, reference)
    times, differences = times + more, differences + others
    if importlib.util.find_spec("dit") and options.dit:
        chosen = np.linspace(0, len(betas) - 1, options.dit).round().astype(int)
        points, seconds = dit_points(joint, betas[chosen])
        theirs = objectives(points[:, 0], points[:, 1], betas[chosen])
        scaled = statistics.mean(seconds) * len(betas)
        row = {"what": f"curve, dit, scaled from {len(chosen)} β", "median_s": scaled, "points_s": seconds}
        times.append(row | {"over_isjax": scaled / more[0]["median_s"]})
        differences.append(compared(1e-6, "dit", ours[chosen], theirs))
    quantizer = functools.partial(isjax.optimal_quantizer, num_codes=64)
    large = jnp.asarray(rng.dirichlet(np.ones(8192)).reshape(4096, 2), jnp.float32)
    first, median = in_turns({"": lambda: jax.block_until_ready(quantizer(large))}, 3)[""]
    times.append({"what": "quantizer of 4096 inputs, 64 codes", "first_call_s": first, "median_s": median})
    return times, differences


def main(arguments):
    parser = argparse.ArgumentParser(prog="python -m benchmarks bottleneck", description=__doc__)
    parser.add_argument("--num-betas", type=int, default=100, help="points of the curve")
    parser.add_argument("--max-beta", type=float, default=20.0, help="β runs evenly from 1 to this")
    parser.add_argument("--restarts", type=int, default=8, help="restarts of isjax at each β")
    parser.add_argument("--rounds", type=int, default=5, help="how many times isjax and embo run, alternating")
    parser.add_argument(
        "--embo-iterations", type=int, default=100, help="embo's maximal number of updates (its default is 100)"
    )
    parser.add_argument("--dit", type=int, default=4, help="at how many of the β dit runs; 0 omits it")
    parser.add_argument("--seed", type=int, default=0, help="seed of the joint")
    parser.add_argument("--output", type=pathlib.Path, help="where to write the figures, as JSON")
    options = parser.parse_args(arguments)
    about = machine("embo", "dit")
    print_machine(about)
    times, differences = run(options)
    columns = {"s": ("median_s", ".3f"), "first call": ("first_call_s", ".1f"), "÷ isjax": ("over_isjax", ".1f")}
    columns |= {"converged": ("converged", "d"), "steps": ("num_steps", "d"), "smallest rise": ("smallest_rise", ".1e")}
    print_table(times, {"time": ("what", ""), **columns})
    columns = {"excess of isjax": ("excess", ".1e"), "excess of peer": ("deficit", ".1e")}
    print_table(differences, {"objective, nats": ("what", ""), **columns})
    write_figures(options.output, about, times=times, objectives=differences)
    return 0
