"""The answers of a group: logits of every student, and what was asked for besides."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from studygroup._engine.capture import Layer, Pieces
from studygroup._engine.products import Product
from studygroup._engine.rows import BatchLayout
from studygroup._engine.selection import to_device
from studygroup._engine.trees import as_tree


@dataclass(frozen=True)
class Outputs:
    """The answers of a group.

    Attributes:
        logits: zero where a student did not see the row; with further axes for a dense network.
        sees: which student saw which row, on the CPU.
        features: the input of the head, zero where a student did not see the row.
        trunk: the input of the first routed layer, which all students share; zero where no student saw the row.
        activations: outputs of named layers (of their last call), zero where a student did not see the row.
        in_flight: outputs of layers as they stand in flight: rows and tensor of each module.
        products: the convolutions of these layers by weight, see `_engine.products`.
        layout: what those rows stand for.
    """

    logits: Float[Tensor, "students rows *classes"]
    sees: Bool[Tensor, "students rows"]
    features: Float[Tensor, "students rows *features"] | None = None
    trunk: Shaped[Tensor, "rows *trunk"] | None = None
    activations: Mapping[str, Shaped[Tensor, "students rows *_"]] = field(default_factory=dict)
    in_flight: Mapping[Layer, Pieces] = field(default_factory=dict)
    products: Mapping[Tensor, Sequence[Product]] = field(default_factory=dict)
    layout: BatchLayout | None = None

    def all_see_all(self) -> bool:
        """Tell whether every student saw every row."""
        return bool(self.sees.all()) if self.layout is None else self.layout.manner == "all"

    def part(self, sees: Bool[Tensor, "students rows"]) -> "Outputs":
        """Return a part of the answers, zero elsewhere, as if nothing else had been computed.

        Captures in flight are left out.

        Args:
            sees: the part to keep, among the rows that were seen; a CPU table.
        """

        def masked(values: Tensor) -> Tensor:
            mask = to_device(sees, values.device)
            return torch.where(mask.view(*mask.shape, *[1] * (values.ndim - 2)), values, 0)

        features = None if self.features is None else masked(self.features)
        activations = {name: masked(values) for name, values in self.activations.items()}
        return Outputs(masked(self.logits), sees, features, self.trunk, activations)


as_tree(Outputs, "logits", "features", "trunk", "activations")
