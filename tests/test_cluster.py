"""Wherever a study is trained, its numbers are those of one process, and a worker that dies loses nothing."""

import dataclasses
import functools
import json
import math
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import distributed
import flax.linen as nn
import jax
import numpy as np
import optax
import pytest
import xarray as xr

import isjax
import isjax.study
from isjax.cli import main as cli
from isjax.study import blocks, results, runner
from tests.helpers import exit_of

SPEC = isjax.SweepSpec(
    hidden=((4,),), lengths=(8, 12, 16, 24), learning_rates=(0.1, 0.5), num_seeds=2, num_steps=6000, num_evals=2
)
NUM_BLOCKS = 8
KEY = jax.random.key(1)


@pytest.fixture(scope="module")
def programs(tmp_path_factory):
    """A folder for compiled programs."""
    return tmp_path_factory.mktemp("programs")


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch, programs):
    """Every length and rate is a block of its own; they all share a program, which worker processes compile once."""
    monkeypatch.setattr(blocks, "MOST_STEPS", 1)
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(programs))
    monkeypatch.setenv("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "3")  # XLA warns of each program that it loads


@pytest.fixture(scope="module")
def problems():
    key = jax.random.key(0)
    source = isjax.sparse_source(key, num_inputs=3, num_relevant=2, num_classes=2, discrimination=0.8)
    return {("mine", "sufficient"): source.problem("sufficient")}


@pytest.fixture(scope="module")
def here(problems):
    return isjax.study.run(KEY, problems, SPEC)


def same_numbers(study, expected):
    xr.testing.assert_allclose(study, expected, rtol=0, atol=1e-5)


def block_files(folder):
    return list(folder.glob("study.blocks/[!.]*.block"))


class Queue:
    """As submitit's executors: its jobs are no ``concurrent.futures.Future``; the last to come is the first to go."""

    def __init__(self):
        self.jobs = []

    def submit(self, fn, *args):
        self.jobs.append(Job(self, fn, args))
        return self.jobs[-1]


class Job:
    def __init__(self, queue, fn, args):
        self.queue, self.fn, self.args, self.cancelled = queue, fn, args, False

    def done(self):
        return self is self.queue.jobs[-1]

    def result(self):
        self.queue.jobs.pop()
        return self.fn(*self.args)

    def cancel(self):
        self.cancelled = True


def test_anything_that_submits_is_an_executor_in_whatever_order_it_finishes(problems, here, capsys):
    same_numbers(isjax.study.run(KEY, problems, SPEC, executor=Queue(), progress=True), here)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(":")[0] for line in lines] == [f"trained block {i} of 8" for i in range(NUM_BLOCKS, 0, -1)]
    with ThreadPoolExecutor(2) as threads:
        same_numbers(isjax.study.run(KEY, problems, SPEC, executor=threads), here)


def test_a_block_that_fails_keeps_no_other_from_being_written(problems, here, tmp_path, monkeypatch):
    def fails(work):
        if work.spec.lengths == (12,):
            raise MemoryError("no room for it")
        return blocks.train_block(work)

    monkeypatch.setattr(runner, "train_block", fails)
    message = r"failed to train 2 blocks \(MemoryError: no room for it\); 6 of 8 blocks are saved in .*study.blocks"
    with pytest.raises(blocks.RunError, match=message):
        isjax.study.run(KEY, problems, SPEC, executor=Queue(), output=tmp_path / "study.nc")
    monkeypatch.undo()
    monkeypatch.setattr(blocks, "MOST_STEPS", 1)
    same_numbers(isjax.study.run(KEY, problems, SPEC, output=tmp_path / "study.nc", resume=True), here)


