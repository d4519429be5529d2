"""An interrupted study loses nothing: whatever happens to its files, it resumes, or says in one line why not."""

import contextlib
import dataclasses
import functools
import hashlib
import json
import logging
import math
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

import isjax
import isjax.study
from isjax.cli import main as cli
from isjax.study import blocks, checkpoints, results, runner
from tests.helpers import exit_of

SPEC = isjax.SweepSpec(
    hidden=((4,),), lengths=(8, 16, 24), learning_rates=(0.1, 0.5), num_seeds=2, num_steps=6, num_evals=2
)
NUM_BLOCKS = 6
KEY = jax.random.key(1)


def problem_of(discrimination):
    key = jax.random.key(0)
    source = isjax.sparse_source(key, num_inputs=3, num_relevant=2, num_classes=2, discrimination=discrimination)
    return {("mine", "sufficient"): source.problem("sufficient")}


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Every length and rate is a block of its own; they all share a program."""
    monkeypatch.setattr(blocks, "MOST_STEPS", 1)


@pytest.fixture(scope="module")
def problems():
    return problem_of(0.8)


@pytest.fixture(scope="module")
def uninterrupted(problems):
    return isjax.study.run(KEY, problems, SPEC)


@pytest.fixture(scope="module")
def template(problems, tmp_path_factory):
    """What a run leaves that is interrupted when all of its blocks are complete."""
    folder = tmp_path_factory.mktemp("template")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "MOST_STEPS", 1)
        patch.setattr(results, "save", fails_with(OSError(28, "No space left on device")))
        with pytest.raises(blocks.RunError, match=r"No space left.*; 6 of 6 blocks are saved in .*study.blocks"):
            isjax.study.run(KEY, problems, SPEC, output=folder / "study.nc")
    return folder


@pytest.fixture
def folder(template, tmp_path):
    shutil.copytree(template, tmp_path, dirs_exist_ok=True)
    return tmp_path


class Log:
    """What a run logged."""

    def __init__(self, caplog):
        self.messages = [record.getMessage() for record in caplog.records if record.name.startswith("isjax")]
        self.warnings = [
            record.getMessage()
            for record in caplog.records
            if record.levelno == logging.WARNING
            if "isjax" in record.name
        ]

    def count(self, text):
        return sum(text in message for message in self.messages)


@pytest.fixture
def resume(problems, caplog):
    """Resumes a run, and returns the study and its log."""

    def run(folder, key=KEY, problems=problems, spec=SPEC, **options):
        caplog.clear()
        with caplog.at_level(logging.DEBUG, "isjax"):
            study = isjax.study.run(key, problems, spec, output=folder / "study.nc", **{"resume": True, **options})
        return study, Log(caplog)

    return run


def fails_with(error):
    def fails(*_, **__):
        raise error

    return fails


def block_files(folder):
    return sorted((folder / "study.blocks").glob("[!.]*.block"))


def same_numbers(study, expected):
    xr.testing.assert_identical(study.drop_attrs(deep=False), expected.drop_attrs(deep=False))


def test_what_is_whole_is_not_trained_again_and_gives_way_to_the_study(folder, resume, uninterrupted):
    study, log = resume(folder)
    assert log.count("is restored") == NUM_BLOCKS
    assert log.count("is trained:") == 0
    assert log.warnings == []
    same_numbers(study, uninterrupted)
    assert study.attrs["run_seconds"] > 0
    xr.testing.assert_identical(isjax.study.load(folder / "study.nc"), study)
    assert [path.name for path in folder.iterdir()] == ["study.nc"]


def contents(block):
    """The identity and the arrays in a file, read as its format is documented."""
    _, header, rest = block.split(b"\n", 2)
    header, arrays = json.loads(header), {}
    for name, (dtype, shape) in header["arrays"].items():
        size = np.dtype(dtype).itemsize * math.prod(shape)
        arrays[name], rest = np.frombuffer(rest[:size], dtype).reshape(shape), rest[size:]
    assert not rest
    return header["identity"], arrays


def test_a_block_is_the_numbers_of_its_cell_exactly_and_holds_no_pickle(folder, uninterrupted):
    assert len(block_files(folder)) == NUM_BLOCKS
    for path in block_files(folder):
        checksum, rest = path.read_bytes().split(b"\n", 1)
        assert checksum.decode() == hashlib.sha256(rest).hexdigest()
        identity, arrays = contents(path.read_bytes())
        assert path.stem == checkpoints.digest(identity)
        cell = uninterrupted.sel(length=identity["lengths"], learning_rate=identity["learning_rates"])
        for name in ("decoder_error", "train_loss"):
            np.testing.assert_array_equal(arrays[name], cell[name])


def checked(content):
    return hashlib.sha256(content).hexdigest().encode() + b"\n" + content


def with_arrays(described, content):
    """A block whose checksum is right, but whose arrays are others."""
    _, header, arrays = content.split(b"\n", 2)
    header = json.loads(header)
    header["arrays"]["steps"] = described
    return checked(json.dumps(header).encode() + b"\n" + arrays)


def flipped(at):
    def flip(content):
        i = int(at * (len(content) - 1))
        return content[:i] + bytes([content[i] ^ 1]) + content[i + 1 :]

    return flip


DAMAGE = {
    "truncated": lambda content: content[: len(content) // 2],
    "one byte short": lambda content: content[:-1],
    "one byte long": lambda content: content + b"\0",
    "empty": lambda content: b"",
    "zeros": lambda content: bytes(len(content)),
    "a byte flipped in its checksum": flipped(0),
    "a byte flipped in its header": flipped(0.15),
    "a byte flipped in its arrays": flipped(0.7),
    "the last byte flipped": flipped(1),
    "text": lambda content: b"not a block\n",
    "objects, which need pickle": functools.partial(with_arrays, ["|O", [1, 1, 1, 1, 1, 2, 2]]),
    "larger arrays": functools.partial(with_arrays, ["<i4", [1, 1, 1, 1, 1, 2, 3]]),
    "another format": lambda content: checked(content.split(b"\n", 1)[1].replace(b"isjax block 6", b"isjax block 9")),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_block_is_trained_again_and_no_other(damage, folder, resume, uninterrupted):
    path = block_files(folder)[2]
    path.write_bytes(DAMAGE[damage](path.read_bytes()))
    study, log = resume(folder)
    same_numbers(study, uninterrupted)
    assert log.count("is trained:") == 1
    assert log.count("is restored") == NUM_BLOCKS - 1
    [warning] = log.warnings
    assert "is trained again: " in warning
    assert [path.name for path in folder.iterdir()] == ["study.nc"]


def test_a_block_under_the_name_of_another_is_not_taken_for_it(folder, resume, uninterrupted):
    first, second = block_files(folder)[:2]
    second.write_bytes(first.read_bytes())
    study, log = resume(folder)
    same_numbers(study, uninterrupted)
    assert log.count("is trained again: its file contains another block") == log.count("is trained:") == 1


def test_blocks_that_are_missing_are_trained(folder, resume, uninterrupted):
    for path in block_files(folder)[::2]:
        path.unlink()
    study, log = resume(folder)
    same_numbers(study, uninterrupted)
    assert log.count("is trained:") == log.count("is restored") == NUM_BLOCKS // 2


def test_what_was_half_written_is_cleared_away(folder, resume, uninterrupted):
    (folder / "study.blocks" / ".ab-cd.block").write_bytes(b"half")
    (folder / ".study-xyz.nc").write_bytes(b"half")
    (folder / ".isjax.lock").write_bytes(b"")  # a crash leaves the file, but no lock
    study, log = resume(folder)
    same_numbers(study, uninterrupted)
    assert log.warnings == []
    assert [path.name for path in folder.iterdir()] == ["study.nc"]


def test_another_file_in_the_folder_is_reported_and_left(folder, resume, uninterrupted):
    (folder / "study.blocks" / "thesis.txt").write_text("mine")
    study, log = resume(folder)
    same_numbers(study, uninterrupted)
    [warning] = log.warnings
    assert "thesis.txt" in warning
    assert "is not used" in warning
    assert (folder / "study.blocks" / "thesis.txt").read_text() == "mine"
    assert block_files(folder) == []


CHANGED = {
    "learning_rates": {"spec": dataclasses.replace(SPEC, learning_rates=(0.2, 0.3))},
    "key": {"key": jax.random.key(2)},
    "problems": {"problems": problem_of(0.7)},
    "versions": {},
    "settings": {},
}


@pytest.mark.parametrize("what", CHANGED)
def test_blocks_of_another_spec_key_problem_version_or_setting_are_not_taken(
    what, folder, resume, monkeypatch, problems
):
    before = {path: path.read_bytes() for path in block_files(folder)}
    if what == "versions":
        for module in (blocks, checkpoints, runner, results):
            monkeypatch.setattr(module, "versions", lambda: {"jax": "0.0.1"})
    with jax.enable_x64(True) if what == "settings" else contextlib.nullcontext():
        study, log = resume(folder, **CHANGED[what])
        alone, _ = resume(folder / "elsewhere", **CHANGED[what], resume=False)
    same_numbers(study, alone)
    assert log.count("is trained:") == NUM_BLOCKS
    assert log.warnings
    assert all(f"a block of another study, with other {what}" in text for text in log.warnings)
    assert {path: path.read_bytes() for path in block_files(folder)} == before  # nothing is lost


def test_a_study_that_grew_takes_the_blocks_that_it_shares(folder, resume, uninterrupted):
    study, log = resume(folder, spec=dataclasses.replace(SPEC, lengths=(8, 12, 16, 24)))
    assert log.count("is restored") == NUM_BLOCKS
    assert log.count("is trained:") == 2
    same_numbers(study.sel(length=[8, 16, 24]), uninterrupted)


def test_without_resume_all_is_trained_again_with_a_warning(folder, resume, uninterrupted):
    study, log = resume(folder, resume=False)
    same_numbers(study, uninterrupted)
    assert log.count("is trained:") == NUM_BLOCKS
    assert log.warnings == [
        f"6 blocks of this study in {folder}/study.blocks are trained again: resume=True (--resume) restores them"
    ]


def test_a_study_that_came_to_its_end_is_not_run_again(folder, resume):
    first, _ = resume(folder)
    again, log = resume(folder)
    xr.testing.assert_identical(again, first)
    assert log.count("study.nc is complete: there is nothing to train") == 1
    assert log.count("is trained:") == 0


@pytest.mark.parametrize("at", [0.1, 0.4, 0.6, 0.8, 0.95])
def test_a_byte_flipped_in_the_study_changes_no_number_in_silence(at, folder, resume, uninterrupted):
    resume(folder)
    path = folder / "study.nc"
    whole = isjax.study.load(path)
    path.write_bytes(flipped(at)(path.read_bytes()))
    try:
        xr.testing.assert_identical(isjax.study.load(path), whole)  # the byte was padding
    except ValueError:
        study, log = resume(folder)
        same_numbers(study, uninterrupted)
        assert log.count("the study is computed again") == 1


def test_another_study_is_replaced_at_the_end_and_only_if_this_is_said(folder, resume, uninterrupted):
    resume(folder, key=jax.random.key(9), resume=False)
    with pytest.raises(FileExistsError, match="has another spec, key, problems or versions: give overwrite=True"):
        resume(folder)
    with pytest.raises(FileExistsError, match=r"study.nc exists: give overwrite=True to replace it, resume=True"):
        resume(folder, resume=False)
    study, log = resume(folder, overwrite=True)
    same_numbers(study, uninterrupted)
    assert log.count("has another spec, key, problems or versions, and will be replaced") == 1


@contextlib.contextmanager
def files_no_larger_than(size):
    """A full disk: the system refuses what goes beyond (Python ignores the signal)."""
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limit[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)


def test_a_full_disk_at_a_block_keeps_the_others(folder, resume, uninterrupted):
    for path in block_files(folder)[:2]:
        path.unlink()
    hint = r"File too large.*; 4 of 6 blocks are saved in .*study.blocks: continue with resume=True"
    with files_no_larger_than(1000), pytest.raises(blocks.RunError, match=hint):
        resume(folder)
    assert len(list(folder.rglob("*"))) == 1 + 4  # the folder and its blocks, and nothing half-written
    study, log = resume(folder)
    same_numbers(study, uninterrupted)
    assert log.count("is trained:") == 2


def test_a_full_disk_at_the_study_keeps_all_blocks(folder, resume, uninterrupted):
    size = max(path.stat().st_size for path in block_files(folder))
    with files_no_larger_than(size), pytest.raises(blocks.RunError, match="6 of 6 blocks are saved"):
        resume(folder)
    assert len(list(folder.rglob("*"))) == 1 + NUM_BLOCKS
    study, log = resume(folder)
    same_numbers(study, uninterrupted)
    assert log.count("is trained:") == 0


def test_a_folder_that_goes_away_ends_in_one_line(folder, resume, monkeypatch):
    shutil.rmtree(folder / "study.blocks")
    (folder / "study.blocks").write_text("in the way")
    with pytest.raises(blocks.RunError, match=r"exists: .*0 of 6 blocks are saved"):
        resume(folder)


def test_a_folder_that_cannot_be_made_is_refused_before_anything_is_trained(tmp_path, resume):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError, match=r"exists|directory"):
        resume(tmp_path / "file")


def test_a_second_run_is_refused_and_the_lock_is_gone_after_the_first(folder, resume, problems, uninterrupted):
    with checkpoints.locked(folder):
        with pytest.raises(blocks.RunError, match=r"another run is writing into the folder .*: wait for it"):
            resume(folder)
        assert len(block_files(folder)) == NUM_BLOCKS
    same_numbers(resume(folder)[0], uninterrupted)


def test_a_lock_whose_file_was_removed_is_taken_anew(tmp_path):
    """One who waited for a file that its holder removed must not hold that, while another makes a new one."""
    with checkpoints.locked(tmp_path):
        (tmp_path / ".isjax.lock").unlink()
        with checkpoints.locked(tmp_path):
            assert (tmp_path / ".isjax.lock").exists()


def broken(joint=None, codes=None, features=None):
    problem = problem_of(0.8)["mine", "sufficient"]
    return problem._replace(
        **{k: v for k, v in {"joint": joint, "codes": codes, "features": features}.items() if v is not None}
    )


BAD = {
    "joint of the problem ('mine', 'biased') must be finite, got nan": broken(joint=jnp.full((8, 2), jnp.nan)),
    "joint of the problem ('mine', 'biased') sums to 16, not 1": broken(joint=jnp.full((8, 2), 1.0)),
    "joint of the problem ('mine', 'biased') must not be negative": broken(
        joint=jnp.full((8, 2), 1 / 14).at[0].set(-1 / 14)
    ),
    "features of the problem ('mine', 'biased') must be finite, got inf": broken(features=jnp.full((4, 2), jnp.inf)),
    "codes of the problem ('mine', 'biased') must be one of 0…3 for each of 8 symbols": broken(codes=jnp.full(8, 4)),
}


@pytest.mark.parametrize("message", BAD)
def test_a_bad_problem_is_refused_by_its_name_and_nothing_is_written(message, tmp_path):
    with pytest.raises(ValueError, match=re.escape(message)):
        isjax.study.run(KEY, {("mine", "biased"): BAD[message]}, SPEC, output=tmp_path / "out" / "study.nc")
    assert not list(tmp_path.iterdir())


def test_resume_needs_to_know_what(problems):
    with pytest.raises(ValueError, match="resume=True needs output"):
        isjax.study.run(KEY, problems, SPEC, resume=True)


# -- from the command line ---------------------------------------------------------------------------------------------

LENGTHS = [*map(str, range(8, 22))]
WORDS = [
    *"sweep --encoders biased --num-inputs 3 --num-relevant 2 --num-classes 2 --discriminations 0.8 --hidden 8".split(),
    *"--num-seeds 2 --num-evals 3 --lengths".split(),
    *LENGTHS,
]
CHILD = "import isjax.study.blocks, isjax.cli.main; isjax.study.blocks.MOST_STEPS = 1; isjax.cli.main.main()"


@pytest.fixture(scope="module")
def command(tmp_path_factory):
    """The command line in a process of its own, whose blocks are as small as here; the first compiles for all."""
    environment = os.environ | {
        "JAX_PLATFORMS": "cpu",
        "JAX_NUM_CPU_DEVICES": "2",
        "JAX_COMPILATION_CACHE_DIR": str(tmp_path_factory.mktemp("programs")),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "TF_CPP_MIN_LOG_LEVEL": "3",  # XLA lists the features of the machine for each program that it reads
    }

    @contextlib.contextmanager
    def start(*words):
        process = subprocess.Popen(
            [sys.executable, "-c", CHILD, *words],
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
            env=environment,
            cwd=Path(isjax.__file__).parents[1],
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()
            process.stderr.close()

    return start


def wait_for(condition, process):
    while not condition():
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.002)


def restored(err):
    return sum(int(count) for count in re.findall(r"isjax: (\d+) of \d+ blocks are restored", err))


def trained(err):
    return {line.split(":")[0].split()[2] for line in err.splitlines() if line.startswith("training block")}


def test_killed_twice_and_resumed_the_numbers_are_those_of_an_uninterrupted_run(tmp_path, command, capsys, caplog):
    words = [*WORDS, "--num-steps", "5000", "--output"]
    kept, moments, uniform = {}, [], random.Random(0).uniform  # in the first run, and in one that resumes
    for num_files in (2, 5):
        enough = max(num_files, len(kept) + 1)
        with command(*words, str(tmp_path / "killed"), "--resume") as process:
            wait_for(lambda n=enough: len(block_files(tmp_path / "killed")) >= n, process)
            moments.append(uniform(0, 0.1))  # whatever it is at then: training, or writing
            time.sleep(moments[-1])
            process.kill()
            err = process.communicate()[1]
        assert process.returncode == -signal.SIGKILL, moments
        assert restored(err) == len(kept), moments
        assert all(path.read_bytes() == content for path, content in kept.items()), moments
        kept = {path: path.read_bytes() for path in block_files(tmp_path / "killed")}
    assert 5 <= len(kept) < len(LENGTHS)
    capsys.readouterr()

    cli.main([*words, str(tmp_path / "killed"), "--resume"])
    err = capsys.readouterr().err
    assert restored(err) == len(kept)
    assert len(trained(err)) == len(LENGTHS) - len(kept)
    study = isjax.study.load(tmp_path / "killed" / "study.nc")

    cli.main([*words, str(tmp_path / "whole"), "--quiet"])
    assert capsys.readouterr() == ("", "")
    expected = isjax.study.load(tmp_path / "whole" / "study.nc")
    xr.testing.assert_allclose(study, expected, rtol=0, atol=1e-6)
    for content in kept.values():
        identity, whole = contents(content)
        [n] = identity["lengths"]
        np.testing.assert_array_equal(whole["decoder_error"], study["decoder_error"].sel(length=[n]))
    assert sorted(path.name for path in (tmp_path / "killed").iterdir()) == ["study.nc", "study.png"]


def test_ctrl_c_ends_at_once_and_says_how_to_resume(tmp_path, command, capsys):
    words = [*WORDS, "--num-steps", "5000", "--output", str(tmp_path)]
    with command(*words) as process:
        wait_for(lambda: block_files(tmp_path), process)
        process.send_signal(signal.SIGINT)
        err = process.communicate()[1]
    assert process.returncode == 1, err
    count = len(block_files(tmp_path))
    assert err.splitlines()[-1] == (
        f"isjax: interrupted: {count} of {len(LENGTHS)} blocks are saved in {tmp_path}/study.blocks: continue with "
        "resume=True (--resume)"
    )
    assert "Traceback" not in err
    cli.main([*words, "--resume"])
    err = capsys.readouterr().err
    assert restored(err) == count
    assert len(trained(err)) == len(LENGTHS) - count


def test_a_second_runner_is_refused_in_one_line_with_code_1(tmp_path, capsys):
    with checkpoints.locked(tmp_path):
        code, err = exit_of([*WORDS, "--output", str(tmp_path), "--quiet"], capsys)
    assert code == 1
    assert err.splitlines()[-1] == (
        f"isjax: another run is writing into the folder {tmp_path}: wait for it, or choose another output folder"
    )


@pytest.mark.filterwarnings("ignore:Error writing persistent compilation cache")
def test_a_full_disk_is_one_line_with_code_1(tmp_path, capsys):
    with files_no_larger_than(1000):
        code, err = exit_of([*WORDS, "--num-steps", "5000", "--output", str(tmp_path), "--quiet"], capsys)
    assert code == 1
    assert "File too large" in err
    assert err.strip().endswith("continue with resume=True (--resume)")
