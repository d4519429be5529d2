"""A public function called eagerly a second time, with other values of the same shapes, compiles nothing."""

import inspect
import pathlib

import jax
import pytest

import isjax
from benchmarks.calls import CALLS
from tests.helpers import equations, public_names

PACKAGE = pathlib.Path(isjax.__file__).parent
COMPUTE_NO_ARRAYS = {
    "check_distribution",
    "encode_labels",
    "configure_cpu",
    "coordinate_encoder",
    "module_activations",
} | {
    "MLP32",
    "MLP256",
    "MLP1024",
}


def test_every_public_function_has_a_call():
    functions = {name for name, thing in public_names().items() if inspect.isfunction(thing)}
    called = {name.partition(",")[0] for name in CALLS}
    assert called | COMPUTE_NO_ARRAYS == functions
    assert not called & COMPUTE_NO_ARRAYS


@pytest.fixture
def compilations():
    """The traces and compilations since ``clear()``, as they happen."""
    events = []

    def listen(event, _, **__):
        if event.startswith("/jax/core/compile/"):
            events.append(event)

    jax.monitoring.register_event_duration_secs_listener(listen)
    yield events
    jax.monitoring.unregister_event_duration_listener(listen)


@pytest.mark.parametrize("name", CALLS)
def test_a_second_call_of_the_same_shapes_traces_and_compiles_nothing(name, compilations):
    call = CALLS[name]
    first, second = call.arguments(0), call.arguments(1)
    jax.block_until_ready(call.function(*first))
    compilations.clear()
    jax.block_until_ready(call.function(*second))
    assert compilations == []


def test_a_first_call_is_seen_to_trace_and_compile(compilations):
    jax.jit(lambda x: x + 1)(1.0)
    assert {event.rpartition("/")[2] for event in compilations} >= {
        "jaxpr_trace_duration",
        "backend_compile_duration",
    }


@pytest.mark.parametrize("name", [name for name, call in CALLS.items() if call.traceable])
def test_under_the_callers_jit_the_core_is_inlined(name):
    """No call of a jitted function of the package is left in the program."""
    call = CALLS[name]
    program = jax.make_jaxpr(call.function)(*call.arguments(0))
    sources = [str(e.params["jaxpr"].jaxpr.debug_info) for e in equations(program.jaxpr) if e.primitive.name == "jit"]
    assert not [source for source in sources if f" at {PACKAGE}/" in source]
