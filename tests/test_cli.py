"""The command line, as a person uses it: what it prints, what it leaves, and how it refuses."""

import os
import subprocess
import sys

import pytest

import isjax
import isjax.data
import isjax.study
from isjax.cli import main as cli
from isjax.study import results
from tests.helpers import exit_of

SMALL_GRID = ["--hidden 8 4,4", "--lengths 16 64", "--num-seeds 2", "--num-steps 20", "--num-evals 3"]
SMALL = [*SMALL_GRID, "--num-inputs 4", "--num-relevant 2"]


def sweep(words, options=SMALL):
    """A sweep with some options, and those of a small study that are not among them."""
    others = [option for option in options if option.split()[0] not in words.split()]
    return ["sweep", *" ".join(others).split(), *words.split()]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """What a small study leaves."""
    path = tmp_path_factory.mktemp("run") / "made" / "deep"
    cli.main(sweep(f"--output {path} --name mine"))
    return path


def test_sweep_leaves_the_numbers_and_the_figure_and_nothing_else(folder):
    assert sorted(file.name for file in folder.iterdir()) == ["mine.nc", "mine.png"]
    study = isjax.study.load(folder / "mine.nc")
    assert study["network"].values.tolist() == ["8", "4,4"]
    assert study["width"].values.tolist() == [8, 4]
    assert study.sizes["problem"] == 6
    assert study["problem"].values[2] == ("sparse d=4 k=2 δ=0.5", "biased")
    assert study.sel(encoder="biased")["source"].values.tolist() == ["sparse d=4 k=2 δ=0.5", "sparse d=4 k=2 δ=0.8"]
    assert (folder / "mine.png").read_bytes().startswith(b"\x89PNG")


def test_show_prints_a_table_that_a_person_can_read(folder, capsys):
    cli.main(["show", str(folder / "mine.nc")])
    out = capsys.readouterr().out
    for word in ("sparse d=4 k=2 δ=0.8", "identity", "sufficient", "biased", "loss", "4,4", "compiling took", "n*"):
        assert word in out
    assert "…" not in out
    study = isjax.study.load(folder / "mine.nc")
    assert f"{float(study['last_excess_risk'].mean('seed')[0, 0, 0, 0]):.3f}" in out
    assert max(map(len, out.splitlines())) <= 80


COMMANDS = ["", "sweep", "sweep invariant", "sweep digital", "measure", "rank", "bottleneck", "plot", "show", "doctor"]


@pytest.mark.parametrize("command", COMMANDS)
def test_help_fits_into_80_columns_and_names_one_type_for_an_option(command, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as stop:
        cli.main([*command.split(), "--help"])
    out = capsys.readouterr().out
    assert stop.value.code == 0
    assert max(map(len, out.splitlines())) <= 80
    assert "None}" not in out
    assert "|" not in out.replace("I(X;Y|U)", "")


def test_a_study_is_not_replaced_unless_this_is_said(folder, capsys):
    before = (folder / "mine.nc").read_bytes()
    code, err = exit_of(sweep(f"--output {folder} --name mine --seed 1"), capsys)
    assert code == 2
    assert err == (
        f"isjax: {folder / 'mine.nc'} exists: give --overwrite to replace it, --resume to continue it, "
        "or --name for another name\n"
    )
    code, err = exit_of(sweep(f"--output {folder} --name mine --seed 1 --resume"), capsys)
    assert code == 2
    assert "has another spec, key, problems or versions: give --overwrite to replace it" in err
    assert (folder / "mine.nc").read_bytes() == before


def test_options_have_the_defaults_of_python():
    command = cli._parse(["sweep"])
    assert command.spec == isjax.SweepSpec(num_steps=2000, rules=("log", "zero_one"))  # and prints the accuracy
    assert cli._parse(["sweep", "invariant"]).source.group == "cyclic"
    measured = cli._parse(["measure", "file.csv", "--target", "y"])
    assert measured.spec == isjax.data.MeasureSpec(target="y", inputs=())


def test_plot_draws_again(folder, tmp_path):
    cli.main(["plot", str(folder / "mine.nc"), "--output", str(tmp_path / "again.pdf")])
    assert (tmp_path / "again.pdf").read_bytes().startswith(b"%PDF")


def test_epochs_take_the_place_of_the_default_steps(tmp_path):
    options = [option for option in SMALL if option != "--num-steps 20"]
    cli.main(sweep(f"--num-epochs 2 --hidden 4 --encoders biased --output {tmp_path}", options))
    assert isjax.study.load(tmp_path / "study.nc")["steps"].values[0, :, -1].tolist() == [2, 4]


SOURCES = {
    "invariant L=4 symmetric": "invariant --length 4 --group symmetric",
    "robust": "robust",
    "digital 3×3 K=4": "digital --grid 3 --num-cells 4",
}


@pytest.mark.parametrize("name", SOURCES)
def test_every_kind_of_source_is_a_study(name, tmp_path, capsys):
    words = "--hidden 4 --lengths 16 --num-seeds 1 --num-steps 5 --num-evals 2 --discriminations 0.9 --num-classes 2"
    cli.main(["sweep", *words.split(), *SOURCES[name].split(), "--output", str(tmp_path)])  # the source in the middle
    study = isjax.study.load(tmp_path / "study.nc")
    assert study["problem"].values.tolist() == [(f"{name} δ=0.9", e) for e in ("identity", "sufficient", "biased")]
    assert study["encoder_bias"].values[1] < 1e-9 < study["encoder_bias"].values[2]
    assert f"{name} δ=0.9" in capsys.readouterr().out


def test_from_a_shell_a_second_study_of_the_same_shapes_finds_its_programs_compiled(tmp_path):
    """In processes of their own: the third adds no program to those that the second kept; the first keeps none."""
    words = sweep(f"--hidden 5 --encoders biased --output {tmp_path}")
    environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path / "cache"), "JAX_PLATFORMS": "cpu"}
    environment.pop("JAX_COMPILATION_CACHE_DIR", None)
    kept = []
    for more in (["--no-keep-programs", "--quiet"], ["--overwrite"], ["--overwrite", "--seed", "1", "--quiet"]):
        done = subprocess.run(
            [sys.executable, "-m", "isjax", *words, *more], capture_output=True, text=True, env=environment, check=False
        )
        assert done.returncode == 0, done.stderr
        if "--quiet" in more:
            assert done.stdout == done.stderr == ""
        else:
            assert done.stdout.startswith("8 networks (2 problems × 4) on ")
            assert done.stderr.startswith("compiling block 1 of 1: ")
        kept.append({p.name for p in (tmp_path / "cache").rglob("*-cache") if "sweep" in p.name})
    assert kept[0] == set()
    assert len(kept[1]) == 1
    assert kept[2] == kept[1]
    assert (tmp_path / "study.png").exists()


