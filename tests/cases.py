"""The measures as a table: a function of one case's arrays, its brute force, and how to draw many cases in bulk."""

import dataclasses
import math
from collections.abc import Callable

import numpy as np

import isjax
from tests.oracles import information as oracle
from tests.oracles import scoring
from tests.strategies import masses


@dataclasses.dataclass(frozen=True)
class Case:
    """A measure of arrays: distributions over all axes of ``shapes[i]``; the last, codes or rows if it says so."""

    name: str
    measure: Callable
    brute_force: Callable
    shapes: tuple[tuple[int, ...], ...]
    num_codes: int = 0  # if not zero, the last array is integer codes of the first one's rows
    rows: bool = False  # if set, the last array is rows of probabilities
    is_signed: bool = False
    infinite: Callable | None = None  # of one case's arrays: where the mathematics has an infinity
    hessian_down_to: float = 1e-37  # below which the second derivative itself is beyond float32

    def __str__(self):
        return self.name

    def draw(self, seed, num, dtype=np.float32, smallest=1e-37):
        rng = np.random.default_rng(seed)
        arrays = [masses(rng, (num, math.prod(s)), dtype, smallest=smallest).reshape(num, *s) for s in self.shapes]
        if self.rows:
            arrays[-1] = masses(rng, (num, *self.shapes[-1]), dtype, smallest=smallest)
        if self.num_codes:
            arrays.append(rng.integers(0, self.num_codes, (num, self.shapes[0][0])))
        return arrays


def _outside_support(p, q):
    return np.any((p > 0) & (q == 0))


def _disjoint_supports(p, q):
    return not np.any((p > 0) & (q > 0))


def _never_together(joint):
    return (joint == 0) & (joint.sum(1, keepdims=True) > 0) & (joint.sum(0, keepdims=True) > 0)


PAIR, JOINT, TRIPLE = ((4,), (4,)), ((3, 4),), ((2, 2, 2),)


def _of_order(kind, name, order, shapes, **options):
    return Case(
        f"{name}-{order:g}",
        lambda *a: kind(*a, order),
        lambda *a: getattr(oracle, name)(*a, order),
        shapes,
        **options,
    )


def _weighted(weight):
    return Case(
        f"jensen_shannon_divergence-{weight:g}",
        lambda p, q: isjax.jensen_shannon_divergence(p, q, weight=weight),
        lambda p, q: oracle.jensen_shannon_divergence(p, q, weight),
        PAIR,
    )


RULES = {
    "log": lambda _: isjax.log_score,
    "brier": lambda _: isjax.brier_score,
    "spherical": lambda _: isjax.spherical_score,
    "zero_one": lambda _: isjax.zero_one_score,
    "squared_error": lambda dtype: isjax.squared_error(scoring.VALUES.astype(dtype)),
}


def _scored(name, *, rows):
    options = {"shapes": ((3, 4), (3, 2)), "rows": True} if rows else {"shapes": JOINT, "num_codes": 2}
    return Case(
        f"scored_loss-{name}-{'rows' if rows else 'codes'}",
        lambda joint, encoder: isjax.scored_loss(joint, encoder, RULES[name](joint.dtype), num_codes=2),
        lambda joint, encoder: scoring.loss(name, joint, encoder, 2),
        **options,
    )


def _plain(name, shapes, **options):
    return Case(name, getattr(isjax, name), getattr(oracle, name), shapes, **options)


MEASURES = (
    _plain("entropy", ((4,),)),
    *(
        _of_order(isjax.renyi_entropy, "renyi_entropy", a, ((4,),), hessian_down_to=1e-18)
        for a in (0.3, 0, 0.9, 3, math.inf)
    ),
    *(
        _of_order(isjax.tsallis_entropy, "tsallis_entropy", a, ((4,),), hessian_down_to=1e-18)
        for a in (0.3, 0, 0.9, 3, math.inf)
    ),
    _plain("cross_entropy", PAIR, infinite=_outside_support, hessian_down_to=1e-18),
    _plain("kl_divergence", PAIR, infinite=_outside_support, hessian_down_to=1e-18),
    *(_weighted(w) for w in (0.3, 0.0)),
    *(
        _of_order(
            isjax.renyi_divergence,
            "renyi_divergence",
            a,
            PAIR,
            infinite=_outside_support if a >= 1 else _disjoint_supports,
            hessian_down_to=1e-6,
        )
        for a in (0.3, 0, 1.1, 5, math.inf)
    ),
    _plain("total_variation", PAIR),
    _plain("conditional_entropy", JOINT),
    _plain("mutual_information", JOINT),
    _plain("pointwise_mutual_information", JOINT, is_signed=True, infinite=_never_together, hessian_down_to=1e-12),
    _plain("conditional_mutual_information", TRIPLE),
    _plain("total_correlation", TRIPLE),
    _plain("dual_total_correlation", TRIPLE),
    _plain("co_information", TRIPLE, is_signed=True),
    _plain("o_information", TRIPLE, is_signed=True),
    Case(
        "mutual_information_loss-codes",
        lambda joint, codes: isjax.mutual_information_loss(joint, codes, num_codes=2),
        lambda joint, codes: oracle.mutual_information_loss(joint, codes, 2),
        JOINT,
        num_codes=2,
    ),
    Case(
        "mutual_information_loss-rows",
        isjax.mutual_information_loss,
        lambda joint, rows: oracle.mutual_information_loss(joint, rows, 2),
        ((3, 4), (3, 2)),
        rows=True,
        hessian_down_to=1e-18,
    ),
    *(_scored(name, rows=rows) for name in tuple(RULES)[1:] for rows in (False, True)),
)
ONE_OF_EACH = tuple({case.name.split("-")[0]: case for case in MEASURES[::-1]}.values())

# One of each, and of the orders those that other branches compute: the limits 0 and infinity, near one, and above it.
EXTREME = ("renyi_entropy-0", "renyi_entropy-0.9", "renyi_entropy-inf", "tsallis_entropy-0", "tsallis_entropy-inf",
    "jensen_shannon_divergence-0", "renyi_divergence-0", "renyi_divergence-5", "renyi_divergence-inf",
    "mutual_information_loss-rows", "scored_loss-brier-rows", "scored_loss-spherical-codes",
    "scored_loss-squared_error-rows")  # fmt: skip
BRANCHES = tuple(case for case in MEASURES if case in ONE_OF_EACH or case.name in EXTREME)
