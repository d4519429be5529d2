"""The tests, and the run-time checker of annotations, for which a float may be an int, as PEP 484 says: ``base=2``."""

from beartype import BeartypeConf, beartype

typechecker = beartype(conf=BeartypeConf(is_pep484_tower=True))
