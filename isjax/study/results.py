"""Results with named axes: built, saved and loaded. Reading a file needs nothing but xarray."""

import dataclasses
import datetime
import hashlib
import io
import json
import math
import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5netcdf
import jax
import numpy as np
import optax
import xarray as xr
from xarray.backends import H5NetCDFStore

from isjax._display import as_text
from isjax._shell.files import write_atomically
from isjax._typing import Float
from isjax.study.blocks import versions
from isjax.sweeps import AXES, SweepResult, SweepSpec

__all__ = [
    "FORMAT",
    "NAME_COORDINATES",
    "Name",
    "attributes",
    "check_path",
    "describe_diverged",
    "describe_spec",
    "label_of_network",
    "last_risks",
    "load",
    "parts_of_risk",
    "positions_by_source",
    "samples_to_reach",
    "save",
    "to_dataset",
    "with_problem_axis",
]

Name = tuple[str, str]
"""Names a problem of a study: (source, encoder)."""

FORMAT = "isjax study 5"
_OLDER_FORMATS = tuple(f"isjax study {i}" for i in (1, 2, 3, 4))
NAME_COORDINATES = ("source", "encoder")


def to_dataset(
    result: SweepResult,
    names: Sequence[Name],
    spec: SweepSpec,
    *,
    seconds: Mapping[str, float] | None = None,
    least_code_loss: Float[np.ndarray, "problem network"] | None = None,
) -> xr.Dataset:
    """A sweep's result as a dataset with named axes.

    The dimension ``problem`` is indexed by its coordinates ``source`` and ``encoder``: ``study.sel(encoder="biased")``
    has the dimension ``source`` instead, and ``study.sel(source="mine", encoder="biased")`` is one problem.

    Args:
      result: of ``isjax.sweep``.
      names: (source, encoder) of each problem.
      spec: the grid that was trained.
      seconds: seconds spent, by what they were spent on.
      least_code_loss: the least loss that as many codes as a network has can have; NaN for a network without codes.

    Returns:
      A dataset of ``excess_risk``, ``code_loss``, ``decoder_error`` and ``train_loss`` over (problem, network,
      batch_size, learning_rate, length, seed, evaluation), ``last_excess_risk`` and ``best_excess_risk`` over
      (problem, network, batch_size, length, seed), ``encoder_bias``, ``conditional_entropy`` and ``uniform_risk`` over
      (problem), all in nats; ``diverged`` over (problem, network, batch_size, learning_rate, length, seed); and
      ``steps`` over (batch_size, length, evaluation). If the spec names other scoring rules than the logarithmic one,
      ``scored_risk``, ``scored_code_loss`` and ``scored_decoder_error`` over (problem, …, evaluation, rule),
      ``scored_conditional_entropy`` and ``scored_encoder_bias`` over (problem, rule), in nats for the rule ``"log"``
      alone, and under ``"zero_one"`` ``accuracy`` over (problem, …, evaluation). A network's coordinate is its name,
      and ``width`` its hidden width if all networks have one. The attributes hold the spec, versions and timings.

    Raises:
      ValueError: if there is not one name for each problem.

    Examples:
      >>> import isjax, jax, isjax.study.results
      >>> options = {"num_inputs": 3, "num_relevant": 2, "num_classes": 2, "discrimination": 0.8}
      >>> problem = isjax.sparse_source(jax.random.key(0), **options).problem("biased")
      >>> spec = isjax.SweepSpec(hidden=((8,),), lengths=(16, 32), num_seeds=2, num_steps=10, num_evals=2)
      >>> result = isjax.sweep(jax.random.key(1), [problem], spec)
      >>> study = isjax.study.results.to_dataset(result, [("mine", "biased")], spec)
      >>> dict(study.sel(encoder="biased").sizes)["source"]
      1
    """
    if len(names) != result.decoder_error.shape[0]:
        raise ValueError(f"there are {result.decoder_error.shape[0]} problems, but {len(names)} names")

    def in_nats(values: object, name: str, dims: Sequence[str] = AXES) -> xr.Variable:
        return xr.Variable(dims, np.asarray(values), {"units": "nat", "long_name": name})

    of_best = [axis for axis in AXES if axis not in ("learning_rate", "evaluation")]
    return xr.Dataset(
        {
            "excess_risk": in_nats(result.excess_risk, "cross-entropy risk minus H(Y|X)"),
            "code_loss": in_nats(
                np.zeros_like(result.decoder_error) if result.code_loss is None else result.code_loss,
                "I(U;Y|V), what the network's own code V loses",
            ),
            "decoder_error": in_nats(result.decoder_error, "excess risk minus what encoder and code lose"),
            "train_loss": in_nats(result.train_loss, "cross-entropy on the training data"),
            "last_excess_risk": in_nats(result.last_excess_risk, "excess risk after the last step", of_best),
            "best_excess_risk": in_nats(result.best_excess_risk, "least excess risk along a training run", of_best),
            "diverged": xr.Variable(AXES[:-1], np.asarray(result.diverged), {"long_name": "whether a run diverged"}),
            "encoder_bias": in_nats(result.encoder_bias, "mutual information loss I(X;Y|U)", ("problem",)),
            **(
                {}
                if least_code_loss is None
                else {
                    "least_code_loss": in_nats(
                        least_code_loss, "least I(U;Y|V) of as many codes, as far as known", ("problem", "network")
                    )
                }
            ),
            "conditional_entropy": in_nats(result.conditional_entropy, "H(Y|X)", ("problem",)),
            **(
                {}
                if result.uniform_risk is None
                else {"uniform_risk": in_nats(result.uniform_risk, "H(Y)", ("problem",))}
            ),
            "steps": xr.Variable(
                ("batch_size", "length", "evaluation"),
                np.asarray(result.steps)[0, 0, :, 0, :, 0, :],
                {"long_name": "steps taken", "units": "1"},
            ),
            **_scored(result, spec),
        },
        coords={
            "source": ("problem", [source for source, _ in names]),
            "encoder": ("problem", [encoder for _, encoder in names]),
            "network": list(spec.network_names),
            **({} if spec.widths is None else {"width": ("network", list(spec.widths))}),
            "batch_size": ("batch_size", list(spec.batch_sizes), {"units": "samples"}),
            "learning_rate": list(spec.learning_rates),
            "length": ("length", list(spec.lengths), {"long_name": "data length", "units": "samples"}),
            "seed": np.arange(spec.num_seeds),
            "evaluation": np.arange(spec.num_evals),
            **({"rule": list(spec.rule_names)} if spec.scores else {}),
        },
        attrs=attributes(spec, seconds),
    ).set_xindex(NAME_COORDINATES)


