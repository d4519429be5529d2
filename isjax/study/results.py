"""Results with named axes: built, saved and loaded. Reading a file needs nothing but xarray."""

import dataclasses
import datetime
import hashlib
import io
import json
import os
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import h5netcdf
import jax
import numpy as np
import xarray as xr
from xarray.backends import H5NetCDFStore

from isjax._shell.files import write_atomically
from isjax.sweeps import AXES, SweepResult, SweepSpec

__all__ = ["best_excess_risk", "load", "problems_by_source", "samples_to_reach", "save", "to_dataset"]

FORMAT = "isjax study 2"


def to_dataset(
    result: SweepResult, problems: Sequence[str], spec: SweepSpec, *, seconds: Mapping[str, float] | None = None
) -> xr.Dataset:
    """A sweep's result as a dataset with named axes.

    Args:
      result: of ``isjax.sweep``.
      problems: a name for each problem.
      spec: the grid that was trained.
      seconds: how long was spent on what.

    Returns:
      A dataset of ``excess_risk``, ``decoder_error`` and ``train_loss`` over (problem, hidden, batch_size,
      learning_rate, length, seed, evaluation), ``encoder_bias`` and ``conditional_entropy`` over (problem), all in
      nats, and ``steps`` over (batch_size, length, evaluation). Its attributes hold the spec, versions and timings.

    Raises:
      ValueError: if there is not one name for each problem.

    Source:
      arXiv:2405.20452, Theorem 4.

    Examples:
      >>> import isjax.study.results
      >>> source = sparse_source(jax.random.key(0), num_inputs=3, num_relevant=2, num_classes=2, discrimination=0.8)
      >>> spec = SweepSpec(hidden=((8,),), lengths=(16,), num_seeds=2, num_steps=10, num_evals=2)
      >>> result = sweep(jax.random.key(1), [source.problem("biased")], spec)
      >>> isjax.study.results.to_dataset(result, ["mine / biased"], spec).encoder_bias.dims
      ('problem',)
    """
    if len(problems) != result.decoder_error.shape[0]:
        raise ValueError(f"there are {result.decoder_error.shape[0]} problems, but {len(problems)} names")

    def in_nats(values: object, dims: Sequence[str], name: str) -> xr.Variable:
        return xr.Variable(dims, np.asarray(values), {"units": "nat", "long_name": name})

    def of_problem(values: object, name: str) -> xr.Variable:
        return in_nats(np.asarray(values)[:, 0, 0, 0, 0, 0, 0], ("problem",), name)

    seconds = dict(seconds or {})
    return xr.Dataset(
        {
            "excess_risk": in_nats(result.excess_risk, AXES, "cross-entropy risk above H(Y|X)"),
            "decoder_error": in_nats(result.decoder_error, AXES, "what the network has not learnt"),
            "train_loss": in_nats(result.train_loss, AXES, "cross-entropy on the training data"),
            "encoder_bias": of_problem(result.encoder_bias, "mutual information loss I(X;Y|U)"),
            "conditional_entropy": of_problem(result.conditional_entropy, "H(Y|X)"),
            "steps": xr.Variable(
                ("batch_size", "length", "evaluation"),
                np.asarray(result.steps)[0, 0, :, 0, :, 0, :],
                {"long_name": "SGD steps taken", "units": "1"},
            ),
        },
        coords={
            "problem": list(problems),
            "hidden": [",".join(map(str, widths)) for widths in spec.hidden],
            "batch_size": ("batch_size", list(spec.batch_sizes), {"units": "samples"}),
            "learning_rate": list(spec.learning_rates),
            "length": ("length", list(spec.lengths), {"long_name": "data length", "units": "samples"}),
            "seed": np.arange(spec.num_seeds),
            "evaluation": np.arange(spec.num_evals),
        },
        attrs={
            "format": FORMAT,
            "spec": json.dumps(dataclasses.asdict(spec)),
            "versions": json.dumps({name: version(name) for name in ("isjax", "jax", "jaxlib", "flax", "optax")}),
            "python": platform.python_version(),
            "devices": ", ".join(sorted({device.device_kind for device in jax.devices()})),
            "num_devices": jax.device_count(),
            "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            **{f"{name}_seconds": round(value, 3) for name, value in seconds.items()},
        },
    )


def best_excess_risk(study: xr.Dataset) -> xr.DataArray:
    """Least excess risk along each training run, at the learning rate that is best in the mean over seeds.

    Args:
      study: as ``to_dataset`` makes it.

    Returns:
      Nats, over (problem, hidden, batch_size, length, seed).

    Examples:
      >>> import isjax.study.runner, isjax.study.results
      >>> source = sparse_source(jax.random.key(0), num_inputs=3, num_relevant=2, num_classes=2, discrimination=0.8)
      >>> spec = SweepSpec(hidden=((8,),), lengths=(16,), num_seeds=2, num_steps=10, num_evals=2)
      >>> study = isjax.study.runner.run(jax.random.key(1), {"mine / biased": source.problem("biased")}, spec)
      >>> isjax.study.results.best_excess_risk(study).dims
      ('problem', 'hidden', 'batch_size', 'length', 'seed')
    """
    along_run = study["excess_risk"].min("evaluation")
    rate = along_run.mean("seed").argmin("learning_rate")
    return along_run.isel(learning_rate=rate).drop_vars("learning_rate")


