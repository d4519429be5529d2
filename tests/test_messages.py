"""The tests of error messages, in a process of their own: without the import hook, which would speak first."""

import pathlib
import subprocess
import sys

FOLDER = pathlib.Path(__file__).parent / "messages"


def test_every_refusal_names_the_argument_what_it_got_and_what_it_needs():
    options = "addopts=--strict-markers --strict-config --import-mode=importlib"
    command = [sys.executable, "-m", "pytest", "-o", options, "-p", "no:cacheprovider", "-q", str(FOLDER)]
    result = subprocess.run(command, cwd=FOLDER.parents[1], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert " passed" in result.stdout