def attributes(spec: SweepSpec, seconds: Mapping[str, float] | None = None) -> dict[str, Any]:
    """What a study says about how it was made: its format, spec, versions, devices and time.

    Examples:
      >>> import isjax, isjax.study.results
      >>> sorted(isjax.study.results.attributes(isjax.SweepSpec(num_steps=20)))[:3]
      ['created', 'devices', 'format']
    """
    return {
        "format": FORMAT,
        "spec": json.dumps(describe_spec(spec)),
        "versions": json.dumps(versions()),
        "python": platform.python_version(),
        "devices": ", ".join(sorted({device.device_kind for device in jax.devices()})),
        "num_devices": jax.device_count(),
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        **{f"{name}_seconds": round(value, 3) for name, value in (seconds or {}).items()},
    }


_SCORED = {
    "risk": "risk E[S(q, Y)]",
    "conditional_entropy": "risk of the best predictor from X",
    "encoder_bias": "least excess risk of any decoder of U",
    "code_loss": "what the network's own code V adds",
    "decoder_error": "excess risk minus what encoder and code lose",
}


def _scored(result: SweepResult, spec: SweepSpec) -> dict[str, xr.Variable]:
    """The risk under each scoring rule of the spec and its parts; nothing if that is the logarithmic one alone."""
    if not spec.scores:
        return {}
    risks = [result.under(rule) for rule in spec.rule_names]
    scored = {name: np.stack([np.asarray(getattr(risk, name)) for risk in risks], axis=-1) for name in _SCORED}
    made = {
        f"scored_{name}": xr.Variable(
            (*(AXES if values.ndim > 2 else AXES[:1]), "rule"), values, {"long_name": f"{_SCORED[name]}, by rule"}
        )
        for name, values in scored.items()
    }
    if "zero_one" in spec.scores:
        described = {"long_name": "probability that the most probable class is Y", "units": "1"}
        made["accuracy"] = xr.Variable(AXES, np.asarray(result.accuracy), described)
    return made


