"""Known wrong answers of jaxlib: that the installed one is right, and that a wrong one is told."""

import importlib.metadata
import warnings

import jax
import jax.numpy as jnp
import pytest

from isjax import _checks

pytestmark = pytest.mark.fast


def test_vmapped_product_followed_by_a_reduction_is_right(transform):
    """jax-ml/jax#39103: 1071645696 under jit in jaxlib 0.10.2."""
    i = jnp.arange(32769, dtype=jnp.float32)
    x = jnp.stack((i, 0 * i, 0 * i), 1)
    assert transform(jax.vmap(lambda row: jnp.sum((jnp.eye(3) @ row) ** 2)))(x)[-1] == 1073741824


@pytest.mark.parametrize("version", ["0.10.2", "0.11.0"])
def test_known_bad_jaxlib_is_told(version):
    with pytest.warns(RuntimeWarning, match=f"jaxlib {version} .*jax-ml/jax#.*install jaxlib 0.10.1"):
        _checks.warn_of_known_bad_jaxlib(version)


def test_installed_jaxlib_is_not_one_of_them():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _checks.warn_of_known_bad_jaxlib()
    assert importlib.metadata.version("jaxlib") not in _checks.KNOWN_BAD_JAXLIB
