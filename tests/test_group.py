import copy
import pickle
import subprocess
import sys

import pytest
import torch
from torch import nn

import studygroup as sg
from helpers.networks import CASES, CLASSES, OURS, Case
from studygroup.objectives import Capture

BOTH = Capture(features=True, trunk=True)


def grouped(case: Case, routes: sg.Routes, **options) -> sg.StudyGroup:
    torch.manual_seed(0)
    group = sg.StudyGroup(case.build(), routes, init=case.build, **options)
    norms = {m: m.momentum for m in group.modules() if isinstance(m, nn.BatchNorm2d)}
    for norm in norms:  # running statistics that fit, so that logits in eval are of size 1 and say something
        norm.momentum = 1.0
        norm.weight.data[norm.weight == 0] = 0.5  # blocks that begin as the identity would be equal
    with torch.no_grad():
        group(case.inputs(16))
    for norm, momentum in norms.items():
        norm.momentum = momentum
    return group


def shuffled_owners(rows: int, students: int) -> torch.Tensor:
    """One student a row, in no order."""
    owner = torch.arange(rows) % students
    return owner[torch.randperm(rows, generator=torch.Generator().manual_seed(3))]


def rows_of(inputs, index):
    if isinstance(inputs, torch.Tensor):
        return inputs[index]
    return {key: value[index] for key, value in inputs.items()}


def answer(network: nn.Module, inputs) -> torch.Tensor:
    with torch.no_grad():
        out = network(**inputs) if isinstance(inputs, dict) else network(inputs)
    return getattr(out, "logits", out)


@pytest.fixture(params=CASES | OURS)
def case(request) -> Case:
    return (CASES | OURS)[request.param]


def random_group(case: Case, **options) -> sg.StudyGroup:
    routes = sg.routes.random(case.blocks, students=4, modules=2, seed=1)
    return grouped(case, routes, share_head=True, **options)


def branch_group(case: Case) -> sg.StudyGroup:
    return grouped(case, sg.routes.branches(case.branch, students=3))


@pytest.mark.parametrize("make", [random_group, branch_group])
def test_a_students_logits_are_the_exported_networks(case, make):
    group = make(case).eval()
    inputs = case.inputs(5)
    with torch.no_grad():
        logits = group(inputs).logits
    original = case.build()
    for student in range(group.students):
        network = group.export(student).eval()
        torch.testing.assert_close(answer(network, inputs), logits[student], atol=1e-5, rtol=1e-5)
        assert type(network) is type(original)
        assert list(network.state_dict()) == list(original.state_dict())
    assert (logits[0] - logits[1]).abs().max() > 1e-2  # the students do differ


def test_shuffled_owners_meet_their_own_rows(case):
    """The trap: grouping rows by module permutes them while their number stays the same."""
    group = random_group(case).eval()
    inputs = case.inputs(9)
    owner = shuffled_owners(9, 4)
    with torch.no_grad():
        outputs = group(inputs, sees=torch.arange(4)[:, None] == owner)
    for row, student in enumerate(owner.tolist()):
        alone = answer(group.export(student).eval(), rows_of(inputs, slice(row, row + 1)))
        torch.testing.assert_close(outputs.logits[student, row], alone[0], atol=1e-5, rtol=1e-5)
    assert not outputs.logits[~outputs.sees].any()


def test_any_pattern_of_who_sees_what(case):
    group = random_group(case).eval()
    inputs = case.inputs(6)
    sees = torch.rand(4, 6, generator=torch.Generator().manual_seed(5)) < 0.4
    sees[:, 2] = False  # nobody sees row 2
    with torch.no_grad():
        outputs = group(inputs, sees=sees, capture=BOTH)
        everything = group(inputs, capture=BOTH)
    torch.testing.assert_close(outputs.logits, everything.logits * sees[..., None], atol=1e-5, rtol=1e-5)
    seen = sees.view(4, 6, *[1] * (everything.features.ndim - 2))
    torch.testing.assert_close(outputs.features, everything.features * seen, atol=1e-5, rtol=1e-5)
    somebody = sees.any(0).view(6, *[1] * (everything.trunk.ndim - 1))
    torch.testing.assert_close(outputs.trunk, everything.trunk * somebody, atol=1e-5, rtol=1e-5)