def test_when_the_run_is_interrupted_what_waits_is_cancelled(problems, tmp_path):
    class Interrupted(Job):
        def result(self):
            raise KeyboardInterrupt

    queue = Queue()
    queue.submit = lambda fn, *args: queue.jobs.append(Interrupted(queue, fn, args)) or queue.jobs[-1]
    with pytest.raises(KeyboardInterrupt, match="0 of 8 blocks are saved"):
        isjax.study.run(KEY, problems, SPEC, executor=queue, output=tmp_path / "study.nc")
    assert [job.cancelled for job in queue.jobs] == [True] * (NUM_BLOCKS - 1) + [False]


def work_of(problem):
    key = blocks.PlainKey.of(KEY)
    return blocks.Work(key, jax.device_get([problem]), SPEC, blocks.settings(), blocks.versions())


def test_a_worker_with_other_versions_is_refused(problems):
    [problem] = problems.values()
    work = work_of(problem)
    with pytest.raises(blocks.RunError, match=r"a worker has .*'jax': '0"):
        blocks.train_block(work._replace(versions={"jax": "0.0.1"}))


def test_a_block_is_trained_under_the_settings_of_the_coordinator(problems):
    """As on a worker, which has the default settings."""
    [problem] = problems.values()
    with jax.enable_x64(True):
        work = work_of(problem._replace(joint=problem.joint.astype(float), features=problem.features.astype(float)))
    assert blocks.train_block(work).arrays["decoder_error"].dtype == np.float64


