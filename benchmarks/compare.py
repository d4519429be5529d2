"""Cross-validation of encoders of the digits, by ``isjax.cross_validate`` and by scikit-learn, one network at a time.

Three encoders (64 pixels; means of 2×2 pixels; 16 principal components) × three lengths × two seeds × five folds, one
hidden layer of 64 units, Adam at a constant rate of 0.001, batches of 32, 45 epochs. isjax trains each network twice:
without one row of five, to choose the step, then with all rows up to that step. scikit-learn's ``MLPClassifier`` trains
once, and fits two networks at a time, one on each core.
"""

import argparse
import pathlib
from typing import Any

import jax
import numpy as np
import optax

import isjax
from benchmarks._report import in_turns, machine, print_machine, print_table, write_figures

LENGTHS, NUM_SEEDS, NUM_FOLDS, EPOCHS, RATE = (100, 400, 1437), 2, 5, 45, 0.001


def encoders():
    """Samples of the digits, by name."""
    from sklearn.datasets import load_digits

    digits: Any = load_digits()
    pixels, targets = np.asarray(digits.data), np.asarray(digits.target)
    means = pixels.reshape(-1, 4, 2, 4, 2).mean((2, 4)).reshape(-1, 16)
    centred = pixels - pixels.mean(0)
    components = centred @ np.linalg.svd(centred, full_matrices=False)[2][:16].T
    seen = {"pixels": pixels, "means of 2×2": means, "16 components": components}
    return {name: isjax.Sample(features, targets) for name, features in seen.items()}


def spec_of(lengths):
    return isjax.SweepSpec(
        hidden=((64,),),
        lengths=lengths,
        learning_rates=(RATE,),
        num_seeds=NUM_SEEDS,
        num_epochs=EPOCHS,
        optimizer=optax.adam,
        schedule="constant",
    )


def fit(features, targets, train, held_out, seed):
    """Loss and accuracy of one of scikit-learn's networks on rows that were held out."""
    import warnings

    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    batch_size: Any = min(32, len(train))
    network = MLPClassifier(
        (64,),
        batch_size=batch_size,
        learning_rate_init=RATE,
        alpha=0.0,
        max_iter=EPOCHS,
        n_iter_no_change=EPOCHS,
        random_state=seed,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        network = make_pipeline(StandardScaler(), network).fit(features[train], targets[train])
    p = network.predict_proba(features[held_out])
    p = p[np.arange(len(held_out)), np.searchsorted(network.classes_, targets[held_out])]
    return -np.log(np.maximum(p, np.finfo(np.float64).tiny)), network.score(features[held_out], targets[held_out])


def by_scikit_learn(samples, lengths, *, jobs):
    """Held-out cross-entropy of each sample and length, and accuracy, over the same number of networks."""
    from joblib import Parallel, delayed
    from sklearn.model_selection import StratifiedKFold

    tasks = []
    for sample in samples.values():
        for length in lengths:
            for seed in range(NUM_SEEDS):
                folds = StratifiedKFold(NUM_FOLDS, shuffle=True, random_state=seed)
                for train, held_out in folds.split(sample.features, sample.targets):
                    rows = np.random.default_rng(seed).permutation(train)[:length]
                    tasks.append(delayed(fit)(sample.features, sample.targets, rows, held_out, seed))
    found: Any = Parallel(jobs)(tasks)
    shape = len(samples), len(lengths), -1
    losses = np.array([loss.mean() for loss, _ in found]).reshape(shape).mean(-1)
    return losses, np.array([accuracy for _, accuracy in found]).reshape(shape).mean(-1)


def main(arguments):
    parser = argparse.ArgumentParser(prog="python -m benchmarks compare", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--lengths", type=int, nargs="+", default=LENGTHS)
    parser.add_argument("--output", type=pathlib.Path)
    options = parser.parse_args(arguments)
    isjax.configure_cpu()
    about, samples, spec = machine("scikit-learn"), encoders(), spec_of(tuple(options.lengths))
    print_machine(about)

    jobs, num_networks = len(jax.devices()), len(samples) * spec.num_members * NUM_FOLDS

    def by_isjax():
        return jax.block_until_ready(isjax.cross_validate(jax.random.key(0), samples, spec, num_folds=NUM_FOLDS))

    def by_them():
        return by_scikit_learn(samples, options.lengths, jobs=jobs)

    seconds = in_turns({"isjax": by_isjax, "scikit-learn": by_them}, options.rounds)
    found, (losses, accuracies) = by_isjax(), by_them()
    ours, theirs = seconds["isjax"], seconds["scikit-learn"].median
    contenders = {"isjax, first call": ours.first, "isjax": ours.median, f"scikit-learn, {jobs} at a time": theirs}
    times = print_table(
        [{"what": what, "seconds": each, "ratio": theirs / each} for what, each in contenders.items()],
        {f"{num_networks} networks": ("what", "s"), "seconds": ("seconds", ".2f"), "ratio": ("ratio", ".1f")},
    )
    risk, accuracy = (np.asarray(part)[:, 0].mean(-1) for part in (found.risk, found.accuracy))
    rows = [
        {"what": f"{name}, n={n}", "isjax": risk[i, j], "sklearn": losses[i, j], "accuracy": accuracy[i, j]}
        | {"their accuracy": accuracies[i, j]}
        for i, name in enumerate(samples)
        for j, n in enumerate(options.lengths)
    ]
    columns = {"held-out cross-entropy": ("what", "s"), "isjax": ("isjax", ".3f"), "scikit-learn": ("sklearn", ".3f")}
    columns |= {"accuracy": ("accuracy", ".3f"), "theirs": ("their accuracy", ".3f")}
    quality = print_table(rows, columns)
    plain = [{key: value if isinstance(value, str) else float(value) for key, value in row.items()} for row in quality]
    write_figures(options.output, about, times=times, quality=plain)
    return 0
