"""Solvers given NaN say that they have not converged, and leave their neighbours in a batch alone; none leaks."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import isjax
from tests.helpers import ROOT

KEY = jax.random.key(0)
JOINT = np.random.default_rng(0).dirichlet(np.ones(12)).reshape(4, 3).astype(np.float32)
TWO = np.random.default_rng(1).dirichlet(np.ones(10)).reshape(5, 2).astype(np.float32)
FEATURES = np.arange(4, dtype=np.float32)[:, None]
CODES = np.array([0, 1, 1, 0])

# What each solver takes, and what may hold NaN.
SOLVERS = {
    "sufficient_projection": (lambda joint: isjax.sufficient_projection(joint, CODES, num_codes=2), JOINT),
    "information_projection, reference": (
        lambda p: isjax.information_projection(p, FEATURES, np.float32([1.2])),
        JOINT.sum(1),
    ),
    "information_projection, features": (
        lambda f: isjax.information_projection(JOINT.sum(1), f, np.float32([1.2])),
        FEATURES,
    ),
    "information_projection, moments": (
        lambda c: isjax.information_projection(JOINT.sum(1), FEATURES, c),
        np.float32([1.2]),
    ),
    "iterative_proportional_fitting, reference": (
        lambda p: isjax.iterative_proportional_fitting(p, [np.float32([0.2, 0.3, 0.5])], [1]),
        JOINT,
    ),
    "iterative_proportional_fitting, marginal": (
        lambda m: isjax.iterative_proportional_fitting(JOINT, [m, np.full(4, 0.25, "f4")], [1, 0]),
        np.float32([0.2, 0.3, 0.5]),
    ),
    "optimal_quantizer": (lambda joint: isjax.optimal_quantizer(joint, num_codes=2), TWO),
    "optimal_quantizer, as many codes": (lambda joint: isjax.optimal_quantizer(joint, num_codes=5), TWO),
    "kl_means_quantizer": (lambda joint: isjax.kl_means_quantizer(KEY, joint, num_codes=2), JOINT),
    "kl_means_quantizer, one code": (lambda joint: isjax.kl_means_quantizer(KEY, joint, num_codes=1), JOINT),
    "quantizers_up_to": (lambda joint: isjax.quantizers_up_to(KEY, joint, num_codes=4), JOINT),
    "quantizers_up_to, two classes": (lambda joint: isjax.quantizers_up_to(KEY, joint, num_codes=4), TWO),
    "information_bottleneck": (lambda joint: isjax.information_bottleneck(KEY, joint, 2.0, num_codes=2), JOINT),
    "bottleneck_curve": (
        lambda joint: isjax.bottleneck_curve(KEY, joint, np.float32([1.5, 3.0]), num_codes=2),
        JOINT,
    ),
    "deterministic_information_bottleneck": (
        lambda joint: isjax.deterministic_information_bottleneck(KEY, joint, 2.0, num_codes=2),
        JOINT,
    ),
}


def verdict(result):
    return result.converged if hasattr(result, "converged") else result.is_global


def amounts(result):
    """The floats of a result that have no alphabet: informations, objectives and divergences."""
    shape = verdict(result).shape
    return {
        name: value
        for name, value in result._asdict().items()
        if jnp.issubdtype(value.dtype, jnp.floating) and value.shape == shape
    }


@pytest.mark.parametrize("name", SOLVERS)
def test_nan_anywhere_has_no_solution_and_leaves_its_neighbours_alone(name):
    solve, right = SOLVERS[name]
    batch = np.stack([right] * (right.size + 1))
    for cell in range(right.size):
        batch[cell].flat[cell] = np.nan
    found = jax.jit(jax.vmap(solve))(batch)
    assert not np.asarray(verdict(found))[:-1].any()
    assert amounts(found)
    for name_of_amount, values in amounts(found).items():
        assert np.isnan(values[:-1]).all(), name_of_amount
        assert np.isfinite(values[-1]).all(), name_of_amount
    alone = jax.jit(solve)(right)
    for field, value in alone._asdict().items():
        if field != "num_steps":  # it depends on rounding
            np.testing.assert_allclose(getattr(found, field)[-1], value, rtol=1e-3, atol=1e-4)
    if hasattr(found, "num_steps"):
        assert np.max(found.num_steps[:-1]) <= 1 + np.max(found.num_steps[-1])
    eager = solve(batch[0])
    assert not np.asarray(verdict(eager)).any()


LEAKS = """
import gc, resource, sys
import numpy as np, jax
sys.path.insert(0, {root!r})
from tests import test_solvers_of_nan as solvers

def resident():
    gc.collect()
    with open("/proc/self/statm") as f:
        return int(f.read().split()[1]) * resource.getpagesize() / 2**20

rng = np.random.default_rng(0)
events = []
jax.monitoring.register_event_duration_secs_listener(lambda event, *_, **__: events.append(event))
for name, (solve, right) in solvers.SOLVERS.items():
    def again():
        p = right * (1 + 0.01 * rng.random(right.shape))
        p = (p / p.sum() if abs(right.sum() - 1) < 1e-3 else p).astype("f4")
        jax.block_until_ready(solve(p))
    for _ in range(5):
        again()
    events.clear()
    before = resident()
    for _ in range(1000):
        again()
    compiled = sum("compile" in event for event in events)
    print(name, f"{{resident() - before:.1f}}", compiled, sep="|", flush=True)
"""


def test_a_thousand_eager_calls_of_each_solver_compile_nothing_and_keep_no_memory():
    script = LEAKS.format(root=str(ROOT))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    rows = [line.split("|") for line in done.stdout.splitlines()]
    assert [name for name, *_ in rows] == list(SOLVERS)
    for name, grown, compiled in rows:
        assert int(compiled) == 0, (name, compiled)
        assert float(grown) < 50, (name, grown)
