"""Cross-validations of samples with named axes, and what they say about the samples."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from isjax.cross_validation import CrossValidation
from isjax.study import results
from isjax.study.results import NAME_COORDINATES, Name
from isjax.sweeps import SweepSpec

__all__ = [
    "Crossing",
    "cross_validation_of",
    "crossings",
    "describe_ignorant",
    "is_comparison",
    "to_dataset",
]

_MEMBERS = ("problem", "network", "length", "seed")


def to_dataset(
    found: CrossValidation, names: Sequence[Name], spec: SweepSpec, *, seconds: Mapping[str, float] | None = None
) -> xr.Dataset:
    """A cross-validation as a dataset with named axes.

    Args:
      found: of ``isjax.cross_validate``.
      names: (source, encoder) of each sample.
      spec: the grid that was trained.
      seconds: seconds spent, by what they were spent on.

    Returns:
      A dataset of ``row_loss`` and ``row_accuracy`` over (problem, network, length, seed, row), their means ``risk``
      and ``accuracy``, ``validation_loss``, ``learning_rate``, ``batch_size`` and ``step`` over (…, seed, fold),
      ``codelength`` over (problem, network, seed), ``fold_of_row`` over (seed, row) and ``target_entropy``; losses in
      nats. The coordinate ``num_rows`` of the dimension length is how many rows each learner had.

    Examples:
      >>> import isjax, jax, isjax.study.comparison
      >>> x = jax.random.normal(jax.random.key(0), (60, 2))
      >>> spec = isjax.SweepSpec(hidden=((8,),), lengths=(20, 40), num_seeds=1, num_steps=20)
      >>> found = isjax.cross_validate(
      ...     jax.random.key(1), {"x": isjax.Sample(x, (x[:, 0] > 0).astype(int))}, spec
      ... )
      >>> study = isjax.study.comparison.to_dataset(found, [("mine", "x")], spec)
      >>> study.row_loss.sel(encoder="x").sizes["row"]
      60
    """
    risk, accuracy, codelength = jax.device_get((found.risk, found.accuracy, found.codelength))

    def in_nats(values: object, name: str, *dims: str) -> xr.Variable:
        return xr.Variable(dims, np.asarray(values), {"units": "nat", "long_name": name})

    def plain(values: object, name: str, *dims: str) -> xr.Variable:
        return xr.Variable(dims, np.asarray(values), {"long_name": name, "units": "1"})

    of_folds = *_MEMBERS, "fold"
    return xr.Dataset(
        {
            "row_loss": in_nats(found.row_loss, "loss of each row when it was held out", *_MEMBERS, "row"),
            "row_accuracy": plain(found.row_accuracy, "whether its class was predicted", *_MEMBERS, "row"),
            "risk": in_nats(risk, "held-out cross-entropy", *_MEMBERS),
            "accuracy": plain(accuracy, "held-out accuracy", *_MEMBERS),
            "codelength": in_nats(codelength, "prequential codelength a row", "problem", "network", "seed"),
            "target_entropy": in_nats(found.target_entropy, "H(Y)"),
            "validation_loss": in_nats(found.validation_loss, "loss of the validation rows", *of_folds),
            "learning_rate": plain(found.learning_rate, "learning rate that was chosen", *of_folds),
            "batch_size": plain(found.batch_size, "batch size that was chosen", *of_folds),
            "step": plain(found.step, "step that was chosen", *of_folds),
            "fold_of_row": plain(found.fold, "fold in which the row was held out", "seed", "row"),
        },
        coords={
            "source": ("problem", [source for source, _ in names]),
            "encoder": ("problem", [encoder for _, encoder in names]),
            "network": list(found.networks),
            "length": ("length", list(spec.lengths), {"long_name": "data length", "units": "samples"}),
            "num_rows": ("length", np.asarray(found.length), {"long_name": "rows a learner had", "units": "samples"}),
            "seed": np.arange(spec.num_seeds),
            "fold": np.arange(found.num_folds),
        },
        attrs={"num_classes": found.num_classes, **results.attributes(spec, seconds)},
    ).set_xindex(NAME_COORDINATES)


def is_comparison(study: xr.Dataset) -> bool:
    """Whether a study is of samples.

    Examples:
      >>> import isjax.study.comparison, xarray
      >>> isjax.study.comparison.is_comparison(xarray.Dataset())
      False
    """
    return "row_loss" in study


def cross_validation_of(study: xr.Dataset) -> CrossValidation:
    """The cross-validation that a dataset holds; samples have the names of their encoders.

    Examples:
      >>> import isjax, isjax.study, isjax.study.comparison, jax
      >>> x = jax.random.normal(jax.random.key(0), (60, 2))
      >>> sample = isjax.Sample(x, (x[:, 0] > 0).astype(int))
      >>> spec = isjax.SweepSpec(hidden=((8,),), lengths=(20,), num_seeds=1, num_steps=20)
      >>> study = isjax.study.run(jax.random.key(1), {("mine", "x"): sample}, spec)
      >>> isjax.study.comparison.cross_validation_of(study).samples
      ('x',)
    """
    names = ("row_loss", "row_accuracy", "target_entropy", "validation_loss", "learning_rate", "batch_size", "step")
    return CrossValidation(
        **{name: jnp.asarray(study[name].to_numpy()) for name in names},
        length=jnp.asarray(study["num_rows"].to_numpy()),
        fold=jnp.asarray(study["fold_of_row"].to_numpy()),
        samples=tuple(map(str, study["encoder"].to_numpy())),
        networks=tuple(map(str, study["network"].to_numpy())),
        num_classes=int(study.attrs["num_classes"]),
        num_folds=study.sizes["fold"],
    )


def describe_ignorant(study: xr.Dataset) -> str:
    """How many learners predict the frequencies of the classes, in a sentence; empty if none.

    Examples:
      >>> import isjax.study.comparison, xarray
      >>> study = xarray.Dataset({"step": (("seed", "fold"), [[0, 20]])})
      >>> isjax.study.comparison.describe_ignorant(study)
      '1 of 2 learners predict the frequencies of the classes: no step of their network had less validation loss.'
    """
    is_ignorant = study["step"].to_numpy() == 0
    if not is_ignorant.any():
        return ""
    count = f"{np.count_nonzero(is_ignorant)} of {is_ignorant.size} learners"
    return f"{count} predict the frequencies of the classes: no step of their network had less validation loss."


class Crossing(NamedTuple):
    """Two samples of which one is better with few rows, the other with many."""

    few: str
    """Name of the one that is better with few rows."""
    many: str
    """Name of the one that is better with many."""
    num_rows: float
    """Where their risks are equal, between two lengths, linearly in the logarithm of the number of rows."""


def crossings(found: CrossValidation, network: str, *, confidence: float = 0.95) -> list[Crossing]:
    """Pairs of samples of which each is better at some length, with intervals of the rise that exclude zero.

    Args:
      found: the cross-validation.
      network: name of the network.
      confidence: of the intervals.

    Returns:
      A crossing for each such pair whose order changes once.

    Examples:
      >>> import isjax, isjax.study.comparison, jax
      >>> x = jax.random.normal(jax.random.key(0), (60, 2))
      >>> spec = isjax.SweepSpec(hidden=((8,),), lengths=(20, 40), num_seeds=1, num_steps=20)
      >>> found = isjax.cross_validate(
      ...     jax.random.key(1), {"x": isjax.Sample(x, (x[:, 0] > 0).astype(int))}, spec
      ... )
      >>> isjax.study.comparison.crossings(found, "8")
      []
    """
    at, order = found.networks.index(network), np.argsort(np.asarray(found.length), kind="stable")
    num_rows, made = np.log(np.asarray(found.length, float)[order]), []
    for i, reference in enumerate(found.samples):
        rise = jax.device_get(found.rise(reference, confidence=confidence))
        low, estimate, high = (np.asarray(part)[:, at, order] for part in (rise.low, rise.estimate, rise.high))
        for j, name in enumerate(found.samples):
            worse, better = np.flatnonzero(low[j] > 0), np.flatnonzero(high[j] < 0)
            if i == j or not (better.size and worse.size) or better.max() > worse.min():
                continue
            last = better.max() + np.flatnonzero(estimate[j, better.max() + 1 :] > 0)[0]
            a, b = estimate[j, last], estimate[j, last + 1]
            where = num_rows[last] + (num_rows[last + 1] - num_rows[last]) * a / (a - b)
            made.append(Crossing(name, reference, float(np.exp(where))))
    return made
