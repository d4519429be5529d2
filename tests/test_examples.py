"""The examples do what they say, at a smaller size."""

import math

from tests.helpers import load


def test_learned_encoder(tmp_path, capsys):
    """No encoder loses less than the optimal quantizer, and the best of many restarts loses little more."""
    path = tmp_path / "figure.png"
    found = load("learned_encoder").main(path, num_inputs=12, num_codes=3, num_restarts=16, num_steps=400)
    assert path.read_bytes().startswith(b"\x89PNG")
    least = found["optimal quantizer"]
    assert least > 0
    assert found.pop("null, most") < 1e-9
    assert all(value >= least * (1 - 1e-4) for value in found.values())
    assert math.isclose(found["Adam, best restart"], least, rel_tol=0.1)
    assert math.isclose(found["KL-means"], least, rel_tol=1e-4)
    assert f"{least:.6f}" in capsys.readouterr().out
