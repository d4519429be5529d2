"""What a study says of problems whose names are wrong."""

import jax
import pytest

import isjax
import isjax.study
from tests.helpers import refused

SPEC = isjax.SweepSpec(num_steps=20)


@pytest.mark.parametrize("name", ["sparse / biased", ("sparse",), ("sparse", ""), ("sparse", 3), ("a", "b", "c")])
def test_a_name_that_is_no_pair_of_strings_is_refused(name):
    source = isjax.sparse_source(jax.random.key(0), num_inputs=3, num_relevant=2, num_classes=2, discrimination=0.8)
    problems = {name: source.problem("biased")}
    message = "problems must be named by pairs (source, encoder) of non-empty strings, such as ('mine', 'biased'), got"
    refused(ValueError, f"{message} the name {name!r}", isjax.study.run, jax.random.key(1), problems, SPEC)
