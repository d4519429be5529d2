"""Prepares docstrings for the site: Sphinx's mathematics becomes Markdown, and methods for JAX alone are left out."""

import re

import griffe

_BLOCK = re.compile(r"^(?P<indent>[ ]*)\.\. math::[ ]*(?P<tex>.*(?:\n[ ]*\S.*)*)", re.MULTILINE)
_INTERNAL = {"__post_init__", "tree_flatten", "tree_flatten_with_keys", "tree_unflatten"}
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
        if obj.name in _INTERNAL:
            obj.docstring = None  # the site shows only what has one
        if obj.docstring:
            obj.docstring.value = dollars(obj.docstring.value)
