"""Who may import whom, and what ``import isjax`` does: load what it must, and nothing else."""

import ast
import json
import pathlib
import subprocess
import sys

import pytest

import isjax

pytestmark = pytest.mark.fast

PACKAGE = pathlib.Path(isjax.__file__).parent
# A module may import those of the layers before its own, and a module in a folder the others of that folder.
THEORY = [
    {"_typing"},
    {"_numerics", "_display"},
    {"_checks"},
    {"distributions"},
    {"encoders", "entropies", "divergences", "informations", "scoring"},
    {"sufficiency"},
    {"_solvers"},
    {"projection", "quantizers"},
    {"bottleneck"},
    {"sources", "estimation"},
]
LEARNING = [{"networks"}, {"training"}, {"sweeps", "probe"}, {"cross_validation"}]
SHELL = [{"_shell"}, {"study", "data"}, {"cli"}, {"__main__"}]
LAYERS = THEORY + LEARNING + SHELL
OF_THEORY, OF_SHELL = set().union(*THEORY), set().union(*SHELL)


def name_of(path):
    """``study.runner`` for ``isjax/study/runner.py``, ``study`` for ``isjax/study/__init__.py``."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


MODULES = {name_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def imports(module):
    """The modules that a module imports, anywhere in it, as dotted names."""
    for node in ast.walk(ast.parse(MODULES[module].read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} has a relative import"
            yield from [f"isjax.{alias.name}" for alias in node.names] if node.module == "isjax" else [node.module]


def of_isjax(module):
    """The topics of isjax that a module imports: ``study`` for ``isjax.study.runner``."""
    return {name.split(".")[1] for name in imports(module) if name.startswith("isjax.")}


def of_others(module):
    return {name.split(".")[0] for name in imports(module)} - {"isjax"} - sys.stdlib_module_names


@pytest.mark.parametrize("module", MODULES)
def test_module_imports_only_what_it_may(module):
    if module == "__init__":
        assert not of_isjax(module) & OF_SHELL
        return
    topic = module.split(".")[0]
    [level] = [i for i, layer in enumerate(LAYERS) if topic in layer]
    own = {topic} if (PACKAGE / topic).is_dir() else set()
    assert of_isjax(module) <= set().union(*LAYERS[:level]) | own | {"__version__"}


@pytest.mark.parametrize("module", [name for name in MODULES if name.split(".")[0] in OF_THEORY])
def test_theory_imports_jax_numpy_and_jaxtyping_alone(module):
    assert of_others(module) <= {"jax", "jaxlib", "numpy", "jaxtyping"}


def test_every_module_has_its_layer():
    assert set().union(*LAYERS) | {"__init__"} == {name.split(".")[0] for name in MODULES}
    assert "encoders" in of_isjax("sources")  # the walk sees what there is


def top_level_names(module):
    """The names that a module defines, and those that it lists in ``__all__``."""
    defined, listed = set(), set()
    for node in ast.parse(MODULES[module].read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            defined.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = {name.id for target in targets for name in ast.walk(target) if isinstance(name, ast.Name)}
            if names == {"__all__"}:
                listed.update(ast.literal_eval(node.value))
            defined |= names
    return {name for name in defined if not name.startswith("_")}, listed


@pytest.mark.parametrize("module", [name for name in MODULES if not name.startswith("_") and "._" not in name])
def test_unprefixed_names_are_those_listed(module):
    """In a module whose own name is not underscored, what is not in ``__all__`` is underscored."""
    defined, listed = top_level_names(module)
    assert defined <= listed


@pytest.mark.parametrize("module", MODULES)
def test_no_module_imports_an_underscored_name_of_another(module):
    for node in ast.walk(ast.parse(MODULES[module].read_text())):
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("isjax"):
            within = node.module.removeprefix("isjax").lstrip(".")
            private = [alias.name for alias in node.names if alias.name.startswith("_")]
            assert not [name for name in private if f"{within}.{name}".lstrip(".") not in MODULES], module


PROBE = """
import json, logging, os, sys, warnings
import jax, flax, flax.linen, numpy, optax
from jaxtyping import PyTree
state = lambda: (
    {k: repr(v) for k, v in jax.config.values.items()}, numpy.geterr(), logging.root.level, len(logging.root.handlers),
    {k: (v.level, len(v.handlers)) for k, v in logging.root.manager.loggerDict.items() if hasattr(v, "handlers")},
    numpy.get_printoptions()["precision"], warnings.filters[:], dict(os.environ),
)
modules, before = set(sys.modules), state()
import isjax
names = {name.split(".")[0] for name in set(sys.modules) - modules}
print(json.dumps({
    "third_party": sorted(names - set(sys.stdlib_module_names) - {"isjax"}),
    "isjax": sorted(name for name in sys.modules if name.startswith("isjax.")),
    "backends": jax._src.xla_bridge.backends_are_initialized(),
    "changed": [i for i, (a, b) in enumerate(zip(before, state())) if a != b],
}))
"""


def test_import_loads_no_shell_creates_no_array_and_changes_no_setting():
    result = subprocess.run(
        [sys.executable, "-c", PROBE], capture_output=True, text=True, check=True, cwd=PACKAGE.parent
    )
    seen = json.loads(result.stdout)
    assert seen["third_party"] == []
    assert not OF_SHELL & {name.split(".")[1] for name in seen["isjax"]}
    assert "isjax.sweeps" in seen["isjax"]
    assert seen["backends"] is False
    assert seen["changed"] == []


HELP = """
import contextlib, gc, json, sys
from isjax.__main__ import main
with contextlib.suppress(SystemExit):
    main(["--help"])
print(json.dumps({"loaded": [name for name in ("matplotlib", "pandas", "polars") if name in sys.modules],
    "collects": gc.isenabled(), "frozen": gc.get_freeze_count() > 0}))
"""


def test_help_waits_for_no_large_library_and_garbage_is_collected_thereafter():
    result = subprocess.run([sys.executable, "-c", HELP], capture_output=True, text=True, check=True)
    seen = json.loads(result.stdout.splitlines()[-1])
    assert seen == {"loaded": [], "collects": True, "frozen": True}
