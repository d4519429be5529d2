"""A step of SGD of one network of a sweep: isjax beside what one would write with JAX, PyTorch and scikit-learn.

The grid is eight data lengths and four seeds of one source, seen through X itself (ten binary inputs) in batches of 32,
and through 16 codes of four bits in larger ones. Contenders of a cell take turns, each warmed up; what is told is the
median time divided by the steps of all members, and as a fraction of the speed of a large matrix product in the same
run. Compilation is told apart.
"""

import argparse
import importlib.util
import json
import os
import pathlib
import statistics
import time
import warnings

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

import isjax
from benchmarks._report import machine

LENGTHS, NUM_SEEDS, NUM_CLASSES, RATE = tuple(2**i for i in range(5, 13)), 4, 4, 0.1
NUM_MEMBERS = len(LENGTHS) * NUM_SEEDS


def problem_of(encoder):
    source = isjax.sparse_source(
        jax.random.key(0), num_inputs=10, num_relevant=4, num_classes=NUM_CLASSES, discrimination=0.8
    )
    return source.problem(encoder)


def samples(problem, num):
    """Features and classes of samples, as numpy arrays."""
    x, y = isjax.sample(jax.random.key(1), problem.joint, num)
    return np.asarray(problem.features[problem.codes[x]]), np.asarray(y)


def of_isjax(problem, width, size, num_steps):
    spec = isjax.SweepSpec(
        hidden=((width,),), lengths=LENGTHS, batch_sizes=(size,), num_seeds=NUM_SEEDS, num_steps=num_steps, num_evals=1
    )
    program = jax.jit(isjax.sweep, static_argnames="mesh").lower(jax.random.key(0), [problem], spec).compile()
    return lambda: jax.block_until_ready(program(jax.random.key(0), [problem], spec)), NUM_MEMBERS * num_steps


def of_vmap_of_scan(problem, width, size, num_steps):
    """As a good user of JAX would write it: one program, every member in lock step, batches drawn in the loop."""

    class Network(nn.Module):
        @nn.compact
        def __call__(self, x):
            return nn.Dense(NUM_CLASSES)(nn.relu(nn.Dense(width)(x)))

    network, optimizer = Network(), optax.sgd(RATE)
    features, classes = map(jnp.asarray, samples(problem, max(LENGTHS)))

    def train(key, length):
        key_init, key_steps = jax.random.split(key)
        params = network.init(key_init, features[:1])

        def loss(params, index):
            logits = jnp.asarray(network.apply(params, features[index]))
            return optax.softmax_cross_entropy_with_integer_labels(logits, classes[index]).mean()

        def step(carry, key):
            params, state = carry
            index = jax.random.randint(key, (size,), 0, length)
            updates, state = optimizer.update(jax.grad(loss)(params, index), state)
            return (optax.apply_updates(params, updates), state), None

        keys = jax.random.split(key_steps, num_steps)
        return jax.lax.scan(step, (params, optimizer.init(params)), keys)[0][0]

    keys = jax.random.split(jax.random.key(0), NUM_MEMBERS)
    lengths = jnp.repeat(jnp.asarray(LENGTHS), NUM_SEEDS)
    program = jax.jit(jax.vmap(train)).lower(keys, lengths).compile()
    return lambda: jax.block_until_ready(program(keys, lengths)), NUM_MEMBERS * num_steps


def _torch_data(problem):
    import torch  # pyright: ignore[reportMissingImports]

    features, classes = samples(problem, max(LENGTHS))
    return torch, torch.from_numpy(features.copy()), torch.from_numpy(classes.astype(np.int64))


def of_torch(problem, width, size, num_steps):
    """One model after another, an optimizer each."""
    torch, features, classes = _torch_data(problem)
    num_steps = max(num_steps // 10, 10)

    def run():
        model = torch.nn.Sequential(
            torch.nn.Linear(features.shape[1], width), torch.nn.ReLU(), torch.nn.Linear(width, NUM_CLASSES)
        )
        optimizer = torch.optim.SGD(model.parameters(), lr=RATE)
        for _ in range(num_steps):
            index = torch.randint(0, len(features), (size,))
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(features[index]), classes[index]).backward()
            optimizer.step()

    return run, num_steps


