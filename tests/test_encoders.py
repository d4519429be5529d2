"""Encoders of a finite alphabet."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import isjax

pytestmark = pytest.mark.usefixtures("strict")


@st.composite
def coordinates(draw):
    sizes = draw(st.lists(st.integers(1, 4), min_size=1, max_size=4))
    kept = draw(st.permutations(range(len(sizes))))[: draw(st.integers(0, len(sizes)))]
    return sizes, kept


@given(coordinates())
def test_coordinate_encoder_lists_what_it_keeps_in_c_order(sizes_and_kept):
    sizes, kept = sizes_and_kept
    codes = np.asarray(isjax.coordinate_encoder(sizes, kept))
    vectors = list(np.ndindex(*sizes))
    kept_vectors = list(np.ndindex(*(sizes[i] for i in kept)))
    assert codes.shape == (len(vectors),)
    assert [kept_vectors[code] for code in codes] == [tuple(v[i] for i in kept) for v in vectors]


def test_keeping_all_is_the_identity_and_nothing_is_constant():
    np.testing.assert_array_equal(isjax.coordinate_encoder((2, 3, 2), (0, 1, 2)), np.arange(12))
    np.testing.assert_array_equal(isjax.coordinate_encoder((2, 3, 2), ()), np.zeros(12))
    assert np.issubdtype(isjax.coordinate_encoder((2,), ()).dtype, np.integer)
