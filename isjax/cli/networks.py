"""Networks and optimisers as words of a command line."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import optax

from isjax import _checks
from isjax.networks import MLP, EncoderDecoder

__all__ = ["OPTIMIZERS", "as_networks"]

OPTIMIZERS: dict[str, Callable[[Any], optax.GradientTransformation]] = {
    "sgd": optax.sgd,
    "momentum": functools.partial(optax.sgd, momentum=0.9),
    "adam": optax.adam,
    "adamw": optax.adamw,
}

_FORMS = "write 32, 256,256, linear, tanh:32, encoder-decoder:32/8 (8 soft codes) or hard:32/8 (8 hard codes)"


def as_networks(words: Sequence[str]) -> dict[str, Callable[[int], nn.Module]]:
    """A network for each word, as a function of the number of classes: ``256,256``, ``tanh:32`` or ``hard:32/8``.

    After the widths of the encoder come the number of codes and, if there are any, the widths of the decoder:
    ``encoder-decoder:32/8/16``.

    Args:
      words: of the command line.

    Returns:
      Functions of the number of classes, by the words.

    Raises:
      ValueError: if a word is none of these.

    Examples:
      >>> from isjax.cli.networks import as_networks
      >>> as_networks(["hard:32/8"])["hard:32/8"](4).num_codes
      8
    """
    if repeated := [word for i, word in enumerate(words) if word in words[:i]]:
        raise ValueError(f"networks must name each network once, got {repeated[0]} twice")
    return {word: _as_network(word) for word in words}


def _as_network(word: str) -> Callable[[int], nn.Module]:
    kind, _, shape = word.rpartition(":")
    parts = shape.split("/")
    try:
        hidden = () if parts[0] == "linear" else _checks.as_widths(tuple(map(int, parts[0].split(","))))
        if len(parts) == 1 and kind not in ("encoder-decoder", "soft", "hard"):
            network = functools.partial(MLP, hidden, activation=kind or "relu")
            network(2)
            return network
        quantisation = {"hard": "hard", "soft": "soft", "encoder-decoder": "soft", "": "soft"}[kind]
        after = _checks.as_widths(tuple(map(int, parts[2].split(",")))) if len(parts) > 2 else ()
        options = {"decoder_hidden": after, "quantisation": quantisation}
        network = functools.partial(EncoderDecoder, hidden, int(parts[1]), **options)
        network(2)
    except (IndexError, KeyError, TypeError, ValueError):
        raise ValueError(f"the network {word} cannot be read: {_FORMS}") from None
    return network
