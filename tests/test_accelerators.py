"""Every public function that can be traced lowers for GPUs and TPUs, on a machine that has neither."""

import jax
import jax.numpy as jnp
import pytest

from benchmarks.accelerators import PLATFORMS, lowered
from benchmarks.calls import CALLS, Call


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("name", [name for name, call in CALLS.items() if call.traceable])
def test_a_public_function_lowers_for_an_accelerator(name, platform):
    assert "func.func public @main" in lowered(CALLS[name], platform)


def test_what_an_accelerator_cannot_do_and_what_calls_the_host_would_be_refused():
    matrix = lambda seed: (jnp.eye(3),)  # noqa: E731
    with pytest.raises(NotImplementedError, match="tpu"):  # what jax raises for a primitive without a lowering
        lowered(Call(jnp.linalg.eig, matrix), "tpu")
    for platform in PLATFORMS:
        with pytest.raises(ValueError, match="backend cpu is different"):
            lowered(Call(lambda a: jax.pure_callback(lambda a: a, a, a), matrix), platform)