def test_doctor_finds_nothing_wrong(capsys):
    cli.main(["doctor"])
    out = capsys.readouterr().out
    assert "jaxlib" in out
    assert "no known fault" in out


def test_doctor_fails_where_products_come_out_wrong(monkeypatch, capsys):
    monkeypatch.setattr(cli, "_fused_products_are_correct", lambda: False)
    code, err = exit_of(["doctor"], capsys)
    assert code == 1
    assert "returns wrong numbers" in err


@pytest.mark.parametrize("source", ["", "sparse", "invariant", "robust", "digital"])
def test_help_lists_every_field_of_the_spec_and_fits_80_columns(source, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as stop:
        cli.main(["sweep", *source.split(), "--help"])
    assert stop.value.code == 0
    out = capsys.readouterr().out
    for field in isjax.SweepSpec.__dataclass_fields__:
        assert f"--{field.replace('_', '-')} " in out
    assert max(map(len, out.splitlines())) <= 80


REFUSED = {
    "digital --num-relevant 2": "--num-relevant (applied to isjax sweep digital)",
    "--group cyclic": "--group (applied to isjax sweep",
    "digital --grid 2 --num-cells 5": "num_cells=5, but the grid has only 4 points",
    "invariant --length 0": "length must be at least 1, got 0",
    "invariant --length": "length must name at least one value",
    "sideways": "Unrecognized options: sideways",
    "--lengths 0": "lengths must be at least 1, got 0",
    "--batch-sizes 0": "batch_sizes must be at least 1, got 0",
    "--discriminations 1.2": "discrimination must lie in [0, 1], got 1.2",
    "--num-relevant 12": "num_relevant=12, but there are only num_inputs=4 inputs",
    "--num-steps 20 --num-epochs 2": "give one of num_steps and num_epochs, got both",
    "--num-steps None": "give one of num_steps and num_epochs, got neither",
    "--num-evals 30": "num_evals=30, but there are only num_steps=20 steps",
    "--learning-rates -1": "learning_rates must be positive and finite, got -1",
    "--hidden 0": "hidden must be at least 1, got 0",
    "--num-classes 9": "num_classes=9, but there are only 4 codes to label",
    "--lengths": "lengths must name at least one value",
    "--encoders": "encoders must name at least one value",
    "--name a/b": "name must be that of a file",
    "--output {file}": "cannot write into the folder",
    "--num-seeds many": "Error parsing --num-seeds",
    "--frob 1": "Unrecognized",
}


@pytest.mark.parametrize("words", REFUSED)
def test_bad_input_is_refused_in_one_line_with_code_2_and_nothing_written(words, tmp_path, capsys):
    file = tmp_path / "file"
    file.write_text("in the way")
    output = "" if "--output" in words else f" --output {tmp_path}/out"
    options = SMALL if words.startswith("--") else SMALL_GRID
    code, err = exit_of(sweep(words.format(file=file) + output, options), capsys)
    assert code == 2
    assert REFUSED[words] in err
    assert not list(tmp_path.glob("out/*"))


@pytest.mark.parametrize("command", ["show", "plot"])
def test_a_file_that_is_not_ours_is_refused(command, tmp_path, capsys, folder):
    import xarray as xr

    (tmp_path / "text.nc").write_text("not NetCDF")
    xr.Dataset({"a": 1}).to_netcdf(tmp_path / "foreign.nc", engine="h5netcdf")
    (tmp_path / "cut.nc").write_bytes((folder / "mine.nc").read_bytes()[:5000])
    for name, message in (
        ("text.nc", "is not a NetCDF file"),
        ("foreign.nc", "is not a study of isjax"),
        ("cut.nc", "is not a NetCDF file"),
        ("none.nc", "there is no file"),
    ):
        code, err = exit_of([command, str(tmp_path / name)], capsys)
        assert code == 2
        assert message in err


@pytest.fixture
def people(tmp_path):
    """A file of 6 symbols and 2 or 3 classes, with a missing value in one column and fractions in another."""
    kinds = [("ant", "no"), ("bee", "yes"), ("cat", "yes"), ("dog", "no"), ("elk", "yes"), ("fox", "no")]
    rows = [f"{kind},{tells if i % 4 else 'maybe'},{i},{i / 7},same" for i in range(8) for kind, tells in kinds]
    path = tmp_path / "people.csv"
    path.write_text("\n".join(["kind,answer,number,share,constant", *rows, ",yes,1,0.5,same"]) + "\n")
    return path


def bottleneck(path, *words, target="answer", output="out"):
    folder = path.parent / output
    cli.main(["bottleneck", str(path), "--input", "kind", "--target", target, "--output", str(folder), *words])
    return folder


def test_bottleneck_prints_the_losses_and_leaves_codes_and_figure(people, capsys):
    folder = bottleneck(people, "--num-codes", "9", "--missing", "drop", "--num-betas", "6", "--name", "mine")
    assert sorted(file.name for file in folder.iterdir()) == ["mine.csv", "mine.png"]
    assert (folder / "mine.png").read_bytes().startswith(b"\x89PNG")
    lines = (folder / "mine.csv").read_text().splitlines()
    assert lines[0] == "symbol,probability,k=2,k=3,k=4,k=5,k=6"
    assert [line.split(",")[0] for line in lines[1:]] == ["ant", "bee", "cat", "dog", "elk", "fox"]
    assert [line.split(",")[2] for line in lines[1:]] == ["0", "1", "1", "0", "1", "0"]  # two kinds of kinds
    out = capsys.readouterr().out
    assert "48 rows (1 dropped for a missing value), X = kind (6 symbols), Y = answer (3)" in out
    losses = [float(line.split()[1]) for line in out.splitlines() if line.strip()[:1].isdigit() and "%" in line]
    assert len(losses) == 6
    assert losses[0] > 0.1
    assert max(losses[1:]) < 1e-6
    assert "wrote" in out


def test_bottleneck_of_a_constant_says_so(people, capsys):
    folder = bottleneck(
        people, "--num-codes", "2", "--missing", "symbol", "--num-betas", "2", target="constant", output="constant"
    )
    assert (folder / "people-bottleneck.csv").read_text().splitlines()[-1].startswith("(missing),")
    out = capsys.readouterr().out
    assert "constant is constant: I(X;Y) is zero" in out
    assert "nan" not in out


BOTTLENECK_REFUSED = {
    "--num-codes 2": "column 'kind' misses 1 of 49 values: drop those rows (--missing drop)",
    "--num-codes 0 --missing drop": "num_codes must be at least 1, got 0",
    "--num-codes 2 --missing drop --target share": "column 'share' is continuous (it holds 0.142857): leave it out",
    "--num-codes 2 --missing drop --target age": "has no column 'age', only 'kind', 'answer'",
    "--num-codes 2 --missing drop --num-betas 1": "num_betas must be at least 2, got 1",
    "--num-codes 2 --missing drop --name a/b": "name must be that of a file",
    "--num-codes 2 --missing ignore": "invalid choice",
    "--missing drop": "--num-codes",
}


@pytest.mark.parametrize("words", BOTTLENECK_REFUSED)
def test_bottleneck_refuses_bad_input_in_one_line_with_code_2(people, words, capsys):
    with pytest.raises(SystemExit) as stop:
        bottleneck(people, *words.split())
    assert stop.value.code == 2
    err = capsys.readouterr().err
    assert BOTTLENECK_REFUSED[words] in err
    assert "Traceback" not in err
    assert not (people.parent / "out").exists()


def test_a_failure_of_the_work_is_one_line_and_code_1_and_its_blocks_stay(monkeypatch, tmp_path, capsys):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(results, "save", full)
    code, err = exit_of(sweep(f"--encoders biased --output {tmp_path}"), capsys)
    assert code == 1
    last = err.splitlines()[-1]
    assert "No space left on device" in last
    assert f"2 of 2 blocks are saved in {tmp_path}/study.blocks: continue with resume=True (--resume)" in last
    assert [file.name for file in tmp_path.iterdir()] == ["study.blocks"]