def problems_by_source(study: xr.Dataset) -> dict[str, dict[str, str]]:
    """Names of a study's problems, by source and encoder: ``source / encoder``, or a name of one's own for both.

    Args:
      study: as ``to_dataset`` makes it.

    Returns:
      ``{source: {encoder: problem}}``.

    Examples:
      >>> import xarray, isjax.study.results
      >>> study = xarray.Dataset(coords={"problem": ["a / identity", "a / biased"]})
      >>> isjax.study.results.problems_by_source(study)
      {'a': {'identity': 'a / identity', 'biased': 'a / biased'}}
    """
    sources: dict[str, dict[str, str]] = {}
    for name in map(str, study["problem"].values):
        source, _, encoder = name.rpartition(" / ")
        sources.setdefault(source or encoder, {})[encoder] = name
    return sources


def samples_to_reach(risk: xr.DataArray, target: float) -> xr.DataArray:
    """Data length at which an excess risk first falls to a target, in between lengths on a log-log line.

    Args:
      risk: nats, with the dimension length.
      target: nats.

    Returns:
      Lengths, over the other dimensions; NaN where the target is not reached, the shortest length where it is at once.

    Examples:
      >>> import xarray, isjax.study.results
      >>> risk = xarray.DataArray([0.4, 0.1], dims="length", coords={"length": [100, 400]})
      >>> round(float(isjax.study.results.samples_to_reach(risk, 0.2)))
      200
    """

    def crossing(values: np.ndarray) -> float:
        below = np.flatnonzero(values <= target)
        if not below.size:
            return np.nan
        i = below[0]
        if i == 0:
            return float(lengths[0])
        share = np.log(values[i - 1] / target) / np.log(values[i - 1] / values[i])
        return float(lengths[i - 1] * (lengths[i] / lengths[i - 1]) ** share)

    lengths = risk["length"].to_numpy().astype(float)
    return xr.apply_ufunc(crossing, risk, input_core_dims=[["length"]], vectorize=True)


def save(study: xr.Dataset, path: str | os.PathLike[str]) -> Path:
    """Writes a study as NetCDF: beside its place first, then renamed, so that no file is ever half-written.

    The attribute ``checksum`` of the file is for ``load``, which takes it off again.

    Args:
      study: as ``to_dataset`` makes it.
      path: where to, ``….nc``.

    Returns:
      The path.

    Raises:
      OSError: if it cannot be written.

    Examples:
      >>> import tempfile, xarray, isjax.study.results
      >>> study = xarray.Dataset({"a": 1}, attrs={"format": isjax.study.results.FORMAT})
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     path = isjax.study.results.save(study, folder + "/study.nc")
      ...     print(int(isjax.study.results.load(path)["a"]))
      1
    """
    checked = study.assign_attrs(checksum=_checksum(study))
    content = io.BytesIO()  # in memory: where a disk is full, HDF5 ends the process
    with h5netcdf.File(content, "w") as file:
        checked.dump_to_store(H5NetCDFStore(file))
    return write_atomically(path, lambda beside: beside.write_bytes(content.getvalue()))


def load(path: str | os.PathLike[str]) -> xr.Dataset:
    """Reads a study, into memory.

    Args:
      path: a file that ``save`` wrote.

    Returns:
      The dataset.

    Raises:
      FileNotFoundError: if there is none.
      ValueError: if it is not a study of isjax, or is damaged: a byte that changed is found.

    Examples:
      >>> import isjax.study.results
      >>> isjax.study.results.load("nowhere.nc")
      Traceback (most recent call last):
      ...
      FileNotFoundError: there is no file nowhere.nc
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"there is no file {path}")
    try:
        study = xr.load_dataset(path, engine="h5netcdf")
    except Exception as error:
        raise ValueError(f"{path} is not a NetCDF file that can be read: {type(error).__name__}") from error
    if study.attrs.get("format") != FORMAT:
        raise ValueError(f"{path} is not a study of isjax: its format is {study.attrs.get('format')!r}, not {FORMAT!r}")
    if study.attrs.pop("checksum", None) != _checksum(study):
        raise ValueError(f"{path} is damaged, or was changed by another program: its checksum differs")
    return study


def _checksum(study: xr.Dataset) -> str:
    """SHA-256 of all numbers, names, units and attributes."""
    described = {
        str(name): (variable.dims, _plain(variable.attrs), _content(variable.to_numpy()))
        for name, variable in study.variables.items()
    }
    described = json.dumps([described, _plain(study.attrs)], sort_keys=True)
    return hashlib.sha256(described.encode()).hexdigest()


def _plain(attrs: Mapping[Any, Any]) -> dict[str, Any]:
    return {str(name): np.asarray(value).tolist() for name, value in attrs.items()}


def _content(values: np.ndarray) -> list[Any]:
    if values.dtype.kind in "biufc":
        return [values.dtype.str, values.shape, hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest()]
    return ["text", values.shape, values.tolist()]
