"""Training mode is compared where something asks for the mode, and left out where nothing does."""

import warnings

import pytest
import torch
from torch import nn

import studygroup as sg
from helpers.training_way import CLASSES, Net

PLAIN = nn.Module.__dict__.get("training")


class Torchs(Net):
    """Modules of torch that ask for their mode, and do the same for every row in both."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.more = nn.Sequential(nn.BatchNorm1d(8), nn.Dropout(0.5), nn.AlphaDropout(0.1), nn.LayerNorm(8))

    def forward(self, x):
        return self.fc(self.more(self.encoder(self.body(self.stem(x))[:, None])[:, 0]))


class AsksItself(Torchs):
    def forward(self, x):
        return super().forward(x) * (2 if self.training else 1)


class AsksAnother(Torchs):
    def forward(self, x):
        return super().forward(x) * (2 if self.more[1].training else 1)


class AsksByName(Torchs):
    def forward(self, x):
        return super().forward(x) * (2 if getattr(self, "train" + "ing") else 1)


class Inherits(nn.Dropout):
    def forward(self, x):
        return super().forward(x) * (2 if self.training else 1)


class AsksInside(Torchs):
    def __init__(self):
        super().__init__()
        self.more[1] = Inherits(0.5)


class Function(Torchs):
    def forward(self, x):
        return nn.functional.dropout(super().forward(x), 0.5, self.training)


def asking_hook() -> nn.Module:
    net = Torchs()
    net.more[1].register_forward_hook(lambda module, args, output: output * (2 if module.training else 1))
    return net


class Scripted(Torchs):
    def __init__(self):
        super().__init__()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # scripts are deprecated, and still met
            self.script = torch.jit.script(nn.Dropout(0.5))

    def forward(self, x):
        return self.script(super().forward(x))


def modes(build, *, layers=("fc",)) -> list[bool]:
    """The modes in which the network has been run by the comparison."""
    group = sg.StudyGroup(build(), sg.routes.branches(list(layers), students=2), init="copy").train()
    seen = []
    group.model.stem.register_forward_hook(lambda module, args, output: seen.append(vars(module)["training"]))
    group(torch.randn(4, 6))
    assert seen.pop()  # the pass itself
    return sorted(set(seen))


@pytest.mark.parametrize("layers", [("fc",), ("more", "fc"), ("body", "encoder", "more", "fc")])
def test_modules_of_torch_alone_are_compared_in_evaluation(layers):
    assert modes(Torchs, layers=layers) == [False]


@pytest.mark.parametrize(
    "build", [AsksItself, AsksAnother, AsksByName, AsksInside, Function, Scripted, asking_hook]
)
def test_what_asks_for_the_mode_is_compared_in_training_too(build):
    assert modes(build) == [False, True]


class Blocks(Net):
    """Stochastic depth of torchvision and timm, and attention of transformers."""

    def __init__(self):
        super().__init__()
        torchvision, timm = pytest.importorskip("torchvision.ops"), pytest.importorskip("timm.layers")
        self.drops = nn.Sequential(torchvision.StochasticDepth(0.5, "row"), timm.DropPath(0.5))
        bert = pytest.importorskip("transformers")
        sizes = {"num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
        self.bert = bert.BertModel(bert.BertConfig(vocab_size=9, hidden_size=8, **sizes))

    def forward(self, x):
        h = self.drops(self.body(self.stem(x)))
        return self.fc(self.bert(inputs_embeds=h[:, None]).last_hidden_state[:, 0])


def test_blocks_of_other_libraries_are_known():
    assert modes(Blocks, layers=("body", "fc")) == [False]


def test_nothing_is_left_on_torchs_modules():
    assert modes(AsksItself) == [False, True]
    group = sg.StudyGroup(nn.Sequential(nn.Linear(5, CLASSES)), sg.routes.branches(["0"], students=2))
    with pytest.raises(ValueError, match="cannot take"):
        group(torch.randn(4, 6))
    assert nn.Module.__dict__.get("training") is PLAIN is None
    module = nn.Linear(2, 2)
    module.training = False
    assert vars(module)["training"] is False
