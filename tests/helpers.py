"""What several files of tests use."""

import contextlib
import functools
import importlib.util
import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import jax
import jax.extend.core
import jax.numpy as jnp
import pytest

import isjax
from isjax.cli.main import main

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples"


def load(name):
    """A script in ``examples``, as a module."""
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def public_names():
    """Every public function and class, by name."""
    things = vars(isjax).items()
    return {name: thing for name, thing in things if not name.startswith("_") and not inspect.ismodule(thing)}


@functools.cache
def jitted(f, *_, **options):
    """A function with its options bound, under ``jit``: one program, whatever the example."""
    return jax.jit(functools.partial(f, **options))


def close(dtype, scale=64):
    """Tolerances of some units of rounding; in double precision the brute force has its own."""
    eps = scale * float(jnp.finfo(dtype).eps) * (8 if dtype == "float64" else 1)
    return {"rtol": eps, "atol": eps}


def equations(jaxpr):
    """The equations of a program and of the programs within."""
    for equation in jaxpr.eqns:
        yield equation
        for inner in jax.extend.core.jaxprs_in_params(equation.params):
            yield from equations(inner)


def run_pytest(*words, **environment):
    """Runs tests in a process of its own; they pass, and there are some."""
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", *map(str, words)]
    environment = os.environ | environment
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=environment)
    assert result.returncode == 0, result.stdout + result.stderr
    assert " passed" in result.stdout


@contextlib.contextmanager
def new_programs():
    """A list of the events of tracing and compiling that happen meanwhile: empty if every program is there already."""
    events = []

    def listen(event, _, **__):
        events.append(event)

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        yield events
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)


def refused(error, message, f, *args, **options):
    """A call raises an error whose message begins with these words."""
    with pytest.raises(error, match="^" + re.escape(message)):
        f(*args, **options)


def exit_of(words, capsys):
    """Exit code and standard error of a command that fails, without a traceback."""
    with pytest.raises(SystemExit) as stop:
        main(words)
    err = capsys.readouterr().err
    assert "Traceback" not in err
    return stop.value.code, err
