"""What depends on rounding holds with the optimisations of XLA too, which the other tests leave out."""

from tests.helpers import ROOT, run_pytest


def test_accuracy_is_kept_by_optimised_programs():
    files = (ROOT / "tests" / f"test_{name}.py" for name in ("numerics", "measures", "sufficiency", "bottleneck"))
    chosen = "in_float32 or accurate or accuracy or derivatives or deterministic_bottleneck or monotone"
    run_pytest("-k", chosen, *files, XLA_FLAGS="")
