"""The tests of error messages, in a process of their own: without the import hook, which would speak first."""

import pytest

from tests.helpers import ROOT, run_pytest

pytestmark = pytest.mark.fast


def test_every_refusal_names_the_argument_what_it_got_and_what_it_needs():
    options = "addopts=--strict-markers --strict-config --import-mode=importlib"
    run_pytest("-o", options, ROOT / "tests" / "messages")
