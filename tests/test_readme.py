"""README is true: its library example runs, and its commands are those that the gate and the package know."""

import re
from pathlib import Path

import numpy as np

README = (Path(__file__).parent.parent / "README.md").read_text()


def test_the_library_example_runs_and_shows_what_it_says(capsys):
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    names: dict = {}
    exec(code, names)
    assert len(capsys.readouterr().out.split("\n")) >= 3
    identity, sufficient, biased = np.asarray(names["result"].excess_risk).min(-1).mean(-1)[:, 0, 0, 0]
    loss = float(names["result"].encoder_bias[2].max())
    assert (sufficient < identity).all()
    assert loss <= biased[-1] < 1.15 * loss


def test_each_command_sets_up_all_it_needs():
    study, tests = re.findall(r"```sh\n(python3 -m venv .*)\n```", README)
    assert study.endswith("isjax sweep")
    assert "pytest" in tests


def test_its_files_are_there():
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert (Path(__file__).parent.parent / target).is_file(), target
