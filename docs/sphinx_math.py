"""Converts the mathematics of docstrings from Sphinx's notation to that of the site's Markdown."""

import re

import griffe

_BLOCK = re.compile(r"^(?P<indent>[ ]*)\.\. math::[ ]*(?P<tex>.*(?:\n[ ]*\S.*)*)", re.MULTILINE)
_INLINE = re.compile(r":math:`(?P<tex>[^`]+)`")


def dollars(text: str) -> str:
    r"""Replaces ``.. math::`` by ``$$`` and ``:math:`` by ``$``; a formula ends at the first empty line.

    Examples:
      >>> dollars("The entropy\n\n.. math:: H(p) =\n          \\log 2\n\nof :math:`p`.")
      'The entropy\n\n$$\nH(p) = \\log 2\n$$\n\nof $p$.'
    """

    def block(match: re.Match[str]) -> str:
        indent, tex = match["indent"], " ".join(match["tex"].split())
        if not tex.isprintable():
            raise ValueError(f"the formula {tex!r} holds an escape sequence: make its docstring a raw string")
        return f"{indent}$$\n{indent}{tex}\n{indent}$$"

    return _INLINE.sub(lambda match: f"${match['tex']}$", _BLOCK.sub(block, text))


class SphinxMath(griffe.Extension):
    """Converts every docstring before it is parsed."""

    def on_instance(self, *, obj: griffe.Object, **_: object) -> None:
        """Called for each object that is loaded."""
        if obj.docstring:
            obj.docstring.value = dollars(obj.docstring.value)
