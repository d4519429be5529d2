"""Results are shown in a few lines, in notebooks as tables, and are otherwise what they were."""

import copy
import html.parser
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import isjax
import isjax.data
import isjax.study
from isjax import _display
from isjax.data import columns
from tests.helpers import public_names

pytestmark = pytest.mark.fast

KEY = jax.random.key(0)
JOINT = np.random.default_rng(0).dirichlet(np.ones(400)).reshape(200, 2).astype(np.float32)
SOURCE = isjax.sparse_source(KEY, num_inputs=6, num_relevant=2, num_classes=2, discrimination=0.8)
SPEC = isjax.SweepSpec(hidden=((4,),), lengths=(8, 16), num_seeds=2, num_steps=8, num_evals=3)
MEASURE_SPEC = isjax.data.MeasureSpec(target="y", inputs=("x",), encoders=("half",))
COLUMNS = {"x": np.arange(400) % 4, "y": np.arange(400) % 2, "half": np.arange(400) % 4 // 2}
SHOWN = {
    "Bottleneck": lambda: isjax.information_bottleneck(KEY, JOINT, 3.0, num_codes=2),
    "Quantizer": lambda: isjax.optimal_quantizer(JOINT, num_codes=3),
    "Projection": lambda: isjax.sufficient_projection(JOINT, np.zeros(200, int)),
    "Draws": lambda: isjax.sample(KEY, JOINT, 1000),
    "CompactCodes": lambda: isjax.compact_codes(np.arange(100)),
    "EncodedLabels": lambda: isjax.encode_labels(np.array(["<b>red</b>", "blue"])),
    "FunctionalRepresentation": lambda: isjax.functional_representation(np.full((9, 3), 1 / 3, "f4")),
    "RiskDecomposition": lambda: isjax.risk_decomposition(JOINT, np.log(np.full((200, 2), 0.5, "f4"))),
    "ScoringRule": lambda: isjax.squared_error(np.arange(20)),
    "Interval": lambda: isjax.Interval(jnp.float32(0.5), jnp.float32(0.25), jnp.float32(0.75)),
    "SufficiencyTest": lambda: isjax.sufficiency_test(
        KEY, COLUMNS["x"], COLUMNS["y"], COLUMNS["half"], shape=(4, 2, 2)
    ),
    "Source": lambda: SOURCE,
    "Problem": lambda: SOURCE.problem("identity"),
    "SweepSpec": lambda: SPEC,
    "TrainConfig": lambda: isjax.TrainConfig(num_steps=20),
    "SweepResult": lambda: isjax.sweep(KEY, [SOURCE.problem("biased")], SPEC),
    "ScoredRisk": lambda: isjax.sweep(
        KEY, [SOURCE.problem("biased")], isjax.SweepSpec(hidden=((4,),), rules=("brier",), lengths=(8,), num_steps=16)
    ).under("brier"),
    "Trace": lambda: isjax.train(
        KEY, SOURCE.problem("biased"), 8, 0.1, network=isjax.MLP((4,), 2), config=isjax.TrainConfig(num_steps=16)
    ),
    "Sample": lambda: isjax.Sample(np.eye(64, dtype="f4"), np.arange(64) % 2),
    "CrossValidation": lambda: isjax.cross_validate(
        KEY,
        {"<b>": isjax.Sample(np.eye(64, dtype="f4"), np.arange(64) % 2)},
        isjax.SweepSpec(hidden=((4,),), lengths=(20,), num_steps=16),
    ),
    "LayerLosses": lambda: isjax.LayerLosses(*(jnp.zeros((3, 64)) for _ in range(5))),
    "Measurement": lambda: isjax.data.measure(KEY, COLUMNS, MEASURE_SPEC),
    "MeasureSpec": lambda: MEASURE_SPEC,
}


class Cells(html.parser.HTMLParser):
    """The texts of well-formed HTML."""

    def __init__(self, text):
        super().__init__()
        self.open, self.texts = [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        assert tag in ("table", "caption", "tr", "th", "td", "code")
        self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


@pytest.mark.parametrize("name", SHOWN)
def test_a_result_is_shown_in_a_few_lines(name):
    shown = SHOWN[name]()
    lines = repr(shown).splitlines()
    assert lines[0].startswith(name)
    assert len(lines) <= 12
    assert max(map(len, lines)) <= 110
    assert Cells(shown._repr_html_()).texts


def test_every_public_class_of_results_is_shown_so():
    classes = {
        name
        for name, thing in public_names().items()
        if isinstance(thing, type) and (hasattr(thing, "_fields") or hasattr(thing, "__dataclass_fields__"))
    }
    assert classes - set(SHOWN) == {"MLP", "EncoderDecoder"}  # as Flax shows them


def test_the_numbers_one_looks_for_are_there():
    parts = SHOWN["RiskDecomposition"]()
    assert f"risk                 {float(parts.risk):.4g}" in repr(parts)
    source = repr(SOURCE)
    assert "joint               float32[64, 2], 0.00" in source
    assert f"mutual_information  {float(SOURCE.mutual_information):.4g}" in source
    assert "diverged             bool[1, 1, 1, 1, 2, 2], 0 true" in repr(SHOWN["SweepResult"]())
    assert "4 … " not in _display.describe(np.full(3, np.nan))
    assert _display.describe(np.array([0.5, np.nan] * 10)) == "float64[20], 0.5 … 0.5, 10 nan"
    assert _display.describe(jnp.ones(40, jnp.bfloat16)) == "bfloat16[40], 1 … 1"
    assert _display.describe(np.zeros((0, 3))) == "float64[0, 3]"
    assert _display.describe(np.zeros(10**6)) == "float64[1000000]"
    assert _display.describe(jax.random.split(KEY, 9)) == "key<fry>[9]"


def test_options_are_shown_as_the_call_that_makes_them():
    assert repr(SPEC) == ("SweepSpec(num_steps=8, num_evals=3, hidden=((4,),), lengths=(8, 16), num_seeds=2)")
    assert eval(f"isjax.{SPEC!r}") == SPEC
    assert eval(f"isjax.{isjax.TrainConfig(num_epochs=3)!r}") == isjax.TrainConfig(num_epochs=3)
    assert eval(f"isjax.data.{MEASURE_SPEC!r}") == MEASURE_SPEC


def test_nothing_is_computed_of_traced_abstract_or_absent_values():
    texts = []
    jax.jit(lambda source: texts.append(repr(source)) or source.joint)(SOURCE)
    jax.vmap(lambda p: texts.append(repr(isjax.RiskDecomposition(p, p, p))) or p)(jnp.ones(3))
    texts.append(repr(jax.eval_shape(lambda: isjax.optimal_quantizer(JOINT, num_codes=3))))
    quantizer = isjax.optimal_quantizer(JOINT, num_codes=3)
    texts.append(repr(jax.tree.map(lambda _: None, quantizer)))
    texts.append(repr(jax.tree.map(lambda _: "axis", quantizer)))
    jax.jit(lambda spec: texts.append(repr(spec)) or jnp.ones(()))(SPEC)
    assert "  joint         float32[64, 2]\n" in texts[0]
    assert "  encoder_bias         float32[]" in texts[1]
    assert "  codes       int32[200]" in texts[2]
    assert "  codes       None" in texts[3]
    assert len(texts) == 6


@pytest.mark.parametrize(
    "leaf",
    [None, "axis", np.array(["a"] * 9), np.zeros(9, complex), np.complex64(1j), np.zeros(9, "M8[s]"), object(), {}],
    ids=("none", "text", "texts", "complex numbers", "complex", "dates", "object", "dictionary"),
)
@pytest.mark.parametrize("name", ["Quantizer", "RiskDecomposition", "Draws"])
def test_a_result_is_shown_whatever_its_leaves(name, leaf):
    shown = SHOWN[name]()
    shown = shown._replace(**dict.fromkeys(shown._fields, leaf))
    assert repr(shown).startswith(name)
    assert Cells(shown._repr_html_()).texts


def test_a_deleted_array_is_shown_by_its_shape():
    array = jnp.arange(3.0)
    array.delete()
    assert _display.describe(array) == "float32[3]"


def test_stacked_and_long_specs_are_shown():
    assert repr(jax.tree.map(lambda value: np.array([value, value]), SPEC)).startswith("SweepSpec(")
    long = isjax.SweepSpec(lengths=tuple(range(1, 40)), num_steps=16, hidden=((32, 32), (64, 64)))
    assert len(repr(long).splitlines()) == 5
    assert eval(f"isjax.{long!r}") == long


def test_a_measurement_shows_its_amounts():
    lines = repr(SHOWN["Measurement"]()).splitlines()
    assert any(line.startswith("  information       plug_in 0.6931, corrected 0.6") for line in lines)
    assert any(line.startswith("  losses            half ") for line in lines)


def test_what_is_shown_is_escaped():
    table = SHOWN["EncodedLabels"]()._repr_html_()
    assert "<b>" not in table
    assert "&lt;b&gt;" in table


def test_tuples_and_trees_are_what_they_were():
    parts = SHOWN["RiskDecomposition"]()
    assert parts == copy.copy(parts) == pickle.loads(pickle.dumps(parts))
    assert list(parts._asdict()) == list(parts._fields)
    assert isinstance(jax.tree.map(lambda a: a, parts), isjax.RiskDecomposition)
    assert hash(SPEC) == hash(eval(f"isjax.{SPEC!r}"))


def test_a_table_of_columns_is_shown_by_its_columns():
    column = columns.Column(np.zeros(1000, int), ("a",) * 9)
    table = columns.Table({f"c{i}": column for i in range(30)}, 1000, 3)
    assert repr(column) == "Column of 1000 rows, 9 symbols: a, a, a, a, …"
    lines = repr(table).splitlines()
    assert lines[0] == "Table of 1000 rows, 3 dropped"
    assert lines[-1] == "  and 22 more columns"


def test_a_figure_is_a_picture_in_a_notebook():
    study = isjax.study.run(KEY, {("a", "biased"): SOURCE.problem("biased")}, SPEC)
    assert isjax.study.figure(study)._repr_png_().startswith(b"\x89PNG")
