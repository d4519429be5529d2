"""Benchmarks against other packages, in one process: ``python -m benchmarks NAME``."""