def test_every_parameter_gets_a_gradient(case):
    group = random_group(case).train()
    outputs = group(case.inputs(8))
    outputs.logits.square().sum().backward()
    assert [name for name, p in group.named_parameters() if p.grad is None] == []


def test_gradients_equal_the_separate_networks(case):
    """Eval mode and float64: shared modules collect the gradients of all their students."""
    group = random_group(case).double().eval()
    inputs = case.inputs(4)
    inputs = inputs if isinstance(inputs, dict) else inputs.double()
    networks = [group.export(student).eval() for student in range(4)]
    group(inputs).logits.square().sum().backward()
    name = next(
        n for n in group.routes.layers if any(True for _ in networks[0].get_submodule(n).parameters())
    )
    expected = dict.fromkeys(range(2), 0.0)
    for network, module in zip(networks, group.routes.table[group.routes.layers.index(name)], strict=True):
        out = network(**inputs) if isinstance(inputs, dict) else network(inputs)
        getattr(out, "logits", out).square().sum().backward()
        weight = next(network.get_submodule(name).parameters())
        expected[module] = expected[module] + weight.grad
    for module, gradient in expected.items():
        own = next(group.copies(name)[module].parameters()).grad
        torch.testing.assert_close(own, gradient, atol=1e-8, rtol=1e-6)


def test_students_permute_with_the_table():
    case = CASES["mlp"]
    group = random_group(case).eval()
    order = [2, 0, 3, 1]
    table = tuple(tuple(row[k] for k in order) for row in group.routes.table)
    other = grouped(case, sg.Routes(group.routes.layers, table), share_head=True)
    state = {name: value for name, value in group.state_dict().items() if name != "_extra_state"}  # the table
    other.load_state_dict(state)
    inputs = case.inputs(5)
    torch.testing.assert_close(other.eval()(inputs).logits, group(inputs).logits[order])


