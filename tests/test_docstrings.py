"""Public names document themselves: summary, arguments, result, fields; examples run as pasted into a new session."""

import dataclasses
import doctest
import importlib
import inspect
import pkgutil
import re
from pathlib import Path

import pytest

import isjax
import isjax._shell
import isjax.data
import isjax.estimation
import isjax.study
from tests.helpers import public_names

ROOT = Path(__file__).parent.parent
SECTIONS = ("Args", "Returns", "Raises", "Source", "Examples", "Attributes")


def documented(package, names):
    """The functions and classes of a package among these names."""
    things = {f"{package.__name__}.{name}": getattr(package, name) for name in names}
    return {name: thing for name, thing in things.items() if inspect.isfunction(thing) or inspect.isclass(thing)}


def exported(package):
    return documented(package, getattr(package, "__all__", [name for name in vars(package) if name[0] != "_"]))


def own(module):
    """What a module defines and lists in ``__all__``."""
    things = documented(module, getattr(module, "__all__", []))
    return {name: thing for name, thing in things.items() if thing.__module__ == module.__name__}


def modules(package):
    return [
        importlib.import_module(f"{package.__name__}.{info.name}") for info in pkgutil.iter_modules(package.__path__)
    ]


PUBLIC = documented(isjax, public_names()) | exported(isjax.study) | exported(isjax.data) | exported(isjax.estimation)
SHORTHANDS = {f"isjax.MLP{width}" for width in (32, 256, 1024)}  # their summary is their definition
FUNCTIONS = {name: thing for name, thing in PUBLIC.items() if inspect.isfunction(thing) and name not in SHORTHANDS}
CLASSES = {name: thing for name, thing in PUBLIC.items() if inspect.isclass(thing)}
PACKAGES = (isjax.study, isjax.data, isjax.estimation, isjax._shell)
INTERNAL = {name: thing for package in PACKAGES for module in modules(package) for name, thing in own(module).items()}


def sections(doc):
    """The text of each section of a Google docstring."""
    parts = re.split(rf"^({'|'.join(SECTIONS)}):\n", doc, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def is_summarised(doc):
    summary = doc.split("\n\n")[0]
    return summary.endswith(".") and "\n" not in summary


@pytest.mark.parametrize("name", FUNCTIONS)
def test_function(name):
    function = inspect.unwrap(FUNCTIONS[name])
    doc = inspect.getdoc(function) or ""
    parameters = inspect.signature(function).parameters
    found = sections(doc)
    assert is_summarised(doc)
    assert "Returns" in found or function.__annotations__["return"] is None
    if parameters:
        arguments = re.findall(r"^  (\w+):", found["Args"], flags=re.MULTILINE)
        assert arguments == list(parameters)
    assert ">>>" in found["Examples"]
    if "Array" in str(function.__annotations__):
        assert re.search(r"shape|scalar|``\[", doc)
    if "base" in parameters:
        assert re.search(r"^  base: .*nats if None", found["Args"], flags=re.MULTILINE)


@pytest.mark.parametrize("name", CLASSES)
def test_class(name):
    """Every field in ``Attributes`` or with a docstring of its own; methods and properties too."""
    cls = CLASSES[name]
    doc = inspect.getdoc(cls) or ""
    assert is_summarised(doc)
    own = cls.__annotations__ if not dataclasses.is_dataclass(cls) else [f.name for f in dataclasses.fields(cls)]
    fields = [f for f in own if f not in ("parent", "name") and not f.startswith("_")]
    assert fields
    listed = re.findall(r"^  (\w+):", sections(doc).get("Attributes", ""), flags=re.MULTILINE)
    source = "".join(inspect.getsource(base) for base in cls.__mro__ if base.__module__.startswith("isjax."))
    listed += re.findall(r'^    (\w+): .*\n    """', source, flags=re.MULTILINE)
    assert not set(fields) - set(listed)
    for member_name, member in vars(cls).items():
        is_own = not member_name.startswith("_") and member_name not in fields and f"def {member_name}(" in source
        if is_own and (isinstance(member, property) or inspect.isfunction(member)):
            assert inspect.getdoc(member), member_name


EXAMPLES = {
    test.name: test
    for name, thing in {**INTERNAL, **PUBLIC}.items()
    for test in doctest.DocTestFinder().find(thing, name, globs={})
    if test.examples
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_run_as_they_stand(name):
    """In a namespace that holds nothing: the imports are part of the example."""
    lines = []
    result = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(EXAMPLES[name], out=lines.append)
    assert result.failed == 0, "".join(lines)
    assert result.attempted > 0 or all(doctest.SKIP in example.options for example in EXAMPLES[name].examples)


def test_every_public_function_has_an_example_that_was_collected():
    assert set(FUNCTIONS) <= set(EXAMPLES)
    assert any(name.startswith("isjax.Source.") for name in EXAMPLES)  # methods too


def test_no_docstring_or_page_jits_a_function_of_the_package():
    """They jit themselves, so they are shown as they are called."""
    names = "|".join(name for name in public_names() if f"isjax.{name}" in FUNCTIONS)
    jitted = re.compile(rf"jit\((?:lambda [^:]*:\s*)?(?:isjax\.)?({names})\b")
    pages = {str(page): page.read_text() for page in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]}
    docstrings = {name: inspect.getdoc(thing) or "" for name, thing in {**INTERNAL, **PUBLIC}.items()}
    examples = {str(path): path.read_text() for path in (ROOT / "examples").glob("*.py")}
    assert [name for name, text in (pages | docstrings | examples).items() if jitted.search(text)] == []
    assert all(map(jitted.search, ("jax.jit(isjax.sweep, static_argnames='mesh')", "jit(lambda key: isjax.train(key")))