def kill_a_worker_when(condition, pids):
    """Kills one of the processes, as the system does when memory runs out."""

    def kill():
        deadline = time.monotonic() + 300
        while not condition() and time.monotonic() < deadline:
            time.sleep(0.002)
        os.kill(pids()[0], signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    return thread


def test_a_pool_of_processes_and_the_death_of_its_worker(problems, here, tmp_path):
    path = tmp_path / "study.nc"
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        same_numbers(isjax.study.run(KEY, problems, SPEC, executor=pool), here)
        killer = kill_a_worker_when(lambda: block_files(tmp_path), lambda: list(pool._processes))
        with pytest.raises(
            blocks.RunError, match=r"BrokenProcessPool.*blocks are saved in .*: continue with resume=True"
        ):
            isjax.study.run(KEY, problems, SPEC, executor=pool, output=path)
        killer.join()
    kept = len(block_files(tmp_path))
    assert 1 <= kept < NUM_BLOCKS
    same_numbers(isjax.study.run(KEY, problems, SPEC, output=path, resume=True), here)


WORDS = [
    *"sweep --encoders sufficient --num-inputs 3 --num-relevant 2 --num-classes 2 --discriminations 0.8".split(),
    *"--hidden 4 --lengths 8 12 16 24 --learning-rates 0.1 0.5 --num-seeds 2 --num-steps 6000 --num-evals 2".split(),
]


def test_a_cluster_whose_worker_is_killed_loses_nothing_and_the_command_line_joins_it(problems, here, tmp_path, capsys):
    with (
        distributed.LocalCluster(
            n_workers=2, processes=True, threads_per_worker=1, host="127.0.0.1", dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        pids = lambda: [worker.pid for worker in cluster.workers.values()]  # noqa: E731
        killer = kill_a_worker_when(lambda: block_files(tmp_path), pids)
        study = isjax.study.run(KEY, problems, SPEC, executor=client.get_executor(), output=tmp_path / "study.nc")
        killer.join()
        same_numbers(study, here)

        cli.main([*WORDS, "--output", str(tmp_path / "there"), "--cluster", cluster.scheduler_address])
        err = capsys.readouterr().err
        assert sorted(line.split(":")[0] for line in err.splitlines() if line.startswith("trained")) == [
            f"trained block {i} of 8" for i in range(1, NUM_BLOCKS + 1)
        ]
    cli.main([*WORDS, "--output", str(tmp_path / "here"), "--quiet"])
    same_numbers(*(isjax.study.load(tmp_path / place / "study.nc") for place in ("there", "here")))


class Residual(nn.Module):
    """A network of one's own, in a module that workers import."""

    @nn.compact
    def __call__(self, inputs):
        hidden = nn.Dense(4)(inputs)
        return nn.Dense(2)(hidden + nn.tanh(nn.Dense(4)(hidden)))


OWN = isjax.SweepSpec(
    networks={"residual": Residual(), "code": isjax.EncoderDecoder((4,), 3, 2)},
    optimizer={"residual": optax.adam, "code": functools.partial(optax.sgd, momentum=0.9)},
    lengths=(8, math.inf),
    num_seeds=1,
    num_steps=20,
    num_evals=2,
)


def test_samples_and_networks_of_ones_own_are_trained_by_workers_that_can_import_them(problems, tmp_path):
    expected = isjax.study.run(KEY, problems, OWN)
    x = np.random.default_rng(0).normal(size=(40, 3))
    samples = {("mine", f"seen {i}"): isjax.Sample(i * x, (x[:, 0] > 0).astype(int)) for i in (1, -1)}
    compared = isjax.study.run(KEY, samples, OWN)
    with (
        distributed.LocalCluster(
            n_workers=2, processes=True, threads_per_worker=1, host="127.0.0.1", dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        same_numbers(isjax.study.run(KEY, problems, OWN, executor=client.get_executor()), expected)
        same_numbers(isjax.study.run(KEY, samples, OWN, executor=client.get_executor()), compared)

    class Local(nn.Module):
        @nn.compact
        def __call__(self, inputs):
            return nn.Dense(2)(inputs)

    spec = dataclasses.replace(OWN, networks={"local": Local()}, optimizer=optax.sgd)
    with (
        ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool,
        pytest.raises(blocks.RunError, match=r"the executor failed to train 2 blocks \(.*Local.*\)") as error,
    ):
        isjax.study.run(KEY, problems, spec, executor=pool)
    assert len(str(error.value).splitlines()) == 1


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_a_scheduler_that_goes_away_ends_in_one_line(tmp_path, capsys):
    address = f"tcp://127.0.0.1:{free_port()}"
    words = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", address, "--no-dashboard"]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as scheduler:
        while "Scheduler at" not in (line := scheduler.stderr.readline()):
            assert line, "the scheduler did not start"
        gone = threading.Timer(1, scheduler.kill)
        gone.start()
        code, err = exit_of([*WORDS, "--output", str(tmp_path), "--cluster", address, "--quiet"], capsys)
    assert code == 1
    waits, last = err.splitlines()
    assert waits == f"isjax: the scheduler at {address} has no workers yet: waiting for them"
    assert "isjax: the executor failed to train 8 blocks (CancelledError); 0 of 8 blocks are saved in" in last


def test_a_cluster_that_is_not_there_is_refused_in_one_line(tmp_path, capsys, monkeypatch):
    words = [*WORDS, "--output", str(tmp_path), "--quiet", "--cluster"]
    code, err = exit_of([*words, f"tcp://127.0.0.1:{free_port()}"], capsys)
    assert code == 1
    assert "no Dask scheduler answers at tcp://127.0.0.1:" in err
    for address in ("mail://a:1", "127.0.0.1"):
        code, err = exit_of([*words, address], capsys)
        assert code == 2
        assert "cluster must be an address such as tcp://host:8786" in err
    monkeypatch.setitem(sys.modules, "distributed", None)
    code, err = exit_of([*words, "127.0.0.1:1"], capsys)
    assert code == 2
    assert "--cluster needs Dask: pip install 'isjax[cluster]'" in err
    assert not list(tmp_path.iterdir())


PROCESS = """
import json, sys, jax
address, index, folder = sys.argv[1:]
jax.distributed.initialize(address, 2, int(index))
import numpy as np, isjax, isjax.study, isjax.study.blocks
isjax.study.blocks.MOST_STEPS = 1
source = isjax.sparse_source(jax.random.key(0), num_inputs=3, num_relevant=2, num_classes=2, discrimination=0.8)
spec = isjax.SweepSpec(
    hidden=((4,),), lengths=(8, 12, 16, 24), learning_rates=(0.1, 0.5), num_seeds=2, num_steps=6000, num_evals=2
)
problems = {("mine", "sufficient"): source.problem("sufficient")}
output = folder + ("/study.nc" if index == "0" else "/nowhere/study.nc")
study = isjax.study.run(jax.random.key(1), problems, spec, output=output, resume=True, progress=True)
again = isjax.study.run(jax.random.key(1), problems, spec, output=output, resume=True)
refused = None
if index == "0":
    output = folder + "/study.nc/in the way/study.nc"
try:
    isjax.study.run(jax.random.key(1), problems, spec, output=output)
except (OSError, RuntimeError) as error:
    refused = str(error)
from tests.test_cluster import OWN
own = isjax.study.run(jax.random.key(1), problems, OWN)
numbers = [study.decoder_error.values.tolist(), own.excess_risk.values.tolist()]
print(json.dumps([jax.device_count(), *numbers, again.identical(study), refused]))
"""


def test_two_processes_as_one_program_give_the_numbers_of_one_and_the_first_writes(problems, here, tmp_path):
    half = dataclasses.replace(SPEC, lengths=(8, 24))  # what an earlier run left
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(results, "save", lambda *_: (_ for _ in ()).throw(OSError("full")))
        with pytest.raises(blocks.RunError, match="4 of 4 blocks"):
            isjax.study.run(KEY, problems, half, output=tmp_path / "study.nc")
    address = f"127.0.0.1:{free_port()}"
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PROCESS, address, str(index), str(tmp_path)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=Path(isjax.__file__).parents[1],
            env=os.environ | {"JAX_NUM_CPU_DEVICES": "1"},
        )
        for index in range(2)
    ]
    try:
        outputs = [process.communicate(timeout=300) for process in processes]
    finally:
        for process in processes:
            process.kill()
    first, second = (json.loads(out.splitlines()[-1]) for out, _ in outputs)
    own = isjax.study.run(KEY, problems, OWN)
    for num_devices, numbers, of_own_networks, is_identical, _ in (first, second):
        assert num_devices == 2
        np.testing.assert_allclose(numbers, here["decoder_error"], rtol=0, atol=1e-5)
        np.testing.assert_allclose(of_own_networks, own["excess_risk"], rtol=0, atol=1e-5)
        assert is_identical
    assert "Not a directory" in first[4]
    assert second[4] == "the first process failed; its message says why"
    assert outputs[0][1].count("training block") == NUM_BLOCKS // 2
    assert "training block" not in outputs[1][1]
    assert [path.name for path in tmp_path.iterdir()] == ["study.nc"]


class Counting:
    """An executor that finishes what it is given when it is asked, and counts what it was given."""

    def __init__(self):
        self.num_open, self.most_open = 0, 0

    def submit(self, fn, *args):
        self.num_open += 1
        self.most_open = max(self.most_open, self.num_open)
        return Counted(self, fn, args)


class Counted(Job):
    def done(self):
        return True

    def result(self):
        self.queue.num_open -= 1
        return self.fn(*self.args)


def test_an_executor_is_given_a_few_blocks_at_a_time(problems, here, monkeypatch):
    monkeypatch.setattr(runner, "_MOST_SUBMITTED", 3)
    executor = Counting()
    same_numbers(isjax.study.run(KEY, problems, SPEC, executor=executor), here)
    assert executor.most_open == 3
    same_numbers(isjax.study.run(KEY, problems, SPEC, executor=Queue()), here)


def test_an_executor_that_takes_nothing_ends_in_one_error(problems, monkeypatch):
    class Closed:
        def submit(self, *_):
            raise RuntimeError("cannot schedule new futures after shutdown")

    monkeypatch.setattr(runner, "_MOST_SUBMITTED", 3)
    with pytest.raises(blocks.RunError, match=r"failed to train 8 blocks \(RuntimeError: cannot schedule"):
        isjax.study.run(KEY, problems, SPEC, executor=Closed())
