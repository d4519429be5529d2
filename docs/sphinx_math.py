"""Docstrings write mathematics as Sphinx does; the site's Markdown writes it between dollars."""

import re

import griffe

_BLOCK = re.compile(r"^(?P<indent>[ ]*)\.\. math::[ ]*(?P<tex>.*(?:\n[ ]*\S.*)*)", re.MULTILINE)
_INLINE = re.compile(r":math:`(?P<tex>[^`]+)`")


def dollars(text: str) -> str:
    r"""Turns ``.. math::`` and ``:math:`` into ``$$`` and ``$``; a formula ends at the first empty line.

    Examples:
      >>> dollars("The entropy\n\n.. math:: H(p) =\n          \\log 2\n\nof :math:`p`.")
      'The entropy\n\n$$\nH(p) = \\log 2\n$$\n\nof $p$.'
    """

    def block(match: re.Match[str]) -> str:
        indent, tex = match["indent"], " ".join(match["tex"].split())
        if not tex.isprintable():
            raise ValueError(f"an escape was eaten: make the docstring raw (r''') that holds {tex!r}")
        return f"{indent}$$\n{indent}{tex}\n{indent}$$"

    return _INLINE.sub(lambda match: f"${match['tex']}$", _BLOCK.sub(block, text))


class SphinxMath(griffe.Extension):
    """Rewrites every docstring before it is parsed."""

    def on_instance(self, *, obj: griffe.Object, **_: object) -> None:
        """Called for each object that is read."""
        if obj.docstring:
            obj.docstring.value = dollars(obj.docstring.value)
