"""How much of a network its students share, against a loop over pairs."""

import shutil
from itertools import combinations

import pytest

import studygroup as sg
from studygroup.analysis import analyses
from studygroup.analysis.sharing import layer_sharing, parameter_sharing
from studygroup.models import cifar_resnet18
from studygroup.routes import Routes
from studygroup.training.folder import RunFolder

NET = cifar_resnet18(classes=3, width=2)


def counted(layers):
    """Numbers of the parameters that lie in layers."""
    return sum(p.numel() for layer in layers for p in NET.get_submodule(layer).parameters())


@pytest.mark.filterwarnings("ignore::studygroup.EqualPathsWarning")
def test_layers_and_parameters_in_common():
    routes = sg.routes.random([("conv1", "bn1"), "layer4.1"], students=5, modules=2, seed=1)
    stem, _, last = routes.table
    alike = [sum(row[a] == row[b] for a, b in combinations(range(5), 2)) / 10 for row in (stem, last)]
    assert 0 < alike[0] < 1
    assert 0 < alike[1] < 1
    found = layer_sharing(routes, NET)
    assert list(found) == ["conv1, bn1", *(f"layer{k}.{n}" for k in range(1, 5) for n in range(2))]
    assert [*found.values()] == [alike[0], *[1.0] * 7, alike[1]]
    whole, routed = counted([""]), [counted(["conv1", "bn1"]), counted(["layer4.1"])]
    shared = whole - sum(routed) + sum(n * share for n, share in zip(routed, alike, strict=True))
    assert parameter_sharing(routes, NET) == pytest.approx(shared / whole)


@pytest.mark.parametrize(
    ("routes", "layers", "parameters"),
    [
        (sg.routes.independent(students=3), 0.0, 0.0),
        (sg.routes.branches(["layer4", "fc"], students=3), 7 / 9, 1 - counted(["layer4", "fc"]) / counted([""])),
        # a part of a block is enough to keep two from having all of it in common
        (sg.routes.branches(["layer2.0.conv1"], students=2), 8 / 9, 1 - counted(["layer2.0.conv1"]) / counted([""])),
        # the modules of a layer may be parted by its parts: 0 and 1 have neither half in common, 0 and 2 one
        (Routes(("layer1.0.conv1", "layer1.0.conv2"), ((0, 1, 0), (0, 1, 1))), 8 / 9, None),
        # views of one network share all of it
        (Routes(("relu",), ((0, 1),)), 1.0, 1.0),
    ],
)  # fmt: skip
def test_what_lies_in_a_routed_layer_is_shared_by_those_who_take_it(routes, layers, parameters):
    found = layer_sharing(routes, NET)
    assert sum(found.values()) / len(found) == pytest.approx(layers)
    if parameters is not None:
        assert parameter_sharing(routes, NET) == pytest.approx(parameters)


def test_a_run_is_read(three, one):
    found = analyses["sharing"](three.folder)
    routes, net = Routes.from_json(three.folder.routes.read_text()), three.load()
    assert found["layers"] == layer_sharing(routes, net)
    assert found["sharing"] == pytest.approx(sum(found["layers"].values()) / len(found["layers"]))
    assert found["parameters"] == parameter_sharing(routes, net)
    table = analyses["sharing"].table(found)
    assert table[-2] == ("mean over layers", f"{found['sharing']:.1%}")
    assert analyses["sharing"].asked(found) == "3 students"
    with pytest.raises(ValueError, match="1 student: there is no pair"):
        analyses["sharing"](one.folder)


def test_a_run_without_its_table_is_named(three, tmp_path):
    folder = RunFolder(shutil.copytree(three.folder.path, tmp_path / "run"))
    folder.routes.unlink()
    with pytest.raises(ValueError, match=r"routes\.json is missing; train the run again"):
        analyses["sharing"](folder)
