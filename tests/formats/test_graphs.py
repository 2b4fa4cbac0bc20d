"""ONNX and torch.export, opened by onnxruntime and torch: answers and facts."""

import json
import math

import pytest
import torch
from torch import nn

import studygroup as sg
from studygroup.ensembling import Ensemble
from studygroup.formats import Facts, save_onnx, save_program
from studygroup.models.vdcnn import vdcnn9

FACTS = Facts(classes=("nought", "one", "two"), shape=(2, 6, 6), mean=(0.5, 0.25), std=(0.2, 0.1))
# torch's ONNX exporter uses parts of torch that torch itself has deprecated
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


def make() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.5), nn.AdaptiveAvgPool2d(1),
        nn.Flatten(), nn.Linear(4, 3),
    )  # fmt: skip


@pytest.fixture(scope="module")
def task():
    """A trained group whose students share the first layers."""
    torch.manual_seed(0)
    task = sg.recipes.one(
        make(), layers=["6"], students=3, example=torch.randn(2, 2, 6, 6), init=make
    ).train()
    optimiser = torch.optim.SGD(task.parameters(), lr=0.1)
    for _ in range(3):
        task(torch.randn(16, 2, 6, 6), torch.randint(3, (16,))).total.backward()
        optimiser.step()
    return task


def written(net, tmp_path, kind):
    """Write a network, and return what answers by the library's own loader, and the facts that it reads."""
    example = torch.randn(2, 2, 6, 6)
    if kind == "onnx":
        onnxruntime = pytest.importorskip("onnxruntime")
        save_onnx(net, tmp_path / "net.onnx", example=example, facts=FACTS)
        session = onnxruntime.InferenceSession(str(tmp_path / "net.onnx"))
        name = session.get_inputs()[0].name
        found = session.get_modelmeta().custom_metadata_map
        return lambda x: torch.from_numpy(session.run(None, {name: x.numpy()})[0]), found
    save_program(net, tmp_path / "net.pt2", example=example, facts=FACTS)
    files = {"studygroup.json": ""}
    program = torch.export.load(tmp_path / "net.pt2", extra_files=files)
    return program.module(), json.loads(files["studygroup.json"])


@pytest.mark.parametrize("kind", [pytest.param("onnx", marks=pytest.mark.slow), "torch_export"])
def test_a_student_and_the_ensemble_answer_as_in_the_group(kind, task, tmp_path):
    student, together = task.shipped.export(1).train(), sg.ensemble(task)
    task.eval()
    for net, expected in (
        (student, lambda x: task.shipped(x).logits[1]),
        (together, lambda x: task.shipped(x).logits.double().softmax(-1).mean(0).log().float()),
    ):
        asked, facts = written(net, tmp_path, kind)
        for rows in (1, 2, 5):
            x = torch.randn(rows, 2, 6, 6)
            torch.testing.assert_close(asked(x), expected(x), atol=1e-5, rtol=1e-4)
        assert {name: json.loads(value) for name, value in facts.items()} == {
            "classes": ["nought", "one", "two"], "shape": [2, 6, 6], "mean": [0.5, 0.25], "std": [0.2, 0.1]
        }  # fmt: skip
    assert student.training, "the network's mode stays"


class Words(nn.Module):
    """A network that reads a mapping of ids and mask."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.head = nn.Embedding(30, 8), nn.Linear(8, 3)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        mask = attention_mask.unsqueeze(-1).float()
        return self.head((self.table(input_ids) * mask).sum(1) / mask.sum(1))


def test_mappings_keep_rows_and_tokens_free_where_inputs_have_names(tmp_path):
    net, facts = Words().eval(), Facts(classes=("a", "b", "c"))
    ids = {"input_ids": torch.randint(30, (2, 5)), "attention_mask": torch.ones(2, 5, dtype=torch.int64)}
    save_program(net, tmp_path / "net.pt2", example=ids, facts=facts)
    more = {"input_ids": torch.randint(30, (4, 9)), "attention_mask": torch.ones(4, 9, dtype=torch.int64)}
    again = torch.export.load(tmp_path / "net.pt2").module()
    torch.testing.assert_close(again(**more), net(**more))
    with pytest.raises(ValueError, match=r"its forward names none of input_ids, attention_mask"):
        save_program(Ensemble([net]), tmp_path / "all.pt2", example=ids, facts=facts)


def test_characters_of_any_number_are_answered_as_by_the_network(tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    torch.manual_seed(0)
    net, facts = vdcnn9(3, embedding=2, width=2, pooled=8, hidden=4).eval(), Facts(classes=("a", "b", "c"))

    def characters(rows, length):
        ids = torch.randint(1, 69, (rows, length))
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}

    save_onnx(net, tmp_path / "net.onnx", example=characters(2, 90), facts=facts)
    session = onnxruntime.InferenceSession(str(tmp_path / "net.onnx"))
    for length in (1, 56, 57, 58, 130):  # below 57 the network fills rows up
        given = characters(3, length)
        found = session.run(None, {one.name: given[one.name].numpy() for one in session.get_inputs()})[0]
        torch.testing.assert_close(torch.from_numpy(found), net(**given), atol=1e-5, rtol=1e-4)


class OfItsLength(nn.Module):
    """A network that does otherwise with short rows, in a branch that a graph loses."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(30, 3)

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        mean = self.embedding(input_ids).mean(1)
        return -mean if input_ids.shape[1] < 3 else mean


