"""Wrong numbers are refused where they are given, by name, with the value and a way out."""

import inspect
import math
import traceback
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache, partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import studygroup as sg
from studygroup import checks, data, objectives, routes, schedules, teachers
from studygroup.training import rates

NAN, INF = math.nan, math.inf
SOURCE = str(Path(sg.__file__).parent)


def net() -> nn.Module:
    drawn = torch.Generator().manual_seed(0)
    layers = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(4, 4, 3, padding=1),
        nn.Flatten(),
        nn.Dropout(0.5),
        nn.Linear(64, 4),
    )
    for parameter in layers.parameters():
        nn.init.normal_(parameter, generator=drawn)
    return layers


X, Y = torch.randn(6, 1, 4, 4, generator=torch.Generator().manual_seed(1)), torch.arange(6) % 4
GIVEN = {  # what recipes ask for besides numbers
    "model": net,
    "example": lambda: X,
    "layers": lambda: ["2", "5"],
    "inner": lambda: ["0"],
    "init": lambda: net,
    "teacher": net,
    "table": lambda: {"2": [0, 0, 1], "5": [0, 1, 2]},
    "maps": lambda: "2",
    "kernels": lambda: ["0", "2"],
}
PARTS = {  # parts with numbers of their own, and the arguments that they need
    routes.independent: {"students": 2},
    routes.branches: {"layers": ["2"], "students": 2},
    routes.random: {"layers": ["2", "4"], "students": 3, "modules": 2},
    routes.hierarchical_dropout: {"layers": ["4"]},
    schedules.ramp_up: {"start": 0.1, "end": 0.5},
    sg.Subsets: {},
    sg.owners: {"rows": 8, "students": 2},
    objectives.CrossEntropy: {},
    objectives.Supervised: {},
    partial(objectives.Imitation, teachers.MeanOfOthers()): {},
    objectives.song_chai: {"alpha": 0.5, "temperature": 1.0},
    partial(objectives.InnerClassifiers, {"0": 4}): {"classes": 4, "weight": 1.0},
    partial(objectives.SelfDistillation, {"0": nn.Identity()}): {"features": 3, "classes": 4},
    partial(objectives.LocalClassifiers, {}): {"classes": 4},
    partial(objectives.PullPush, {objectives.Layer(("0",)): (4, 4, 4)}): {"classes": 4},
    objectives.KernelDecorrelation: {"names": ["0"]},
    teachers.MeanOfOthers: {},
    teachers.RandomSubgroup: {"probability": 0.5},
    teachers.LinearTeacher: {},
    teachers.GeneralTeacher: {},
    teachers.Gate: {"width": 3, "students": 2},
    teachers.PeerAttention: {"width": 3, "leader": 2},
    teachers.PeerEnsemble: {"width": 3, "students": 2, "classes": 4},
    partial(sg.CollaborativeLearning, sg.StudyGroup(net(), routes.independent(students=2), init=net), []): {},
    partial(sg.StudyGroup, net(), routes.independent(students=2), init=net): {},
    sg.functional.linear_over_depth: {"layers": 2, "start": 0.0, "end": 1.0},
    partial(sg.functional.best_mixture, torch.zeros(2, 6, 4), Y): {},
    partial(sg.functional.least_error_weights, torch.eye(2)): {"ridge": 0.1},
    partial(sg.functional.kernel_decorrelation, torch.eye(4)): {},
    partial(sg.functional.similarity_matrix, X.flatten(1)): {},
    partial(sg.functional.label_similarity, Y): {"classes": 4},
    partial(sg.functional.peer_targets, torch.zeros(2, 6, 4), torch.eye(2)): {"temperature": 1.0},
    partial(sg.functional.imitation_loss, torch.zeros(2, 6, 4), torch.zeros(2, 6, 4)): {"temperature": 1.0},
    partial(sg.functional.pull_push, *[torch.eye(2)] * 3): {"pull": 1.0, "push": 1.0},
    data.subsets: {"rows": 9, "students": 2},
    partial(data.StudentBatches, [torch.arange(4)]): {},
    data.SharedBatches: {"rows": 9},
    data.SymmetricNoise: {"rate": 0.5},
    data.PadCropFlip: {},
    rates.MultiStep: {},
    rates.Cosine: {},
    rates.OneCycle: {},
}
WORDS = {  # values of a name that no number of its type may have
    "temperature": [0, -1],
    "alpha": [-0.1],
    **{name: [-0.1, 1.1] for name in ("overlap", "probability", "rate", "label_smoothing", "floor")},
    "rise": [0, 1, -0.1],
    "milestones": [[-1], [NAN], ["x"], 5],
    "ridge": [0, -1],
    "ramp": [(0.5, 0.1), (-1, 2)],
}
ANY_SIGN = ("seed", "structure", "ignore_index", "class_axis")
NAMES = ("layers", "inner", "kernels", "dropouts", "names")
FREE = ("model_options", "source", "maps", "pool", "weights", "criterion", "name")