@pytest.mark.slow
def test_exports_load_where_the_library_is_not_importable(tmp_path):
    expected = {}
    for name, case in CASES.items():
        group = random_group(case).eval()
        inputs = case.inputs(2)
        expected[name] = (inputs, answer(group.export(2).eval(), inputs))
        torch.save(group.export(2).eval(), tmp_path / f"{name}.pt")
    torch.save(expected, tmp_path / "expected")
    code = f"""
import sys
sys.modules["studygroup"] = None  # importing it raises
import torch
expected = torch.load({str(tmp_path / "expected")!r}, weights_only=False)
for name, (inputs, logits) in expected.items():
    network = torch.load(f"{tmp_path}/{{name}}.pt", weights_only=False)
    with torch.no_grad():
        out = network(**inputs) if isinstance(inputs, dict) else network(inputs)
    torch.testing.assert_close(getattr(out, "logits", out), logits)
print(len(expected))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == str(len(CASES)), done.stderr


def test_saved_and_loaded_groups_are_the_same():
    case = CASES["resnet"]
    group = random_group(case).eval()
    torch.manual_seed(1)
    other = sg.StudyGroup(case.build(), group.routes, init=case.build, share_head=True).eval()
    other.load_state_dict(group.state_dict())
    inputs = case.inputs(3)
    with torch.no_grad():
        assert torch.equal(other(inputs).logits, group(inputs).logits)
    again = pickle.loads(pickle.dumps(group))
    with torch.no_grad():
        assert torch.equal(again(inputs).logits, group(inputs).logits)
        assert torch.equal(copy.deepcopy(group)(inputs).logits, group(inputs).logits)


def test_the_users_model_stays_as_it_was():
    model = CASES["mlp"].build()
    keys = list(model.state_dict())
    sg.StudyGroup(model, sg.routes.branches(["7"], students=2))
    assert list(model.state_dict()) == keys
    assert isinstance(model[7], nn.Linear)


class Counting(nn.Module):
    """Counts calls and rows."""

    def __init__(self, layer):
        super().__init__()
        self.layer, self.calls = layer, []

    def forward(self, x):
        self.calls.append(len(x))
        return self.layer(x)


def counting() -> nn.Module:
    return nn.Sequential(*(Counting(nn.Linear(4, 4)) for _ in range(4)))


def test_each_module_is_called_once_and_a_shared_prefix_is_computed_once():
    table = {"1": [0, 0, 1, 1], "2": [0, 1, 2, 3], "3": [0, 1, 0, 1]}
    x = torch.randn(5, 4)
    group = sg.StudyGroup(counting(), sg.routes.tree(table), init=counting, share_head=True, example=x)
    for module in group.modules():
        if isinstance(module, Counting):
            module.calls.clear()  # those of the dry run
    group(x)
    assert group.model[0].calls == [5]
    assert [m.calls for m in group.model[1].bank] == [[5], [5]]
    assert [m.calls for m in group.model[2].bank] == [[5], [5], [5], [5]]
    assert [m.calls for m in group.model[3].bank] == [[10], [10]]


def test_a_contiguous_part_is_a_view():
    seen = []

    class Look(nn.Linear):
        def forward(self, x):
            seen.append(x.data_ptr())
            return super().forward(x)

    def build():
        return nn.Sequential(Look(4, 4), Look(4, 4))

    group = sg.StudyGroup(build(), sg.routes.branches(["0", "1"], students=2), init=build)
    x = torch.randn(3, 4)
    group(x)
    first, second = seen[-4:-2], seen[-2:]
    assert first == [x.data_ptr()] * 2  # all rows to all modules: the tensor itself
    assert second[1] - second[0] == 3 * 4 * 4  # slices of one tensor: three rows of four floats apart


class Residual(nn.Module):
    """A mask and a shortcut made before a routed layer, used after it."""

    def __init__(self):
        super().__init__()
        self.stem, self.inner, self.head = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, CLASSES)

    def forward(self, x):
        h = self.stem(x)
        mask = (h > 0).float()
        return self.head(h + self.inner(h) * mask)


def test_residual_and_mask_across_a_split_with_shuffled_owners():
    routes = sg.routes.tree({"stem": [0, 1, 2, 3], "inner": [1, 0, 1, 0]})
    group = sg.StudyGroup(Residual(), routes, init=Residual, share_head=True).eval()
    x, owner = torch.randn(11, 4), shuffled_owners(11, 4)
    logits = group(x, sees=torch.arange(4)[:, None] == owner).logits
    for row, student in enumerate(owner.tolist()):
        torch.testing.assert_close(logits[student, row], group.export(student)(x[row : row + 1])[0])
    everything = group(x).logits
    torch.testing.assert_close(everything[owner, torch.arange(11)], logits[owner, torch.arange(11)])


def test_parting_inside_a_residual_connection_is_an_error():
    group = sg.StudyGroup(Residual(), sg.routes.branches(["inner", "head"], students=3), init=Residual)
    with pytest.raises(ValueError, match="inside a residual connection"):
        group(torch.randn(5, 4))


def test_features_trunk_and_taps():
    case = CASES["resnet"]
    group = branch_group(case).eval()
    x = case.inputs(4)
    with torch.no_grad():
        out = group(x, capture=BOTH | Capture(activations=("layer3", "layer4.0.conv2")))
        network = group.export(1).eval()
        seen = {}
        for name in ("layer3", "layer4.0.conv2", "fc"):
            network.get_submodule(name).register_forward_hook(
                lambda _, args, output, name=name: seen.update({name: (args[0], output)})
            )
        network(x)
    assert group.head == "fc"
    assert out.features.shape == (3, 4, 128)
    torch.testing.assert_close(out.features[1], seen["fc"][0])
    torch.testing.assert_close(out.trunk, seen["layer3"][1])
    torch.testing.assert_close(out.activations["layer3"][1], seen["layer3"][1])
    torch.testing.assert_close(out.activations["layer4.0.conv2"][1], seen["layer4.0.conv2"][1])


def test_a_whole_model_can_be_routed():
    case = CASES["resnet"]
    group = grouped(case, sg.routes.independent(students=2)).eval()
    x = case.inputs(3)
    with torch.no_grad():
        logits = group(x).logits
        for student in range(2):
            network = group.export(student).eval()
            torch.testing.assert_close(network(x), logits[student])
            assert list(network.state_dict()) == list(case.build().state_dict())


def test_dropout_views_share_the_backbone_and_are_one_network_in_eval():
    torch.manual_seed(0)
    build = CASES["mlp"].build
    group = sg.StudyGroup(build(), sg.routes.hierarchical_dropout(["3", "6"]))
    x = torch.randn(5, 3, 4, 4)
    train = group.train()(x).logits
    assert len({tuple(view.flatten().tolist()) for view in train}) == 4
    evaluated = group.eval()(x).logits
    assert evaluated.shape == (4, 5, CLASSES)
    assert all(torch.equal(evaluated[0], view) for view in evaluated)
    assert sum(p.numel() for p in group.parameters()) == sum(p.numel() for p in build().parameters())


def test_gradients_are_divided_where_students_part():
    def build():
        return nn.Sequential(nn.Linear(4, 4, bias=False), nn.Linear(4, CLASSES))

    gradients = []
    for rescale in (False, True):
        torch.manual_seed(0)
        group = sg.StudyGroup(build(), sg.routes.branches(["1"], students=3), rescale_gradients=rescale)
        group(torch.ones(2, 4)).logits.square().sum().backward()
        gradients.append([p.grad for p in group.parameters()])
    torch.testing.assert_close(gradients[1][0], gradients[0][0] / 3)
    torch.testing.assert_close(gradients[1][1:], gradients[0][1:])


def test_a_module_without_rows_has_no_gradient():
    group = sg.StudyGroup(counting(), sg.routes.branches(["3"], students=3), init=counting)
    sees = torch.tensor([[True, True], [False, False], [True, False]])
    group(torch.randn(2, 4), sees=sees).logits.sum().backward()
    bank = group.model[3].bank
    assert bank[1].layer.weight.grad is None
    assert bank[0].layer.weight.grad.any()


@pytest.mark.filterwarnings("ignore::studygroup.EqualPathsWarning")
def test_channels_last_is_kept_through_a_split():
    formats = []

    class Look(nn.Conv2d):
        def forward(self, x):
            formats.append(x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous())
            return super().forward(x)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem, self.block, self.fc = Look(3, 4, 1), Look(4, 4, 1), nn.Linear(4, CLASSES)

        def forward(self, x):
            return self.fc(self.block(self.stem(x)).mean((2, 3)))

    routes = sg.routes.random(["stem", "block"], students=8, modules=2, seed=0)
    group = sg.StudyGroup(Net(), routes, init=Net, share_head=True).to(memory_format=torch.channels_last)
    x = torch.randn(64, 3, 4, 4).to(memory_format=torch.channels_last)
    group(x, sees=torch.rand(8, 64) < 0.3)
    assert formats
    assert all(formats[4:])


def test_a_table_that_is_changed_and_used_again():
    group = random_group(CASES["mlp"]).eval()
    x, sees = CASES["mlp"].inputs(4), torch.ones(4, 4, dtype=torch.bool)
    everything = group(x, sees=sees).logits
    sees[1] = False
    assert torch.equal(group(x, sees=sees).logits, everything * sees[..., None])
    sees[1] = True
    assert torch.equal(group(x, sees=sees).logits, everything)


def test_the_dry_run_leaves_no_trace():
    case = CASES["resnet"]
    group = random_group(case).train()
    before = copy.deepcopy(group.state_dict())
    torch.manual_seed(5)
    group(case.inputs(8))
    first = torch.rand(1)
    group.load_state_dict(before)
    torch.manual_seed(5)
    group(case.inputs(8))
    assert torch.rand(1) == first
    assert group.training
    assert all(module.training for module in group.modules())
