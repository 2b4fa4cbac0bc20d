"""Measurements that need a GPU, within a budget of minutes: checks, speed and memory, and CIFAR-100 at full width.

`python -m reproduction.gpu prepare` packs data and packages where they are; `python -m reproduction.gpu run` measures
on a machine that has nothing but Python and torch. See docs/gpu.md.
"""