def wrong_values(name: str, kind: object) -> list[object]:
    """Return what an argument of this name and type must not be."""
    kinds = set(typing.get_args(kind)) if isinstance(kind, types.UnionType) else {kind}
    kinds |= set(typing.get_args(kind)) if typing.get_origin(kind) is typing.Union else set()
    found = list(WORDS.get(name, []))
    if int in kinds:
        found += [
            True,
            1.5,
            NAN,
            "2",
            torch.tensor(True),
            np.float64(2.0),
            *([] if name in ANY_SIGN else [-1]),
        ]
    if float in kinds:
        found += [NAN, INF, -INF, True, "1", torch.ones(2)]
    if bool in kinds:
        found += ["no", 1]
    if any(typing.get_origin(each) is typing.Literal for each in kinds):
        found += ["nope", True]
    if any(typing.get_origin(each) is tuple for each in kinds) and name not in NAMES:
        found += [(NAN, 1), (0.0,), "ab", (0, "x"), None]
    if name in NAMES and any(typing.get_origin(each) in (Iterable, Sequence) for each in kinds):
        found += ["20"]
    return found


def arguments(function: Callable) -> dict[str, object]:
    """Return the types of all parameters of a function or class that may still be given."""
    whole = function.func if isinstance(function, partial) else function
    made = whole.__init__ if isinstance(whole, type) else whole
    hints = typing.get_type_hints(made)
    given = inspect.signature(function).parameters
    bound = function.keywords if isinstance(function, partial) else {}
    return {name: hints[name] for name in given if name in hints and name not in bound}


def silent(function: Callable, given: Mapping[str, object], name: str, value: object) -> str:
    """Describe what came of a wrong value; empty where the library itself refuses it with a way out."""
    try:
        function(**{**given, name: value})
    except ValueError as error:
        last = traceback.extract_tb(error.__traceback__)[-1].filename
        clear = last.startswith(SOURCE) and any(sign in str(error) for sign in (";", "give", "use "))
        return "" if clear else f"{name}={value!r}: unclear: {error}"
    except Exception as error:
        return f"{name}={value!r}: {type(error).__name__}: {error}"
    return f"{name}={value!r}: accepted"


@cache
def recipe(name: str) -> tuple[Callable, dict[str, object]]:
    function = getattr(sg.recipes, name)
    need = inspect.signature(function).parameters
    given = {key: make() for key, make in GIVEN.items() if key in need}
    return function, given | ({"students": 3} if name == "cgl" else {})


def tried(function: Callable, given: Mapping[str, object]) -> int:
    """Try every wrong value of every argument; return how many there were."""
    function(**given)  # right ones pass
    wrong = [
        (name, value)
        for name, kind in arguments(function).items()
        if name not in FREE
        for value in wrong_values(name, kind)
    ]
    faults = [fault for name, value in wrong if (fault := silent(function, given, name, value))]
    assert not faults, "\n".join(faults)
    return len(wrong)


@pytest.mark.parametrize(
    "name", [name for name in sg.recipes.__all__ if name not in ("baseline", "intra", "kdcl")]
)
@pytest.mark.filterwarnings("ignore")
def test_a_recipe_refuses_every_wrong_number(name, unchecked):
    assert tried(*recipe(name)) > 3


@pytest.mark.filterwarnings("ignore")
def test_recipes_made_of_functions_refuse_every_wrong_number(unchecked):
    function, given = recipe("kdcl")
    assert tried(
        partial(function, teacher=teachers.MinLogit), {k: v for k, v in given.items() if k != "teacher"}
    )
    function, given = recipe("intra")
    assert tried(function, {"out": 1.0, "mid": 1.0, "pull_push": 0.1, **given, "source_statistic": "flatten"})


@pytest.mark.parametrize("function", PARTS, ids=lambda f: getattr(f, "func", f).__qualname__)
@pytest.mark.filterwarnings("ignore")
def test_a_part_refuses_every_wrong_number(function, unchecked):
    assert tried(function, PARTS[function])


@pytest.mark.parametrize("name", ["multi_instance", "cl_ilr", "tree", "byot", "distillation"])
def test_a_share_of_the_loss_is_at_most_one(name, unchecked):
    function, given = recipe(name)
    with pytest.raises(ValueError, match=r"alpha is 1\.1; give a share of .* in \[0, 1\]"):
        function(**given, alpha=1.1)


