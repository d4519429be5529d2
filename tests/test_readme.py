"""README is true: its library example runs, and its commands are those of the gate and of the package."""

import re
from pathlib import Path

README = (Path(__file__).parent.parent / "README.md").read_text()


def test_the_library_example_shows_what_the_readme_says(capsys):
    """A sufficient code needs less data than X itself; the risk of a biased one levels off at its loss."""
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    names: dict = {}
    exec(code, names)
    assert len(capsys.readouterr().out.split("\n")) >= 3
    identity, sufficient, biased = names["result"].last_excess_risk.mean(-1).squeeze()
    loss = names["result"].encoder_bias[2]
    assert (sufficient < identity).all()
    assert loss <= biased[-1] < 1.15 * loss


def test_each_command_includes_the_installation():
    study, tests = re.findall(r"```sh\n(python3 -m venv .*)\n```", README)
    assert study.endswith("isjax sweep")
    assert "pytest" in tests


def test_its_files_exist():
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert (Path(__file__).parent.parent / target).is_file(), target
