"""Distributions, joints and encoders for hypothesis: zeros, empty rows and masses down to 1e-37 among them.

Shapes are few, so that programs are compiled once; cells, rows and columns without mass stand for smaller alphabets.
"""

import numpy as np
from hypothesis import strategies as st

MASSES = st.one_of(st.floats(1e-3, 1.0), st.just(0.0), st.integers(1, 36).map(lambda k: 10.0**-k))


@st.composite
def joints(draw, shape=(3, 4), dtype=np.float64):
    """A distribution of this shape."""
    size = int(np.prod(shape))
    masses = np.array(draw(st.lists(MASSES, min_size=size, max_size=size)))
    if not masses.any():
        masses[draw(st.integers(0, size - 1))] = 1.0
    return (masses / masses.sum()).reshape(shape).astype(dtype)


def distributions(size=5, dtype=np.float64):
    return joints((size,), dtype)


@st.composite
def kernels(draw, num_symbols=3, num_codes=2, dtype=np.float64):
    """Rows p(u | x)."""
    return np.stack([draw(distributions(num_codes, dtype)) for _ in range(num_symbols)])


def codes(num_symbols=3, num_codes=2):
    """A code for each symbol."""
    return st.lists(st.integers(0, num_codes - 1), min_size=num_symbols, max_size=num_symbols).map(np.array)


def encoders(num_symbols=3, num_codes=2, dtype=np.float64):
    """Codes or rows."""
    return st.one_of(codes(num_symbols, num_codes), kernels(num_symbols, num_codes, dtype))


def masses(rng, shape, dtype, *, smallest=1e-37):
    """Many distributions over the last axis in bulk: a quarter of the cells empty, a third of them tiny."""
    values = np.where(rng.random(shape) < 0.3, 10.0 ** (np.log10(smallest) * rng.random(shape)), rng.random(shape))
    values = np.where(rng.random(shape) < 0.25, 0, values)
    values[..., 0] = np.where(values.sum(-1) == 0, 1, values[..., 0])
    values = values / values.sum(-1, keepdims=True)
    return np.where(values > 0, np.maximum(values, 1.2 * smallest), 0).astype(dtype)


def random_joints(num, num_symbols, num_classes, *, concentration=0.5, seed=0):
    """Joints ``[num, x, y]`` from a Dirichlet distribution, always the same."""
    cells = np.random.default_rng(seed).dirichlet(np.full(num_symbols * num_classes, concentration), num)
    return cells.reshape(num, num_symbols, num_classes)