def test_a_graph_that_answers_short_rows_otherwise_is_refused(tmp_path):
    pytest.importorskip("onnxruntime")
    ids, facts = {"input_ids": torch.randint(30, (2, 5))}, Facts(classes=("a", "b", "c"))
    with pytest.raises(ValueError, match="answers otherwise than the network to rows of one token"):
        save_onnx(OfItsLength().eval(), tmp_path / "net.onnx", example=ids, facts=facts)
    assert not (tmp_path / "net.onnx").exists()


class Branching(nn.Module):
    """A network whose path depends on its input."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x) if x.sum() > 0 else -self.layer(x)


class Counting(nn.Linear):
    """A network that answers otherwise at every call, which no graph can."""

    calls = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return super().forward(x) + self.calls


@pytest.mark.parametrize(
    ("net", "example", "said"),
    [
        (Branching(), torch.ones(2, 4), "Branching cannot be traced as one graph"),
        (Counting(4, 3), torch.ones(2, 4), "answers otherwise than the network"),
        (nn.Linear(4, 5), torch.ones(2, 4), r"logits of shape \(2, 5\) and there are 3 names"),
    ],
)
def test_what_has_no_graph_is_refused_and_leaves_no_file(net, example, said, tmp_path):
    facts = Facts(classes=("a", "b", "c"))
    with pytest.raises(ValueError, match=said):
        save_program(net, tmp_path / "net.pt2", example=example, facts=facts)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_half_precision_is_written_in_single(tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    net = nn.Linear(4, 3).to(torch.bfloat16)
    save_onnx(
        net, tmp_path / "net.onnx", example=torch.ones(2, 4).bfloat16(), facts=Facts(classes=("a", "b", "c"))
    )
    session = onnxruntime.InferenceSession(str(tmp_path / "net.onnx"))
    found = session.run(None, {session.get_inputs()[0].name: torch.ones(1, 4).numpy()})[0]
    expected = net.weight.double().sum(1) + net.bias.double()
    assert math.isclose(found[0][1], expected[1].item(), rel_tol=1e-5)
    assert net.weight.dtype == torch.bfloat16


@pytest.mark.parametrize(
    "wrong",
    [
        {"classes": ("a",)},
        {"classes": ("a", "a")},
        {"classes": "ab"},
        {"classes": ("a", "b"), "mean": (0.5,)},
        {"classes": ("a", "b"), "shape": (1, 2, 2), "mean": (0.5,), "std": (0.0,)},
        {"classes": ("a", "b"), "shape": (3, 2, 2), "mean": (0.5,), "std": (1.0,)},
    ],
)
def test_wrong_facts_are_refused(wrong):
    with pytest.raises(ValueError, match=r"names|mean and one deviation"):
        Facts(**wrong)


def test_classes_may_be_the_last_axis(tmp_path):
    """Of tokens: logits are (rows, tokens, classes)."""
    net, x = nn.Sequential(nn.Embedding(20, 8), nn.Linear(8, 4)), torch.randint(20, (6, 7))
    last = Facts(classes=list("abcd"), class_axis=-1)
    save_program(net, tmp_path / "net.pt2", example=x, facts=last)
    torch.testing.assert_close(torch.export.load(tmp_path / "net.pt2").module()(x), net(x))
    for wrong in (Facts(classes=list("abcd")), Facts(classes=list("abcdefg"), class_axis=-1)):
        with pytest.raises(ValueError, match=r"logits of shape \(6, 7, 4\) .* give class_axis=-1 where"):
            save_program(net, tmp_path / "other.pt2", example=x, facts=wrong)
