"""Benchmarks, each a script: `python reproduction/benchmarks/NAME.py`."""
