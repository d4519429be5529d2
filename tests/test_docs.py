"""The site builds in strict mode, its search finds every public name, and the pages' code prints what they say."""

import doctest
import inspect
import json
import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import isjax
from isjax.cli.main import main
from tests.helpers import public_names

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
BLOCK = re.compile(
    r"^```python\n(?P<code>.*?)^```\n(?:\n```text\n(?P<output>.*?)^```\n)?"
    r"|^```console\n\$ isjax (?P<command>[^\n]*)\n(?P<printed>.*?)^```\n",
    re.MULTILINE | re.DOTALL,
)
DECIMAL = re.compile(r"\d+\.\d+")
PAGES = sorted(str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md") if BLOCK.search(page.read_text()))


@pytest.mark.parametrize("page", PAGES)
def test_the_code_of_a_page_prints_what_the_page_says(page, tmp_path, monkeypatch, capsys):
    """Blocks run in one namespace, and print the text that follows them, up to the last digit of decimals."""
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    for block in BLOCK.finditer((DOCS / page).read_text()):
        if block["command"]:
            main(shlex.split(block["command"]))
        else:
            exec(block["code"], names)
        printed = re.sub(" +$", "", capsys.readouterr().out, flags=re.MULTILINE)
        stated = block["printed"] or block["output"] or ""
        assert DECIMAL.sub("#", printed) == DECIMAL.sub("#", stated)
        for number, shown in zip(DECIMAL.findall(printed), DECIMAL.findall(stated), strict=True):
            assert abs(float(number) - float(shown)) < 2 * 10.0 ** -len(shown.partition(".")[2])


@pytest.mark.parametrize("name", sorted(public_names()))
def test_help_prints_a_short_signature(name):
    public = public_names()[name]
    if isinstance(public, isjax.ScoringRule) or (isinstance(public, type) and issubclass(public, str | int)):
        return
    assert "jaxtyping" not in str(inspect.signature(public))
    assert "->" not in str(inspect.signature(public))


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site, built in strict mode: a link, an anchor or a picture that does not exist is an error."""
    folder = tmp_path_factory.mktemp("site")
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    done = subprocess.run(build, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_search_finds_every_public_name_on_the_page_of_its_module(site):
    sections = json.loads((site / "search" / "search_index.json").read_text())["docs"]
    found = {(section["title"], section["location"]) for section in sections}
    modules = {name: thing.__module__.split(".")[1] for name, thing in public_names().items()}
    modules |= {"run": "study", "load": "study", "save": "study"}
    modules |= {"read": "data", "measure": "data", "MeasureSpec": "data"}
    needed = {(name, f"reference/{module}/#isjax.{module}.{name}") for name, module in modules.items()}
    needed.add(("figure", "reference/study/#isjax.study.figure.figure"))
    assert needed - found == set()


def test_the_reference_shows_no_private_names_and_no_methods_for_jax_alone(site):
    anchors = re.findall(r'id="(isjax\.[^"]*)"', "".join(page.read_text() for page in site.glob("reference/*/*.html")))
    assert "isjax.sweeps.SweepSpec.num_members" in anchors
    hidden = re.compile(r"\._[a-z]|\.(tree_flatten\w*|tree_unflatten|__post_init__)$")
    assert [anchor for anchor in anchors if hidden.search(anchor)] == []
    for page in site.glob("reference/*/index.html"):
        assert re.findall(r"<code>_[a-z]\w*</code>", page.read_text()) == [], page


def test_formulas_of_docstrings_reach_the_browser(site):
    page = (site / "reference" / "divergences" / "index.html").read_text()
    assert re.search(r'<div class="arithmatex">\\\[\s*D\(p \\\| q\) = \\sum_i', page)
    for page in site.rglob("*.html"):
        assert not re.search(r"(\.\. |:)math:|\$\$", page.read_text()), page


@pytest.mark.parametrize(
    ("word", "page"), [("cite", "citing/"), ("install", "installation/"), ("unnormalised", "reference/#common-errors")]
)
def test_search_finds_a_word_that_a_newcomer_tries(site, word, page):
    sections = json.loads((site / "search" / "search_index.json").read_text())["docs"]
    assert page in [each["location"] for each in sections if word in (each["title"] + each["text"]).lower()]


def test_pages_load_nothing_from_elsewhere(site):
    """Scripts, styles, fonts and pictures are part of the site, so that it reads the same without a network."""
    address = re.compile(r'<(?:script|img|link rel="(?:stylesheet|icon)")\b[^>]*? (?:src|href)="([^"]*)"')
    for page in site.rglob("*.html"):
        loaded = address.findall(page.read_text())
        assert loaded
        assert not [each for each in loaded if re.match(r"(https?:)?//", each)]


def test_every_module_has_a_page():
    """Except the internal ones; the command line has one, and the index is the contents."""
    modules = {path.stem for path in (ROOT / "isjax").iterdir() if path.is_dir() or path.suffix == ".py"}
    modules = {name for name in modules if not name.startswith("_")} - {"cli"}
    assert modules == {path.stem for path in (DOCS / "reference").glob("*.md")} - {"index", "command-line"}


def test_every_example_has_an_entry_in_the_gallery():
    entries = re.findall(r"^## .* \{#(\w+)\}$", (DOCS / "gallery.md").read_text(), flags=re.MULTILINE)
    assert {path.stem for path in (ROOT / "examples").glob("*.py")} == set(entries)


def test_no_page_example_or_docstring_jits_what_jits_itself():
    """Sweeps and solvers are called as they are."""
    jitted = re.compile(r"jit\(\s*(?:isjax\.)?(?:sweep|train|\w*bottleneck\w*|\w*quantizer\w*|\w*projection)\b")
    pages = [*DOCS.rglob("*.md"), *ROOT.glob("*.md"), *ROOT.glob("examples/*.py"), *ROOT.glob("isjax/**/*.py")]
    assert [page for page in pages if jitted.search(page.read_text())] == []
    assert jitted.search("jax.jit(isjax.sweep, static_argnames='mesh')")


def test_mathematics_of_sphinx_becomes_that_of_the_site():
    dollars = runpy.run_path(str(DOCS / "sphinx_math.py"))["dollars"]
    results = doctest.DocTestRunner().run(*doctest.DocTestFinder().find(dollars, "dollars", globs={"dollars": dollars}))
    assert results == (0, 1)
    with pytest.raises(ValueError, match="holds an escape sequence"):
        dollars(".. math:: \arg x")
