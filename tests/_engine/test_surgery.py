import pytest
import torch
from torch import nn

import studygroup as sg
from helpers.networks import CASES


def test_a_name_that_matches_nothing_lists_near_matches():
    with pytest.raises(ValueError, match=r"^ResNet has no layer 'layer4\.7'.*'layer4\.0'"):
        sg.StudyGroup(CASES["resnet"].build(), sg.routes.branches(["layer4.7"], students=2))


def test_fresh_copies_differ_and_the_first_is_the_users_own():
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2))
    group = sg.StudyGroup(model, sg.routes.branches(["0", "1"], students=3))
    bank = group.model[0].bank
    assert torch.equal(bank[0].weight, model[0].weight)
    assert not torch.equal(bank[1].weight, bank[0].weight)
    assert not torch.equal(bank[2].weight, bank[1].weight)


def test_a_branch_has_parameters_of_its_own():
    case = CASES["resnet"]
    for init in ("fresh", "copy", case.build):
        group = sg.StudyGroup(case.build(), sg.routes.branches(["layer4", "fc"], students=3), init=init)
        trunk = sum(
            p.numel() for n, p in case.build().named_parameters() if not n.startswith(("layer4", "fc"))
        )
        branch = sum(p.numel() for n, p in case.build().named_parameters() if n.startswith(("layer4", "fc")))
        assert sum(p.numel() for p in group.parameters()) == trunk + 3 * branch
        assert len({p.data_ptr() for p in group.parameters()}) == len(list(group.parameters()))


def test_copies_keep_pretrained_weights():
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2))
    group = sg.StudyGroup(model, sg.routes.branches(["1"], students=2), init="copy")
    assert torch.equal(group.model[1].bank[1].weight, model[1].weight)


class Scaled(nn.Module):
    def __init__(self):
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(4))
        self.linear = nn.Linear(4, 4)

    def forward(self, x):
        return self.linear(x) * self.gamma


def test_what_cannot_be_redrawn_is_named():
    with pytest.warns(sg.FreshInitWarning, match=r"could not redraw 0\.gamma:"):
        sg.StudyGroup(
            nn.Sequential(Scaled(), nn.Linear(4, 2)), sg.routes.tree({"0": [0, 1, 2], "1": [0, 1, 2]})
        )


def drawn(scale):
    layer = nn.Linear(32, 32)
    nn.init.normal_(layer.weight)
    layer.weight.data *= scale / layer.weight.data.square().mean().sqrt()
    nn.init.zeros_(layer.bias)
    return nn.Sequential(layer, nn.Linear(32, 2))


def test_copies_that_are_drawn_at_another_scale_are_named():
    """`reset_parameters` of a linear layer draws between ±1/√32, both weight and bias: at a scale of 0.1."""
    branches = sg.routes.branches(["0", "1"], students=3)
    scale = r"reset_parameters\(\) draws at another scale than the model has: "
    both = r"0\.weight \(0\.3, and 0\.(1\d?|09\d) in copies\); 0\.bias \(0, and 0\.\d+ in copies\); pass init"
    with pytest.warns(sg.FreshInitWarning, match=scale + both):
        sg.StudyGroup(drawn(0.3), branches)
    with pytest.warns(sg.FreshInitWarning, match=scale + r"0\.bias \(0, and 0\.\d+ in copies\); pass init"):
        sg.StudyGroup(drawn(0.1), branches)
    group = sg.StudyGroup(drawn(0.3), branches, init=lambda: drawn(0.3))
    scales = [float(module.weight.detach().std()) for module in group.model[0].bank]
    assert scales == pytest.approx([0.3] * 3, rel=0.1)


def test_a_function_that_returns_another_model_is_an_error(unchecked):
    with pytest.raises(ValueError, match=r"has 'weight' of shape \(3, 4\), and the model's own"):
        sg.StudyGroup(
            nn.Sequential(nn.Linear(4, 2)),
            sg.routes.branches(["0"], students=2),
            init=lambda: nn.Sequential(nn.Linear(4, 3)),
        )
    with pytest.raises(ValueError, match="init is 'Fresh'"):
        sg.StudyGroup(nn.Linear(2, 2), sg.routes.independent(students=2), init="Fresh")