@pytest.mark.parametrize("weight", [lambda _: "x", lambda _: NAN, lambda _: None])
def test_a_weight_that_is_no_number_is_named_with_its_progress(weight, unchecked):
    group = sg.StudyGroup(net(), routes.independent(students=2), init=net)
    task = sg.CollaborativeLearning(group, [objectives.Supervised(weight=weight)])
    with pytest.raises(
        ValueError, match=r"weight of 'supervised' at progress 0\.5 is .*; give a finite number"
    ):
        task(X, Y, progress=0.5)
    task.objectives[0].weight = lambda progress: progress > 0.5  # a switch
    assert task.weights(1.0) == {"supervised": 1.0}


def test_what_is_a_number_passes():
    assert checks.check_whole("n", np.int64(3)) == checks.check_whole("n", torch.tensor(3)) == 3
    assert type(checks.check_whole("n", np.int64(3))) is int
    learnt = torch.tensor(2.0, requires_grad=True)
    assert checks.check_number("t", learnt, above=0) is learnt
    assert checks.check_share("p", np.float32(0.5)) == 0.5
    assert checks.check_share("p", 1) == 1
    assert checks.check_number("t", torch.tensor(NAN, device="meta")).is_meta  # not looked at on a device


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: checks.check_whole("n", 1.0, least=2), r"^n is 1\.0; give a whole number, at least 2$"),
        (lambda: checks.check_number("t", NAN), r"^t is nan; give a finite number$"),
        (lambda: checks.check_number("t", -1, least=0), r"^t is -1; give a finite number, at least 0$"),
        (lambda: checks.check_number("t", 0, above=0), r"^t is 0; give a finite number above 0$"),
        (lambda: checks.check_share("p", 1, whole=False), r"^p is 1; give a number in \[0, 1\)$"),
        (lambda: checks.check_share("p", "x", of="rows"), r"^p is 'x'; give a share of rows in \[0, 1\]$"),
        (lambda: checks.check_flag("f", "no"), r"^f is 'no'; give True or False$"),
        (lambda: checks.check_choice("c", "no", ("a", "b", "c")), r"^c='no'; use 'a', 'b' or 'c'$"),
        (lambda: checks.check_names("l", "fc"), r"^l='fc' is a text; give a list of names: l=\['fc'\]$"),
        (lambda: checks.check_pair("r", (1,)), r"^r is \(1,\); give two numbers$"),
        (
            lambda: checks.check_number("t", torch.ones(2)),
            r"^t is a tensor of torch.float32, shape \(2,\); give",
        ),
    ],
)
def test_an_error_says_the_fact_the_value_and_the_way_out(make, message):
    with pytest.raises(ValueError, match=message):
        make()


