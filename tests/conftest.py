"""Two CPU devices; the theory under strict promotion, eagerly and under ``jit``, in float32 and float64."""

import os

import jaxlib.version

os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Compiling takes most of the time of the tests, so XLA is told to optimise little, which halves it. What depends on
# rounding is tested with the default flags as well: see ``test_optimised.py``.
if jaxlib.version.__version__.startswith("0.10."):  # an unknown flag would end the process
    os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false")

import contextlib
import gc
import itertools
import pathlib
from collections.abc import Callable, Iterator

import hypothesis
import jax
import pytest

jax.config.update("jax_num_cpu_devices", 2)
gc.set_threshold(200_000, 20, 20)  # programs and their caches are many objects, and stay

hypothesis.settings.register_profile(
    "isjax",
    deadline=None,
    max_examples=40,
    derandomize=True,
    print_blob=True,
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],  # they set modes, which examples share
)
hypothesis.settings.load_profile("isjax")


def pytest_configure(config: pytest.Config) -> None:
    """Compiled programs are shared by all workers and kept for the next run, in ``.pytest_cache``."""
    if (cache := getattr(config, "cache", None)) is not None:
        jax.config.update("jax_compilation_cache_dir", str(cache.mkdir("programs")))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)


def pytest_ignore_collect(collection_path: pathlib.Path, config: pytest.Config) -> bool | None:
    """Tests of error messages run without the import hook, which would speak first: see ``test_messages.py``."""
    return True if collection_path.name == "messages" and config.getoption("--jaxtyping-packages") else None


@pytest.fixture(autouse=True, scope="session")
def cache_folder(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The command line keeps compiled programs: not in the user's cache folder, but beside the other tests' files."""
    os.environ["XDG_CACHE_HOME"] = str(tmp_path_factory.getbasetemp() / "cache")


_MOST_MAPPINGS = 30_000  # of memory; Linux allows a process 65,530, and a program of XLA takes about twelve
_PATH_OF_MAPPINGS = pathlib.Path("/proc/self/maps")
_num_tests = itertools.count(1)


@pytest.fixture(autouse=True)
def few_mappings() -> Iterator[None]:
    """Drops the compiled programs of earlier tests before they take all the mappings that a process may have."""
    yield
    if next(_num_tests) % 25 or not _PATH_OF_MAPPINGS.exists():
        return
    with _PATH_OF_MAPPINGS.open("rb") as lines:
        num_mappings = sum(1 for _ in lines)
    if num_mappings > _MOST_MAPPINGS:
        jax.clear_caches()
        gc.collect()


@pytest.fixture(params=["eager", "jit"])
def transform(request: pytest.FixtureRequest) -> Callable:
    """A function as it is, and jitted: ``transform(f)`` behaves alike in both."""
    return jax.jit if request.param == "jit" else lambda f, **_: f


@pytest.fixture
def strict() -> Iterator[None]:
    """No implicit promotion of dtypes or of ranks."""
    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        yield


@pytest.fixture
def x64() -> Iterator[None]:
    """Double precision."""
    with jax.enable_x64(True):
        yield


@pytest.fixture(params=["float32", "float64"])
def dtype(request: pytest.FixtureRequest) -> Iterator[str]:
    """Each of the two precisions, the second with ``jax.enable_x64``."""
    with jax.enable_x64(True) if request.param == "float64" else contextlib.nullcontext():
        yield request.param


@pytest.fixture
def figure(tmp_path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Where an example draws; it must have drawn there when its test is over."""
    path = tmp_path / "figure.png"
    yield path
    assert path.read_bytes().startswith(b"\x89PNG")
