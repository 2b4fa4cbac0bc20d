"""Answers and losses as trees of tensors."""

from dataclasses import dataclass

import torch
from torch.utils._pytree import tree_flatten, tree_map, tree_unflatten

from studygroup._engine.trees import as_tree
from studygroup.losses import Losses
from studygroup.outputs import Outputs

SEES = torch.ones(2, 3, dtype=torch.bool)


def test_the_tensors_of_answers_are_found_and_put_back():
    own = {
        name: torch.full((2, 3), float(n)) for n, name in enumerate(("logits", "features", "trunk", "layer"))
    }
    own["trunk"] = own["trunk"][0]
    answers = Outputs(own["logits"], SEES, own["features"], own["trunk"], {"0": own["layer"]})
    leaves, tree = tree_flatten(answers)
    assert [id(leaf) for leaf in leaves] == [
        id(own[name]) for name in ("logits", "features", "trunk", "layer")
    ]
    again = tree_unflatten([leaf + 10 for leaf in leaves], tree)
    assert again.sees is SEES
    found = (again.logits, again.features, again.trunk, again.activations["0"])
    assert [float(value.unique()) for value in found] == [10, 11, 12, 13]


def test_the_tensors_of_losses_are_found_and_put_back():
    losses = Losses(torch.tensor(3.0), {"supervised": torch.tensor([1.0, 2.0])}, torch.zeros(2, 3, 4))
    twice = tree_map(lambda tensor: 2 * tensor + 1, losses)
    assert float(twice.total) == 7
    assert twice.values["supervised"].tolist() == [3, 5]
    assert torch.equal(twice.logits, torch.ones(2, 3, 4))


def test_two_trees_are_not_taken_for_one():
    first, second = (tree_flatten(Outputs(torch.zeros(2, 3), SEES))[1] for _ in range(2))
    assert first != second


def test_a_class_of_ones_own_is_taken_apart_by_the_fields_that_are_named():
    @dataclass(frozen=True)
    class Own:
        first: torch.Tensor
        word: str
        more: dict[str, torch.Tensor]

    as_tree(Own, "more", "first")
    leaves, tree = tree_flatten(Own(torch.ones(2), "w", {"a": torch.zeros(3)}))
    assert [leaf.tolist() for leaf in leaves] == [[0, 0, 0], [1, 1]]
    again = tree_unflatten([1, 2], tree)
    assert (again.first, again.word, again.more) == (2, "w", {"a": 1})
