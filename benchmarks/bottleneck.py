"""The curve of the information bottleneck: isjax beside embo and dit, on the same joint and the same β.

β is in nats for a nat here. embo multiplies divergences in bits by its β and exponentiates to the base e, so that its β
is ours times log 2; dit's is ours. embo runs once with one restart, as many updates as it takes up to its limit of 100,
and returns a curve without the points that are not monotone; it is timed with that step on. isjax runs 8 restarts at
each β, and shares solutions between them. All objectives are recomputed in float64 nats. dit takes seconds for a point,
so it is given some of the β, and its time is scaled to all of them.
"""

import argparse
import importlib.metadata
import importlib.util
import json
import math
import os
import pathlib
import statistics
import time

import jax
import jax.numpy as jnp
import numpy as np

import isjax
from benchmarks.measures import machine


def objectives(complexity, relevance, betas):
    return np.asarray(complexity, np.float64) - betas * np.asarray(relevance, np.float64)


def embo_curve(joint, betas, rtol, restarts, iterations, *, monotone=True):
    """What embo finds: I(X;U) and I(U;Y) in nats, and the β in our units for which it has them."""
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
    """What dit finds: I(X;U) and I(U;Y) in nats at each β, and the seconds that each took."""
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
    """A function of a key, its first result, and the seconds that took."""
    joint, betas = jnp.asarray(joint, jnp.float32), jnp.asarray(betas, jnp.float32)
    program = jax.jit(
        lambda key: isjax.bottleneck_curve(
            key, joint, betas, num_codes=joint.shape[0], num_restarts=num_restarts, tolerance=tolerance
        )
    )
    start = time.perf_counter()
    found = jax.block_until_ready(program(jax.random.key(0)))
    return program, found, time.perf_counter() - start


def run(options):
    rng = np.random.default_rng(options.seed)
    joint = rng.dirichlet(np.ones(64)).reshape(16, 4)
    joint = joint.astype(np.float32).astype(np.float64)
    joint /= joint.sum()
    betas = np.linspace(1.0, options.max_beta, options.num_betas)
    rows, found, reference = [], None, {}
    if importlib.util.find_spec("embo"):
        complexity, relevance, _ = embo_curve(joint, betas, 1e-9, 4, 1000, monotone=False)
        reference["embo, 4 restarts of 1000 updates"] = objectives(complexity, relevance, betas)
    for rtol in (1e-3, 1e-6):
        program, found, first_call = isjax_curve(joint, betas, rtol, options.restarts)
        times = {"isjax": [], "embo": []}
        peers = {}
        for i in range(options.rounds):
            start = time.perf_counter()
            found = jax.block_until_ready(program(jax.random.key(i)))
            times["isjax"].append(time.perf_counter() - start)
            if importlib.util.find_spec("embo"):
                np.random.seed(i)  # noqa: NPY002  (embo draws from the global generator)
                start = time.perf_counter()
                embo_curve(joint, betas, rtol, 1, options.embo_iterations)
                times["embo"].append(time.perf_counter() - start)
        ours = objectives(found.complexity, found.relevance, betas)
        row = {"rtol": rtol, "isjax_s": statistics.median(times["isjax"]), "isjax_first_call_s": first_call}
        row |= {"isjax_converged": int(found.converged.sum()), "isjax_steps": int(found.num_steps.max())}
        if times["embo"]:
            row["embo_s"] = statistics.median(times["embo"])
            row["embo_over_isjax"] = row["embo_s"] / row["isjax_s"]
            complexity, relevance, kept = embo_curve(joint, betas, rtol, 1, options.embo_iterations, monotone=False)
            np.testing.assert_allclose(kept, betas)
            peers["embo"] = objectives(complexity, relevance, betas)
            peers |= reference
        row["excess_over"] = {name: float(np.max(ours - theirs)) for name, theirs in peers.items()}
        row["deficit_of"] = {name: float(np.max(theirs - ours)) for name, theirs in peers.items()}
        row["rises"] = float(np.min(np.diff(found.relevance)))
        rows.append(row)
    if found is not None and importlib.util.find_spec("dit") and options.dit:
        chosen = np.linspace(0, len(betas) - 1, options.dit).round().astype(int)
        points, seconds = dit_points(joint, betas[chosen])
        theirs = objectives(points[:, 0], points[:, 1], betas[chosen])
        ours = objectives(found.complexity, found.relevance, betas)[chosen]
        scaled = statistics.mean(seconds) * len(betas)
        rows.append(
            {
                "dit_point_s": seconds,
                "dit_s": scaled,
                "dit_over_isjax": [scaled / row["isjax_s"] for row in rows],
                "excess_over": {"dit": float(np.max(ours - theirs))},
                "deficit_of": {"dit": float(np.max(theirs - ours))},
            }
        )
    quantizer = jax.jit(lambda joint: isjax.optimal_quantizer(joint, num_codes=64))
    large = jnp.asarray(rng.dirichlet(np.ones(8192)).reshape(4096, 2), jnp.float32)
    seconds = []
    for _ in range(4):
        start = time.perf_counter()
        jax.block_until_ready(quantizer(large))
        seconds.append(time.perf_counter() - start)
    rows.append({"quantizer_4096x64_first_call_s": seconds[0], "quantizer_4096x64_s": statistics.median(seconds[1:])})
    return rows


def main(arguments):
    parser = argparse.ArgumentParser(prog="python -m benchmarks bottleneck", description=__doc__)
    parser.add_argument("--num-betas", type=int, default=100, help="points of the curve")
    parser.add_argument("--max-beta", type=float, default=20.0, help="β runs evenly from 1 to this")
    parser.add_argument("--restarts", type=int, default=8, help="restarts of isjax at each β")
    parser.add_argument("--rounds", type=int, default=5, help="how often isjax and embo run, in turns")
    parser.add_argument("--embo-iterations", type=int, default=100, help="embo's limit of updates (100 is its default)")
    parser.add_argument("--dit", type=int, default=4, help="how many of the β dit is given; 0 leaves it out")
    parser.add_argument("--seed", type=int, default=0, help="seed of the joint")
    parser.add_argument("--output", type=pathlib.Path, help="where to write the figures, as JSON")
    options = parser.parse_args(arguments)
    about = machine() | {"load": os.getloadavg()[0]}
    for name in ("embo",):
        about[name] = importlib.metadata.version(name) if importlib.util.find_spec(name) else None
    rows = run(options)
    print(", ".join(f"{k} {v}" for k, v in about.items()))
    for row in rows:
        print(json.dumps(row, indent=2, ensure_ascii=False))
    if options.output:
        options.output.write_text(json.dumps({"machine": about, "rows": rows}, indent=2, ensure_ascii=False) + "\n")
    return 0