def of_torch_func(problem, width, size, num_steps):
    """All members at once, by ``torch.func``."""
    torch, features, classes = _torch_data(problem)
    num_steps = max(num_steps // 10, 10)
    d = features.shape[1]

    def loss(params, x, y):
        w1, b1, w2, b2 = params
        return torch.nn.functional.cross_entropy(torch.relu(x @ w1 + b1) @ w2 + b2, y)

    gradient = torch.func.vmap(torch.func.grad(loss))

    def run():
        shapes = (d, width), (width,), (width, NUM_CLASSES), (NUM_CLASSES,)
        params = [torch.randn(NUM_MEMBERS, *shape) / shape[0] ** 0.5 for shape in shapes]
        for _ in range(num_steps):
            index = torch.randint(0, len(features), (NUM_MEMBERS, size))
            gradients = gradient(params, features[index], classes[index])
            params = [p - RATE * g for p, g in zip(params, gradients, strict=True)]

    return run, NUM_MEMBERS * num_steps


def of_scikit_learn(problem, width, size, num_steps):
    """An ``MLPClassifier`` on each core, by joblib."""
    import joblib  # pyright: ignore[reportMissingImports]

    features, classes = samples(problem, max(LENGTHS))
    epochs, num_cores = max(num_steps // 10 * size // len(features), 1), os.cpu_count() or 1
    pool = joblib.Parallel(n_jobs=num_cores)

    def run():
        pool(joblib.delayed(_fit)(features, classes, width, size, epochs) for _ in range(num_cores))

    return run, num_cores * epochs * (len(features) // size)


def _fit(features, classes, width, size, epochs):
    from sklearn.neural_network import MLPClassifier  # pyright: ignore[reportMissingImports]

    options = {"solver": "sgd", "batch_size": size, "learning_rate_init": RATE, "momentum": 0, "max_iter": epochs}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it has not converged
        MLPClassifier((width,), **options).fit(features, classes)


CONTENDERS = {
    "isjax": of_isjax,
    "jit(vmap(scan))": of_vmap_of_scan,
    "PyTorch, one by one": of_torch,
    "torch.func.vmap": of_torch_func,
    "scikit-learn": of_scikit_learn,
}
NEEDS = {"PyTorch, one by one": "torch", "torch.func.vmap": "torch", "scikit-learn": "sklearn"}


def flops_of_a_step(problem, width, size):
    """Multiplications and additions of one step, with the rows that a count table leaves."""
    num_codes, d = problem.features.shape
    rows = min(size, num_codes)
    return 2 * rows * width * (2 * d + 3 * NUM_CLASSES)


def matrix_product_speed():
    """The most floating-point operations a second, of a large product of numbers of 32 bits on all cores."""
    a = jnp.ones((2048, 2048), jnp.float32)
    product = jax.jit(lambda a: a @ a)
    jax.block_until_ready(product(a))
    times = []
    for _ in range(7):
        start = time.perf_counter()
        jax.block_until_ready(product(a))
        times.append(time.perf_counter() - start)
    return 2 * 2048**3 / min(times)


def run(widths, sizes, num_steps, num_rounds):
    peak, rows = matrix_product_speed(), []
    for (encoder, size), width in ((cell, width) for cell in sizes for width in widths):
        problem, ready = problem_of(encoder), {}
        for name, make in CONTENDERS.items():
            if name in NEEDS and not importlib.util.find_spec(NEEDS[name]):
                continue
            start = time.perf_counter()
            f, steps = make(problem, width, size, num_steps[width])
            f()
            ready[name] = f, steps, time.perf_counter() - start
        times = {name: [] for name in ready}
        for _ in range(num_rounds):
            for name, (f, _, _) in ready.items():
                start = time.perf_counter()
                f()
                times[name].append(time.perf_counter() - start)
        step = {name: statistics.median(times[name]) / steps for name, (_, steps, _) in ready.items()}
        for name, (_, _, first) in ready.items():
            row = {"encoder": encoder, "batch": size, "width": width, "tool": name, "step_us": step[name] * 1e6}
            row |= {"over_isjax": step[name] / step["isjax"], "with_compilation_s": first}
            row["of_matrix_product"] = flops_of_a_step(problem, width, size) / step[name] / peak
            rows.append(row)
    return rows, peak


def main(arguments):
    parser = argparse.ArgumentParser(prog="python -m benchmarks sweep", description=__doc__)
    parser.add_argument("--widths", type=int, nargs="+", default=[32, 256, 1024])
    parser.add_argument("--sizes", type=int, nargs="+", default=[32, 256, 2048], help="batch sizes with 16 codes")
    parser.add_argument("--rounds", type=int, default=5, help="how often each contender runs")
    parser.add_argument("--steps", type=int, default=2000, help="of each member of width 32; wider ones take fewer")
    parser.add_argument("--output", type=pathlib.Path, help="where to write the figures, as JSON")
    options = parser.parse_args(arguments)
    isjax.configure_cpu()
    cells = [("identity", 32), *(("sufficient", size) for size in options.sizes)]
    num_steps = {width: max(options.steps * 32 // max(width, 32), 20) for width in options.widths}
    rows, peak = run(options.widths, cells, num_steps, options.rounds)
    about = machine() | {"matrix_product_gflops": peak / 1e9}
    print(", ".join(f"{k} {v}" for k, v in about.items()))
    for encoder, size in cells:
        print(f"\n{encoder + f', batches of {size}':34s}{'width':>10s}{'µs/step':>10s}{'÷ isjax':>10s}", end="")
        print(f"{'of product':>12s}{'first, s':>10s}")
        for row in rows:
            if (row["encoder"], row["batch"]) == (encoder, size):
                print(
                    f"{row['tool']:34s}{row['width']:10d}{row['step_us']:10.2f}{row['over_isjax']:10.1f}"
                    f"{row['of_matrix_product']:12.3f}{row['with_compilation_s']:10.1f}"
                )
    if options.output:
        options.output.write_text(json.dumps({"machine": about, "rows": rows}, indent=2) + "\n")
    return 0