def describe_spec(spec: SweepSpec) -> dict[str, Any]:
    """The fields of a spec as JSON takes them: modules and functions as text, infinity as ``"inf"``.

    ``networks`` and ``optimizer`` are absent where they are not given, so that the spec can be made of the others.
    A scoring rule with values is its name and its values.

    Examples:
      >>> import isjax, math, isjax.study.results
      >>> spec = isjax.SweepSpec(networks={"narrow": isjax.MLP32}, lengths=(32, math.inf), num_steps=20)
      >>> described = isjax.study.results.describe_spec(spec)
      >>> described["networks"], described["lengths"], "optimizer" in described
      ({'narrow': 'isjax.MLP32'}, [32, 'inf'], False)
    """
    fields = {field.name: getattr(spec, field.name) for field in dataclasses.fields(spec)}
    fields["lengths"] = ["inf" if math.isinf(length) else length for length in spec.lengths]
    networks, optimizer = fields.pop("networks"), fields.pop("optimizer")
    if networks is not None:
        fields["networks"] = {name: as_text(network) for name, network in networks.items()}
    if optimizer is not optax.sgd:
        fields["optimizer"] = as_text(optimizer)
    fields["rules"] = [
        rule if isinstance(rule, str) else [rule.name, *(np.asarray(leaf).tolist() for leaf in jax.tree.leaves(rule))]
        for rule in spec.rules
    ]
    return fields


def check_path(path: object, name: str) -> None:
    """Refuses what is not the path of a file.

    Examples:
      >>> import isjax.study.results
      >>> isjax.study.results.check_path("study.nc", "output")
    """
    if not isinstance(path, str | os.PathLike):
        raise TypeError(f"{name} must be the path of a file, such as 'study.nc', got {path!r}")
    if Path(path).is_dir():
        raise IsADirectoryError(f"{name} must be a file, such as study.nc, got the folder {path}")


def with_problem_axis(study: xr.Dataset) -> xr.Dataset:
    """The excess risks and the encoder bias of a study over (problem, …), also after a selection by ``sel``.

    Args:
      study: as ``to_dataset`` makes it, or a part of it by source, encoder or both.

    Returns:
      A dataset with the dimension ``problem`` first.

    Examples:
      >>> import xarray, isjax.study.results
      >>> names = {"source": ("problem", ["a", "a", "b"]), "encoder": ("problem", ["identity", "biased", "biased"])}
      >>> risks = {name: ("problem", [0.3, 0.2, 0.1]) for name in ("last_excess_risk", "best_excess_risk")}
      >>> risks |= {"encoder_bias": ("problem", [0.0, 0.1, 0.1]), "diverged": ("problem", [False] * 3)}
      >>> study = xarray.Dataset(risks, names).set_xindex(("source", "encoder"))
      >>> dict(isjax.study.results.with_problem_axis(study.sel(encoder="biased")).sizes)
      {'problem': 2}
    """
    drawn = study[["last_excess_risk", "best_excess_risk", "encoder_bias", "diverged"]]
    if "problem" not in drawn.dims:
        scalars = [name for name in NAME_COORDINATES if name not in drawn.dims]
        drawn = drawn.drop_vars("problem", errors="ignore").expand_dims(scalars).stack(problem=NAME_COORDINATES)
    return drawn.transpose("problem", ...)


def positions_by_source(study: xr.Dataset) -> dict[str, dict[str, int]]:
    """Positions of a study's problems along its dimension ``problem``, by source and encoder.

    Examples:
      >>> import xarray, isjax.study.results
      >>> names = {"source": ("problem", ["a", "a", "b"]), "encoder": ("problem", ["identity", "biased", "biased"])}
      >>> isjax.study.results.positions_by_source(xarray.Dataset(coords=names))
      {'a': {'identity': 0, 'biased': 1}, 'b': {'biased': 2}}
    """
    sources: dict[str, dict[str, int]] = {}
    names = zip(study["source"].to_numpy().tolist(), study["encoder"].to_numpy().tolist(), strict=True)
    for position, (source, encoder) in enumerate(names):
        sources.setdefault(source, {})[encoder] = position
    return sources


