"""A step of SGD of one network of a sweep: isjax beside what one would write with JAX, PyTorch and scikit-learn.

The grid is eight data lengths and four seeds of one source, seen through X itself (ten binary inputs) in batches of 32,
and through 16 codes of four bits in larger ones. Contenders of a cell take turns, each warmed up; what is told is the
median time divided by the steps of all members, and as a fraction of the speed of a large matrix product in the same
run. The first call, which compiles, is told apart. Contenders that would take too long take fewer steps; the time of
isjax includes drawing the initial weights of each member and evaluating it once; its data are drawn before.
"""

import argparse
import functools
import importlib.util
import itertools
import os
import pathlib
import time
import warnings

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

import isjax
from benchmarks._report import in_turns, machine, print_machine, print_table, save_figure, write_figures
from isjax.sweeps import compile_sweep

LENGTHS, NUM_SEEDS, NUM_CLASSES, RATE = tuple(2**i for i in range(5, 13)), 4, 4, 0.1


def problem_of(encoder):
    source = isjax.sparse_source(
        jax.random.key(0), num_inputs=10, num_relevant=4, num_classes=NUM_CLASSES, discrimination=0.8
    )
    return source.problem(encoder)


def samples(problem, num):
    """Features and classes of samples, as numpy arrays."""
    x, y = isjax.sample(jax.random.key(1), problem.joint, num)
    return np.asarray(problem.features[problem.codes[x]]), np.asarray(y)


def of_isjax(problem, width, size, num_steps, num_seeds=NUM_SEEDS, chunk_size=None, **networks):
    spec = isjax.SweepSpec(
        **(networks or {"hidden": ((width,),)}),
        lengths=LENGTHS,
        batch_sizes=(size,),
        num_seeds=num_seeds,
        num_steps=num_steps,
        num_evals=1,
        chunk_size=chunk_size,
    )
    program = compile_sweep(jax.random.key(0), [problem], spec)
    return lambda: jax.block_until_ready(program()), spec.num_members * num_steps


class Network(nn.Module):
    """As a user of Flax would write it."""

    width: int

    @nn.compact
    def __call__(self, x):
        return nn.Dense(NUM_CLASSES)(nn.relu(nn.Dense(self.width)(x)))


def in_lock_step(network, features, loss, of_steps, lengths):
    """One program that trains a network by SGD for each of the lengths; ``of_steps`` gives what each step is handed."""
    optimizer = optax.sgd(RATE)

    def train(key, length):
        key_init, key_steps = jax.random.split(key)
        params = network.init(key_init, features[:1])

        def step(carry, of_step):
            params, state = carry
            updates, state = optimizer.update(jax.grad(loss)(params, length, of_step), state)
            return (optax.apply_updates(params, updates), state), None

        return jax.lax.scan(step, (params, optimizer.init(params)), of_steps(key_steps))[0][0]

    keys = jax.random.split(jax.random.key(0), lengths.size)
    program = jax.jit(jax.vmap(train)).lower(keys, lengths).compile()
    return lambda: jax.block_until_ready(program(keys, lengths))


def of_vmap_of_scan(problem, width, size, num_steps, num_seeds=NUM_SEEDS):
    """As a good user of JAX would write it: one program, every member in lock step, batches drawn in the loop."""
    network = Network(width)
    features, classes = map(jnp.asarray, samples(problem, max(LENGTHS)))

    def loss(params, length, key):
        index = jax.random.randint(key, (size,), 0, length)
        logits = jnp.asarray(network.apply(params, features[index]))
        return optax.softmax_cross_entropy_with_integer_labels(logits, classes[index]).mean()

    lengths = jnp.repeat(jnp.asarray(LENGTHS), num_seeds)
    run = in_lock_step(network, features, loss, lambda key: jax.random.split(key, num_steps), lengths)
    return run, lengths.size * num_steps


