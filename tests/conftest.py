"""Shapes and types in the annotations are checked while the tests run, and only then."""

import torch
from jaxtyping import install_import_hook

install_import_hook("studygroup", "beartype.beartype")

torch.set_num_threads(1)  # the tests' networks are tiny: more threads only wait for each other