def test_a_function_that_returns_a_model_again_is_an_error(unchecked):
    model, three = nn.Linear(2, 2), sg.routes.independent(students=3)
    with pytest.raises(ValueError, match=r"init is a Linear; use .* a function that returns a new model"):
        sg.StudyGroup(model, three, init=model)
    other = nn.Linear(2, 2)
    for one in (model, other):  # the user's own at once, another the second time
        with pytest.raises(ValueError, match="init returned the same Linear again"):
            sg.StudyGroup(model, three, init=lambda one=one: one)
    with pytest.raises(
        ValueError, match=r"^what init returned is None; give a function that returns a new model$"
    ):
        sg.StudyGroup(model, three, init=lambda: None)


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.body, self.out = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4)
        self.out.weight = self.embed.weight

    def forward(self, x):
        return self.out(self.body(self.embed(x)))


def test_tied_weights_that_copies_would_untie_are_an_error():
    with pytest.raises(ValueError, match=r"'out\.weight'.*tied to 'embed\.weight'"):
        sg.StudyGroup(Tied(), sg.routes.branches(["out"], students=2))
    sg.StudyGroup(Tied(), sg.routes.branches(["body"], students=2), share_head=True)  # the tie stays whole


def test_a_tie_outside_the_banks_survives_training_and_export():
    group = sg.StudyGroup(Tied(), sg.routes.branches(["body"], students=2), share_head=True)
    network = group.export(1)
    assert network.out.weight is network.embed.weight
    assert list(network.state_dict()) == list(Tied().state_dict())


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.again = self.first
        self.head = nn.Linear(4, 2)

    def forward(self, x):
        return self.head(self.again(self.first(x)))


def test_one_layer_under_two_names():
    with pytest.raises(ValueError, match="two names of one layer"):
        sg.StudyGroup(Twice(), sg.routes.branches(["first", "again"], students=2))
    group = sg.StudyGroup(Twice(), sg.routes.branches(["first", "head"], students=2))
    x = torch.randn(3, 4)
    network = group.export(1)
    assert network.first is network.again
    torch.testing.assert_close(group(x).logits[1], network(x))


def test_settings_of_a_routed_layer_can_be_read_but_not_its_tensors():
    group = sg.StudyGroup(nn.Sequential(nn.Conv2d(3, 3, 1, stride=2)), sg.routes.branches(["0"], students=2))
    assert group.model[0].stride == (2, 2)
    with pytest.raises(AttributeError, match="another tensor for every student"):
        _ = group.model[0].weight
    with pytest.raises(AttributeError, match="nothing_like_it"):
        _ = group.model[0].nothing_like_it


def test_a_routed_layer_outside_its_group_is_an_error():
    group = sg.StudyGroup(nn.Sequential(nn.Linear(4, 2)), sg.routes.branches(["0"], students=2))
    with pytest.raises(ValueError, match="call the StudyGroup"):
        group.model(torch.randn(2, 4))


def test_torchs_own_transformer_encoder():
    def build():
        layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
        return nn.Sequential(
            nn.TransformerEncoder(layer, 2, enable_nested_tensor=False), Mean(), nn.Linear(8, 3)
        )

    group = sg.StudyGroup(build(), sg.routes.branches(["0.layers.1", "2"], students=2), init=build).eval()
    x = torch.randn(4, 5, 8)
    with torch.no_grad():
        for student in range(2):
            torch.testing.assert_close(
                group(x).logits[student], group.export(student).eval()(x), atol=1e-5, rtol=1e-5
            )


class Mean(nn.Module):
    def forward(self, x):
        return x.mean(1)


def test_a_body_in_common_is_allowed_where_heads_are_new():
    body = nn.Linear(6, 8)

    def make() -> nn.Module:
        return nn.Sequential(body, nn.ReLU(), nn.Linear(8, 3))

    group = sg.StudyGroup(make(), sg.routes.independent(students=3), init=make)
    bodies, heads = ([group.export(k)[layer].weight for k in range(3)] for layer in (0, 2))
    assert all(torch.equal(bodies[0], one) for one in bodies)
    assert len({one.sum().item() for one in heads}) == 3