def describe_diverged(study: xr.Dataset) -> str:
    """How many runs of a study diverged, and which, in a sentence; empty if none did.

    Examples:
      >>> import xarray, isjax.study.results
      >>> axes = ("network", "learning_rate", "seed")
      >>> coords = {"network": ["32"], "learning_rate": [0.1, 1000.0]}
      >>> study = xarray.Dataset({"diverged": (axes, [[[False, False], [True, False]]])}, coords)
      >>> isjax.study.results.describe_diverged(study)
      '1 of 4 runs diverged; means after the last step leave them out: 1 of MLP 32 at learning rate 1000'
    """
    diverged = study["diverged"]
    count = int(diverged.sum())
    if not count:
        return ""
    counts = diverged.sum([axis for axis in diverged.dims if axis not in ("network", "learning_rate")])
    where = [
        f"{int(number)} of {label_of_network(study, name)} at learning rate {rate:g}"
        for name, of_network in zip(study["network"].values, counts.transpose("network", ...).values, strict=True)
        for rate, number in zip(study["learning_rate"].values, of_network, strict=True)
        if number
    ]
    named = ", ".join(where[:4]) + (", …" if len(where) > 4 else "")
    return f"{count} of {diverged.size} runs diverged; means after the last step leave them out: {named}"


def parts_of_risk(study: xr.Dataset) -> xr.Dataset:
    """The parts of the excess risk, means over the seeds that did not diverge, at the best learning rate.

    The best rate is the one of the least mean excess risk after the last step.

    Args:
      study: as ``to_dataset`` makes it.

    Returns:
      ``encoder_bias``, ``code_loss`` and ``decoder_error`` over (problem, network, batch_size, length, evaluation).

    Examples:
      >>> import isjax, jax, isjax.study.results
      >>> options = {"num_inputs": 3, "num_relevant": 2, "num_classes": 2, "discrimination": 0.8}
      >>> problem = isjax.sparse_source(jax.random.key(0), **options).problem("biased")
      >>> spec = isjax.SweepSpec(hidden=((8,),), lengths=(16, 32), num_seeds=2, num_steps=10, num_evals=2)
      >>> result = isjax.sweep(jax.random.key(1), [problem], spec)
      >>> study = isjax.study.results.to_dataset(result, [("mine", "biased")], spec)
      >>> sorted(isjax.study.results.parts_of_risk(study).data_vars)
      ['code_loss', 'decoder_error', 'encoder_bias']
    """
    return _at_best_rate(study, ["code_loss", "decoder_error"]).assign(encoder_bias=study["encoder_bias"].variable)


def last_risks(study: xr.Dataset) -> xr.DataArray:
    """Risks under each scoring rule after the last step, means over the seeds that did not diverge.

    The learning rate is the one of the least mean excess cross-entropy risk then, under every rule.

    Args:
      study: as ``to_dataset`` makes it, of a spec with other rules than the logarithmic one.

    Returns:
      The risk over (problem, network, batch_size, length, rule).

    Examples:
      >>> import isjax, jax, isjax.study.results
      >>> options = {"num_inputs": 3, "num_relevant": 2, "num_classes": 2, "discrimination": 0.8}
      >>> problem = isjax.sparse_source(jax.random.key(0), **options).problem("biased")
      >>> spec = isjax.SweepSpec(hidden=((8,),), lengths=(16,), num_steps=10, num_evals=2, rules=("log", "zero_one"))
      >>> result = isjax.sweep(jax.random.key(1), [problem], spec)
      >>> study = isjax.study.results.to_dataset(result, [("mine", "biased")], spec)
      >>> isjax.study.results.last_risks(study).sel(rule="zero_one").shape
      (1, 1, 1, 1)
    """
    return _at_best_rate(study.isel(evaluation=[-1]), ["scored_risk"])["scored_risk"].isel(evaluation=-1)


def _at_best_rate(study: xr.Dataset, names: list[str]) -> xr.Dataset:
    """Means over the seeds that did not diverge, at the learning rate of the least mean excess risk at the end."""
    study = study.reset_index("problem") if "problem" in study.indexes else study
    members = study[["excess_risk", *names]].where(~study["diverged"]).mean("seed")
    rate = members["excess_risk"].isel(evaluation=-1, drop=True).fillna(np.inf).argmin("learning_rate")
    return members[names].isel(learning_rate=rate)


