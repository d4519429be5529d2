"""The command line: a thin layer over ``isjax.study`` and ``isjax.data``."""