TABLE_OF_FRACTIONS = '{"leader": null, "layers": {"2": {"modules": 2, "students": [0, 1.0]}}}'


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: sg.StudyGroup(net, routes.independent(students=2)), "model is .*; give an nn.Module"),
        (lambda: sg.StudyGroup(net(), {"2": [0, 1]}), "routes is .*; give a table of studygroup.routes"),
        (lambda: group(init="frsh"), "init is 'frsh'; use 'fresh', 'copy' or a function"),
        (
            lambda: group(init=lambda: None),
            "what init returned is None; give a function that returns a new model",
        ),
        (lambda: group().export(1.0), "student is 1.0; give a whole number"),
        (lambda: group().export(True), "student is True; give a whole number"),
        (lambda: list(group().parameters_of(-1)), "no student -1"),
        (lambda: group()(X, sees=[[True] * 6] * 2), "sees is .*; give a bool tensor"),
        (lambda: sg.Peers(net()), "networks is .*; give a list of networks"),
        (lambda: sg.Peers([net]), "one of the networks is .*; give a list of networks"),
        (lambda: list(sg.Peers([net()]).parameters_of(1)), "no student 1"),
        (lambda: sg.CollaborativeLearning(net(), []), "group is .*; give a StudyGroup, or Peers"),
        (
            lambda: sg.CollaborativeLearning(group(), objectives.Supervised()),
            "objectives is .*; give a list of",
        ),
        (lambda: sg.CollaborativeLearning(group(), ["ce"]), "the objectives is 'ce'; give a list of"),
        (lambda: sg.CollaborativeLearning(group(), [], rows=sg.Subsets), "rows is .*; give SharedRows"),
        (
            lambda: sg.CollaborativeLearning(group(), [])(X, Y.tolist()),
            "y is .*; give a tensor with one label a row",
        ),
        (
            lambda: sg.CollaborativeLearning(group(), [])(X, Y, progress="x"),
            "progress is 'x'; give a share",
        ),
        (lambda: objectives.Imitation("others"), "teacher is 'others'; give one of studygroup.teachers"),
        (lambda: objectives.CrossEntropy([1.0, 2.0]), r"weight is \[1.0, 2.0\]; give a tensor"),
        (
            lambda: objectives.CrossEntropy(torch.tensor([1.0, NAN])),
            "weight holds .*; give finite ones, at least 0",
        ),
        (
            lambda: objectives.BinaryCrossEntropy(-torch.ones(4)),
            "pos_weight holds .*; give finite ones, at least 0",
        ),
        (
            lambda: objectives.InnerClassifiers({"0": 1.5}, classes=4, weight=1.0),
            "width of layer '0' is 1.5",
        ),
        (
            lambda: routes.tree({"2": [0.0, 1.5]}),
            "a module in row 0 of the table is 0.0; give a whole number",
        ),
        (lambda: routes.tree({"2": 3}), "the row of layer '2' is 3; give"),
        (lambda: routes.tree([("2", [0, 1])]), "table is .*; give a mapping"),
        (lambda: routes.branches("25", students=2), "layers='25' is a text; give a list of names"),
        (lambda: routes.branches([3], students=2), "one of the layers is 3; give"),
        (lambda: routes.branches([("2", 3)], students=2), "the name of a layer is 3; give a text"),
        (lambda: routes.compose("a"), "one of the tables is 'a'; give"),
        (
            lambda: sg.Routes(("2",), ((0, 1),), modules=(2.0,)),
            "modules of a layer is 2.0; give a whole number",
        ),
        (
            lambda: sg.Routes.from_json(
                '{"leader": null, "layers": {"2": {"modules": 2, "students": [0, 1.0]}}}'
            ),
            "1.0; give",
        ),
        (lambda: data.StudentBatches([torch.tensor([True, False])]), "a part is .*; give row numbers"),
        (lambda: data.StudentBatches([torch.tensor([0, -1])]), "a part is .*; give row numbers"),
        (lambda: data.SharedBatches(9).set_epoch(0.5), "epoch is 0.5; give a whole number, at least 0"),
        (
            lambda: data.SharedBatches(9).resume(epoch=0, step=-1),
            "step is -1; give a whole number, at least 0",
        ),
        (lambda: data.Normalise([0.5], [NAN]), "a channel's std is nan; give a finite number"),
        (lambda: data.Normalise([0.5, 0.5], [1.0]), "every channel needs one above 0, and a mean"),
        (lambda: schedules.constant(NAN), "value is nan; give a finite number"),
        (lambda: sg.functional.error_products(torch.zeros(2, 6, 4), Y[:3]), "one class index a row"),
        (lambda: sg.functional.best_mixture(torch.zeros(2, 6, 4), Y[:1]), "one class index a row"),
        (lambda: sg.functional.least_error_weights(torch.ones(2, 3), ridge=0.1), "one number for each pair"),
        (
            lambda: sg.functional.imitation_loss(torch.zeros(2, 6, 4), torch.zeros(1, 6, 4), 1.0),
            "as many of each",
        ),
        (
            lambda: sg.functional.pull_push(torch.eye(3), torch.ones(1, 3), torch.eye(3), pull=1, push=1),
            "same rows",
        ),
        (lambda: sg.functional.kernel_decorrelation(torch.ones(4)), r"weight of shape \(4,\) has no filters"),
        (
            lambda: sg.functional.label_similarity(Y, classes=3),
            "a label is 3; number classes from 0 to 2",
        ),
        (
            lambda: sg.functional.label_similarity(torch.ones(6, 3), classes=4),
            "one probability for each class",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_what_is_of_the_wrong_kind_is_refused(make, message, unchecked):
    with pytest.raises(ValueError, match=message):
        make()


def group(**options):
    return sg.StudyGroup(net(), routes.branches(["5"], students=2), **{"init": net, **options})


def test_a_function_that_returns_layers_of_an_earlier_model_is_refused():
    """In a model of its own, so that the objects differ: students 1 and 2 would start equal."""
    first = net()
    for init in (lambda: first, lambda: nn.Sequential(*first)):
        with pytest.raises(ValueError, match=r"init returned the same Sequential again.*return a new model"):
            sg.StudyGroup(net(), routes.branches(["5"], students=3), init=init)
    with pytest.raises(ValueError, match="init returned the same Sequential again"):
        sg.StudyGroup(first, routes.branches(["5"], students=2), init=lambda: nn.Sequential(*first))


def test_numbers_of_numpy_and_torch_make_a_plain_table(unchecked):
    table = routes.tree({"5": np.arange(3)})
    assert table == routes.tree({"5": torch.arange(3)}) == routes.branches(["5"], students=np.int64(3))
    assert sg.Routes.from_json(table.to_json()) == table