def label_of_network(study: xr.Dataset, name: str) -> str:
    """How a network is called in figures and tables: ``"MLP 32"``, or its own name.

    Examples:
      >>> import xarray, isjax.study.results
      >>> isjax.study.results.label_of_network(xarray.Dataset(attrs={"spec": '{"networks": null}'}), "32")
      'MLP 32'
    """
    has_names = json.loads(study.attrs.get("spec", "{}")).get("networks") is not None
    return str(name) if has_names else f"MLP {name}"


def samples_to_reach(risk: xr.DataArray, target: float) -> xr.DataArray:
    """Data length at which an excess risk first falls to a target, interpolated linearly in log-log coordinates.

    Args:
      risk: excess risk in nats, with the dimension length.
      target: the excess risk to reach, in nats.

    Returns:
      Data lengths, over the other dimensions; NaN where no finite length reaches the target, and the shortest length
      where that does.

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

    risk = risk.isel(length=np.isfinite(risk["length"].to_numpy()))
    lengths = risk["length"].to_numpy().astype(float)
    return xr.apply_ufunc(crossing, risk, input_core_dims=[["length"]], vectorize=True)


def save(study: xr.Dataset, path: str | os.PathLike[str]) -> Path:
    """Writes a study as NetCDF, to a temporary file that is then renamed: the file is complete or absent.

    The file has an attribute ``checksum``, which ``load`` verifies and removes. NetCDF has no index over two
    coordinates: who reads the file with xarray alone restores it by ``set_xindex(("source", "encoder"))``.

    Args:
      study: as ``isjax.study.run`` returns it.
      path: the file, ``….nc``.

    Returns:
      The path.

    Raises:
      OSError: if the file cannot be written.

    Examples:
      >>> import tempfile, xarray, isjax.study
      >>> names = {"source": ("problem", ["mine"]), "encoder": ("problem", ["biased"])}
      >>> study = xarray.Dataset({"encoder_bias": ("problem", [0.25])}, names, {"format": "isjax study 5"})
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     path = isjax.study.save(study.set_xindex(("source", "encoder")), folder + "/study.nc")
      ...     float(isjax.study.load(path).encoder_bias.sel(source="mine", encoder="biased"))
      0.25
    """
    check_path(path, "path")
    plain = study.reset_index("problem")
    checked = plain.assign_attrs(checksum=_checksum(plain))
    content = io.BytesIO()  # in memory: where a disk is full, HDF5 ends the process
    with h5netcdf.File(content, "w") as file:
        checked.dump_to_store(H5NetCDFStore(file))
    return write_atomically(path, lambda temporary: temporary.write_bytes(content.getbuffer()))


def load(path: str | os.PathLike[str]) -> xr.Dataset:
    """Reads a study into memory.

    Args:
      path: a file that ``save`` wrote.

    Returns:
      The dataset.

    Raises:
      FileNotFoundError: if there is no such file.
      ValueError: if it is not a study of isjax, was written by an older version, or was changed afterwards.

    Examples:
      >>> import isjax.study
      >>> isjax.study.load("nowhere.nc")
      Traceback (most recent call last):
      ...
      FileNotFoundError: there is no file nowhere.nc
    """
    check_path(path, "path")
    if not Path(path).is_file():
        raise FileNotFoundError(f"there is no file {path}")
    try:
        study = xr.load_dataset(path, engine="h5netcdf")
    except Exception as error:
        raise ValueError(f"{path} is not a NetCDF file that can be read: {type(error).__name__}") from error
    found = study.attrs.get("format")
    if found in _OLDER_FORMATS:
        raise ValueError(f"{path} is a study of the format {found!r}, written by an older version: run it again")
    if found != FORMAT:
        raise ValueError(f"{path} is not a study of isjax: its format is {found!r}, not {FORMAT!r}")
    if study.attrs.pop("checksum", None) != _checksum(study):
        raise ValueError(f"{path} is damaged, or was changed by another program: checksum mismatch")
    return study.set_xindex(NAME_COORDINATES)


def _checksum(study: xr.Dataset) -> str:
    """SHA-256 of all values, names, units and attributes."""
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
