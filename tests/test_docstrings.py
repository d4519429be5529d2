"""Every public name says what it is: summary, arguments, result, errors, source, example; and the examples run."""

import dataclasses
import doctest
import inspect
import re

import jax
import jax.numpy as jnp
import pytest

import isjax
from isjax import blocks, checkpoints, measurement, plotting, results, runner, tables

FUNCTIONS = [name for name in isjax.__all__ if inspect.isfunction(getattr(isjax, name))]
CLASSES = [name for name in isjax.__all__ if inspect.isclass(getattr(isjax, name))]
SECTIONS = ("Args", "Returns", "Raises", "Source", "Examples", "Attributes")


def sections(doc):
    """The text of each section of a Google docstring."""
    parts = re.split(rf"^({'|'.join(SECTIONS)}):\n", doc, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def summary(doc):
    return doc.split("\n\n")[0]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_function(name):
    function = getattr(isjax, name)
    doc = inspect.getdoc(function) or ""
    parameters = inspect.signature(inspect.unwrap(function)).parameters
    found = sections(doc)
    assert summary(doc)
    assert "\n" not in summary(doc)
    assert summary(doc).endswith(".")
    assert {"Raises", "Source", "Examples"} <= set(found)
    assert "Returns" in found or inspect.unwrap(function).__annotations__["return"] is None
    if parameters:
        arguments = re.findall(r"^  (\w+):", found["Args"], flags=re.MULTILINE)
        assert arguments == list(parameters)
    assert ">>>" in found["Examples"]
    if "Array" in str(inspect.signature(inspect.unwrap(function))):
        assert re.search("shape|scalar", doc)
    if "base" in parameters:
        assert re.search(r"^  base: .*nats if None", found["Args"], flags=re.MULTILINE)


@pytest.mark.parametrize("name", CLASSES)
def test_class(name):
    """Summary and source; every field in ``Attributes`` or with a docstring of its own; methods and properties too."""
    cls = getattr(isjax, name)
    doc = inspect.getdoc(cls) or ""
    assert "\n" not in summary(doc)
    assert summary(doc).endswith(".")
    assert "Source" in sections(doc)
    own = cls.__annotations__ if not dataclasses.is_dataclass(cls) else [f.name for f in dataclasses.fields(cls)]
    fields = [f for f in own if f not in ("parent", "name") and not f.startswith("_")]
    assert fields
    documented = re.findall(r"^  (\w+):", sections(doc).get("Attributes", ""), flags=re.MULTILINE)
    source = inspect.getsource(cls)
    documented += re.findall(r'^    (\w+): .*\n    """', source, flags=re.MULTILINE)
    assert not set(fields) - set(documented)
    for member_name, member in vars(cls).items():
        is_own = not member_name.startswith("_") and member_name not in fields and f"def {member_name}(" in source
        if is_own and (isinstance(member, property) or inspect.isfunction(member)):
            assert inspect.getdoc(member), member_name


def test_public_names_are_functions_and_classes():
    assert sorted(FUNCTIONS + CLASSES) == sorted(isjax.__all__)


PUBLIC = {name: getattr(isjax, name) for name in isjax.__all__}
SHELL = {
    f"{module.__name__}.{name}": getattr(module, name)
    for module in (blocks, checkpoints, measurement, plotting, results, runner, tables)
    for name in module.__all__
    if getattr(module, name).__module__ == module.__name__
}
EXAMPLES = {
    test.name: test
    for name, thing in {**PUBLIC, **SHELL}.items()
    for test in doctest.DocTestFinder(exclude_empty=True).find(thing, name, globs={**PUBLIC, "jax": jax, "jnp": jnp})
    if test.examples
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_run(name):
    lines = []
    result = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(EXAMPLES[name], out=lines.append)
    assert result.failed == 0, "".join(lines)
    assert result.attempted > 0 or all(doctest.SKIP in example.options for example in EXAMPLES[name].examples)


def test_every_function_has_an_example_that_was_collected():
    assert set(FUNCTIONS) <= set(EXAMPLES)
    assert {name for name, thing in SHELL.items() if inspect.isfunction(thing)} <= set(EXAMPLES)
