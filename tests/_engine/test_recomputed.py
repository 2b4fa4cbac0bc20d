"""Switches of activation checkpointing, as libraries of networks name them."""

import pytest
from torch import nn

from studygroup._engine.recomputed import Switches, way_out


@pytest.mark.parametrize("flag", ["grad_checkpointing", "gradient_checkpointing"])
def test_what_is_on_is_told_by_its_number(flag):
    net = nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.ReLU()), nn.Linear(2, 2))
    assert way_out(net) == ""
    setattr(net[0], flag, False)
    setattr(net[1][0], flag, False)
    switches = Switches(net)
    assert switches.on == ()
    assert way_out(net) == ""
    setattr(net[1][0], flag, True)
    assert switches.on == (1,)
    assert way_out(net) == (
        "; activation checkpointing is on, and may call its parts: try without, set_grad_checkpointing(False)"
    )