def of_vmap_of_fixed_batches(problem, width, size, num_steps, num_seeds=NUM_SEEDS):
    """The same, handed the batches of isjax: fixed, and as counts of (code, class) where the codes are few."""
    network = Network(width)
    x, y = map(np.asarray, isjax.sample(jax.random.key(1), problem.joint, max(LENGTHS)))
    codes, num_codes = np.asarray(problem.codes)[x], len(problem.features)
    is_counted = size >= num_codes
    batches = [np.array_split(np.arange(n), -(-n // size)) for n in LENGTHS]
    rows = np.zeros((len(LENGTHS), len(batches[-1]), min(size, num_codes)), int)
    weights = np.zeros((*rows.shape, NUM_CLASSES), np.float32)
    for i, of_length in enumerate(batches):
        for j, batch in enumerate(of_length):
            row = codes[batch] if is_counted else np.arange(len(batch))
            np.add.at(weights[i, j], (row, y[batch]), 1 / len(batch))
            rows[i, j] = np.arange(num_codes) if is_counted else np.resize(codes[batch], size)
    handed = jnp.asarray([len(of_length) for of_length in batches]), jnp.asarray(rows), jnp.asarray(weights)

    def loss(params, length, t):
        num_batches, index, targets = jax.tree.map(lambda array: array[length], handed)
        batch = t % num_batches
        seen = problem.features if is_counted else problem.features[index[batch]]
        return -jnp.sum(targets[batch] * jax.nn.log_softmax(jnp.asarray(network.apply(params, seen))))

    lengths = jnp.repeat(jnp.arange(len(LENGTHS)), num_seeds)
    run = in_lock_step(network, problem.features, loss, lambda _: jnp.arange(num_steps), lengths)
    return run, lengths.size * num_steps


def _torch_data(problem):
    """PyTorch, and the samples on the device that JAX computes on."""
    import torch  # pyright: ignore[reportMissingImports]

    device = "cuda" if jax.default_backend() == "gpu" else "cpu"
    torch.set_default_device(device)
    features, classes = samples(problem, max(LENGTHS))
    return torch, torch.from_numpy(features.copy()).to(device), torch.from_numpy(classes.astype(np.int64)).to(device)


def _wait(torch):
    """Until the work of PyTorch is done, which a GPU does behind its back."""
    if jax.default_backend() == "gpu":
        torch.cuda.synchronize()


def of_torch(problem, width, size, num_steps, optimizer="SGD", num_codes=None):
    """One model after another, an optimizer each; with a code, rows r(v|x) and a table of logits of y for each v."""
    torch, features, classes = _torch_data(problem)
    num_steps = max(num_steps // 10, 50)

    def run():
        num_outputs = num_codes or NUM_CLASSES
        model = torch.nn.Sequential(
            torch.nn.Linear(features.shape[1], width), torch.nn.ReLU(), torch.nn.Linear(width, num_outputs)
        )
        decoder = torch.randn(num_codes or 1, NUM_CLASSES, requires_grad=True)
        parameters = [*model.parameters(), *([decoder] if num_codes else [])]
        updates = getattr(torch.optim, optimizer)(parameters, lr=RATE)
        for _ in range(num_steps):
            index = torch.randint(0, len(features), (size,))
            updates.zero_grad()
            output, of_batch = model(features[index]), classes[index]
            if num_codes:
                log_decoder = torch.log_softmax(decoder, dim=1).T[of_batch]
                (-(torch.softmax(output, dim=1) * log_decoder).sum(dim=1).mean()).backward()
            else:
                torch.nn.functional.cross_entropy(output, of_batch).backward()
            updates.step()
        _wait(torch)

    return run, num_steps


def networks_in_turns(width, num_steps, num_rounds):
    """A row for each network and optimiser through X itself in batches of 32, and one for each in PyTorch."""
    problem, size, num_codes = problem_of("identity"), 32, 16
    code = isjax.EncoderDecoder((width,), num_codes, NUM_CLASSES)
    contenders = {
        "MLP, SGD": ({"networks": {"mlp": isjax.MLP((width,), NUM_CLASSES)}}, {}),
        "MLP, momentum": (
            {"hidden": ((width,),), "optimizer": functools.partial(optax.sgd, momentum=0.9)},
            {},
        ),
        "MLP, Adam": ({"hidden": ((width,),), "optimizer": optax.adam}, {"optimizer": "Adam"}),
        "encoder-decoder, 16 codes, SGD": ({"networks": {"code": code}}, {"num_codes": num_codes}),
        "encoder-decoder, 16 codes, Adam": (
            {"networks": {"code": code}, "optimizer": optax.adam},
            {"num_codes": num_codes, "optimizer": "Adam"},
        ),
    }
    ready = {}
    for name, (ours, theirs) in contenders.items():
        ready["isjax", name] = of_isjax(problem, width, size, num_steps, **ours)
        if importlib.util.find_spec("torch"):
            ready["PyTorch, one by one", name] = of_torch(problem, width, size, num_steps, **theirs)
    seconds = in_turns({name: run for name, (run, _) in ready.items()}, num_rounds)
    step = {name: seconds[name].median / steps for name, (_, steps) in ready.items()}
    for tool, name in ready:
        over = {
            "over_sgd": step[tool, name] / step[tool, "MLP, SGD"],
            "over_isjax": step[tool, name] / step["isjax", name],
        }
        yield {"tool": tool, "network": name, "width": width, "step_us": step[tool, name] * 1e6} | over


def of_torch_func(problem, width, size, num_steps, num_seeds=NUM_SEEDS):
    """All members at once, by ``torch.func``."""
    torch, features, classes = _torch_data(problem)
    num_steps, num_members = max(num_steps // 10, 50), len(LENGTHS) * num_seeds
    d = features.shape[1]

    def loss(params, x, y):
        w1, b1, w2, b2 = params
        return torch.nn.functional.cross_entropy(torch.relu(x @ w1 + b1) @ w2 + b2, y)

    gradient = torch.func.vmap(torch.func.grad(loss))

    def run():
        shapes = (d, width), (width,), (width, NUM_CLASSES), (NUM_CLASSES,)
        params = [torch.randn(num_members, *shape) / shape[0] ** 0.5 for shape in shapes]
        for _ in range(num_steps):
            index = torch.randint(0, len(features), (num_members, size))
            gradients = gradient(params, features[index], classes[index])
            params = [p - RATE * g for p, g in zip(params, gradients, strict=True)]
        _wait(torch)

    return run, num_members * num_steps


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
    "the same, fixed batches": of_vmap_of_fixed_batches,
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


def matrix_product_speed(num_rounds=20):
    """The most floating-point operations a second, of a large product of numbers of 32 bits on all cores."""
    a = jnp.ones((2048, 2048), jnp.float32)
    product = jax.jit(lambda a: a @ a)
    jax.block_until_ready(product(a))
    times = []
    for _ in range(num_rounds):
        start = time.perf_counter()
        jax.block_until_ready(product(a))
        times.append(time.perf_counter() - start)
    return 2 * 2048**3 / min(times)


def cell(encoder, size, width, num_steps, num_rounds, peak):
    """A row for each contender."""
    problem, ready, built = problem_of(encoder), {}, {}
    for name, make in CONTENDERS.items():
        if name in NEEDS and not importlib.util.find_spec(NEEDS[name]):
            continue
        start = time.perf_counter()
        ready[name] = make(problem, width, size, num_steps if name == "isjax" else max(num_steps * 32 // size, 20))
        built[name] = time.perf_counter() - start
    seconds = in_turns({name: run for name, (run, _) in ready.items()}, num_rounds)
    step = {name: seconds[name].median / steps for name, (_, steps) in ready.items()}
    return [
        {"encoder": encoder, "batch": size, "width": width, "tool": name, "step_us": step[name] * 1e6}
        | {"over_isjax": step[name] / step["isjax"], "first_s": built[name] + (seconds[name].first or 0)}
        | {"of_matrix_product": flops_of_a_step(problem, width, size) / step[name] / peak}
        for name in ready
    ]


def sizes_in_turns(width, sizes, num_steps, num_rounds):
    """A row for each batch size of isjax with 16 codes; here the sizes take turns, which a cell's contenders do."""
    problem = problem_of("sufficient")
    ready = {size: of_isjax(problem, width, size, num_steps) for size in sizes}
    seconds = in_turns({size: run for size, (run, _) in ready.items()}, num_rounds)
    step = {size: seconds[size].median / steps for size, (_, steps) in ready.items()}
    for size in sizes:
        over = {"over_least": step[size] / step[min(sizes)]}
        yield {"tool": f"isjax, batch {size}", "batch": size, "width": width, "step_us": step[size] * 1e6} | over


COLUMNS = {
    "": ("tool", ""),
    "width": ("width", "d"),
    "µs a step": ("step_us", ".2f"),
    "÷ isjax": ("over_isjax", ".1f"),
    "of product": ("of_matrix_product", ".3f"),
    "first call, s": ("first_s", ".1f"),
}


def draw(rows, peak, axes):
    """Microseconds a step by width, a panel for each way to see X, and what the matrix product's speed would allow."""
    kinds = list(dict.fromkeys((row["encoder"], row["batch"]) for row in rows))
    for axis, (encoder, size) in zip(axes, kinds, strict=False):
        of_kind = [row for row in rows if (row["encoder"], row["batch"]) == (encoder, size)]
        for name in dict.fromkeys(row["tool"] for row in of_kind):
            points = [(row["width"], row["step_us"]) for row in of_kind if row["tool"] == name]
            axis.plot(*zip(*points, strict=True), marker="o", label=name)
        widths = sorted({row["width"] for row in of_kind})
        least = [flops_of_a_step(problem_of(encoder), width, size) / peak * 1e6 for width in widths]
        axis.plot(widths, least, color="0.6", linestyle="--", label="at the speed of a large matrix product")
        seen = "X itself, ten inputs" if encoder == "identity" else "16 codes"
        axis.set(xscale="log", yscale="log", xticks=widths, xlabel="hidden units", title=f"{seen}, batch {size}")
        axis.set_xticks(widths, map(str, widths))
        axis.minorticks_off()
    axes[0].set_ylabel("a step of one network (µs)")


def main(arguments):
    parser = argparse.ArgumentParser(prog="python -m benchmarks sweep", description=__doc__)
    parser.add_argument("--widths", type=int, nargs="+", default=[32, 256, 1024])
    parser.add_argument("--sizes", type=int, nargs="+", default=[32, 256, 2048], help="batch sizes with 16 codes")
    parser.add_argument("--rounds", type=int, default=5, help="how often each contender runs")
    parser.add_argument("--steps", type=int, default=3000, help="of each member of width 32; wider ones take fewer")
    parser.add_argument("--output", type=pathlib.Path, help="where to write the figures: FILE.json, and FILE.png")
    options = parser.parse_args(arguments)
    isjax.configure_cpu()
    peak, rows = matrix_product_speed(), []
    about = machine("torch", "scikit-learn") | {"matrix_product_gflops": round(peak / 1e9)}
    print_machine(about)
    num_steps = {width: max(int(options.steps * (32 / width) ** 0.6), 20) for width in options.widths}
    for encoder, size in [("identity", 32), *(("sufficient", size) for size in options.sizes)]:
        print(f"\n{'X itself' if encoder == 'identity' else '16 codes'}, batch {size}")
        cells = (cell(encoder, size, width, n, options.rounds, peak) for width, n in num_steps.items())
        rows += print_table(itertools.chain.from_iterable(cells), COLUMNS)
    print("\n16 codes, batch sizes in turns")
    columns = {name: COLUMNS[name] for name in ("", "width", "µs a step")} | {"÷ smallest": ("over_least", ".3f")}
    of_sizes = (sizes_in_turns(width, options.sizes, n, 3 * options.rounds) for width, n in num_steps.items())
    sizes = print_table(itertools.chain.from_iterable(of_sizes), columns)
    print("\nX itself, batch 32: networks and optimisers in turns")
    columns = {"": ("tool", ""), "width": ("width", "d"), "µs a step": ("step_us", ".2f")}
    columns |= {"÷ MLP, SGD": ("over_sgd", ".2f"), "÷ isjax": ("over_isjax", ".1f")}
    of_networks = (networks_in_turns(width, n, options.rounds) for width, n in num_steps.items())
    networks = print_table(itertools.chain.from_iterable(of_networks), columns)
    write_figures(options.output, about, rows=rows, sizes=sizes, networks=networks)
    save_figure(options.output, lambda axes: draw(rows, peak, axes), panels=1 + len(options.sizes), share_y=True)
    return 0
