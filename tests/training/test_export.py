import shutil
import subprocess
import sys

import pytest
import torch
from torch.testing._internal.distributed.fake_pg import FakeStore

from studygroup.training import Settings, evaluate, export, load_net, predict
from studygroup.training.scores import accuracy

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def rows(finished):
    settings = Settings.from_config(finished.folder.read_config())
    data = settings.load_data()
    return lambda: settings.build_datamodule(data).evaluation_batches(data.test, CPU)


def test_evaluate_says_what_the_summary_says(finished):
    found = evaluate(finished.folder.path)
    assert found["test"] == found["summary_test"] == finished.summary.shipped.test
    assert found["holdout"] == finished.summary.shipped.holdout
    assert found["test_rows"] == 60
    assert found["classes"] == 10
    assert found["test_top5"] == finished.summary.shipped.test_top5 > found["test"]
    assert found["holdout_top5"] > found["holdout"]


@pytest.mark.parametrize("student", [0, 1, 2])
def test_every_student_scores_as_in_the_summary(finished, rows, tmp_path, student):
    path = export(finished.folder.path, student=student, output=tmp_path / "net.safetensors")
    assert accuracy(load_net(path), rows()) == finished.summary.test.students[student]
    assert f"student {student} after epoch 3" in path.with_name(f"{path.name}.md").read_text()


def test_a_folder_takes_files_and_formats_have_cards_of_their_own(finished, tmp_path):
    weights = export(finished.folder.path, student=1, output=tmp_path)
    module = export(finished.folder.path, student=1, output=tmp_path, format="pickle")
    assert {path.name for path in tmp_path.iterdir()} == {
        *(path.name for path in (weights, module)), *(f"{path.name}.md" for path in (weights, module)),
    }  # fmt: skip
    with pytest.raises(ValueError, match=r"is no \.safetensors file, which alone says how inputs are read"):
        predict(["-"], folder=module)


@pytest.mark.slow
def test_without_a_number_the_shipped_one_is_written(finished):
    path = export(finished.folder.path)
    assert path == finished.folder.path / "export" / f"student-{finished.summary.shipped.student}.safetensors"
    for name, value in finished.load().state_dict().items():
        assert torch.equal(value, load_net(path).state_dict()[name])


def test_the_shipped_one_needs_no_checkpoint(finished, tmp_path):
    shutil.copytree(finished.folder.path, tmp_path / "run", ignore=shutil.ignore_patterns("checkpoints"))
    assert export(tmp_path / "run").exists()
    with pytest.raises(ValueError, match="no readable checkpoint"):
        export(tmp_path / "run", student=1)


def test_reestimated_statistics_change_the_statistics_alone(finished, tmp_path):
    path = export(finished.folder.path, reestimate_bn=True, output=tmp_path / "net.safetensors")
    before, after = finished.load().state_dict(), load_net(path).state_dict()
    changed = {name.rpartition(".")[2] for name in before if not torch.equal(before[name], after[name])}
    assert changed <= {"running_mean", "running_var", "num_batches_tracked"}
    assert "running_mean" in changed


def test_reestimated_statistics_are_of_all_rows_where_several_processes_train(finished, tmp_path):
    one = load_net(export(finished.folder.path, reestimate_bn=True, output=tmp_path / "one.safetensors"))
    torch.distributed.init_process_group("fake", store=FakeStore(), rank=0, world_size=2)
    try:
        path = export(finished.folder.path, reestimate_bn=True, output=tmp_path / "two.safetensors")
    finally:
        torch.distributed.destroy_process_group()
    torch.testing.assert_close(load_net(path).state_dict(), one.state_dict(), rtol=0, atol=0)


@pytest.mark.slow
def test_a_pickled_network_loads_with_the_core_alone(finished, rows, tmp_path):
    path = export(finished.folder.path, format="pickle", output=tmp_path / "net.pt")
    code = (
        "import sys; sys.modules |= dict.fromkeys(('lightning', 'timm', 'torchvision', 'datasets')); import torch;"
        f"net = torch.load({str(path)!r}, weights_only=False);"
        "print(net(torch.zeros(2, 1, 8, 8)).shape)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.strip() == "torch.Size([2, 10])"


@pytest.mark.slow
# torch's ONNX exporter uses parts of torch that torch itself has deprecated
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_onnx_gives_the_same_logits_for_any_number_of_rows(finished, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    path = export(finished.folder.path, format="onnx", output=tmp_path / "net.onnx")
    session = onnxruntime.InferenceSession(str(path))
    for count in (1, 5):
        x = torch.rand(count, 1, 8, 8)
        logits = session.run(None, {session.get_inputs()[0].name: x.numpy()})[0]
        assert torch.allclose(torch.from_numpy(logits), finished.load()(x), atol=1e-4)


def test_wrong_students_and_damaged_files_are_named(finished, tmp_path):
    with pytest.raises(ValueError, match="student 7 is not one of 0 to 2"):
        export(finished.folder.path, student=7)
    with pytest.raises(ValueError, match="no finished run"):
        evaluate(tmp_path)
    damaged = tmp_path / "student.safetensors"
    damaged.write_bytes(finished.folder.weights.read_bytes()[:500])
    with pytest.raises(ValueError, match="cannot be loaded"):
        load_net(damaged)


def test_onnx_without_its_packages_says_what_to_install(finished, tmp_path, monkeypatch):
    def missing(*_, **__):
        raise ModuleNotFoundError("No module named 'onnxscript'")

    monkeypatch.setattr(torch.onnx, "export", missing)
    with pytest.raises(ValueError, match=r"'onnxscript'.*pip install 'studygroup\[onnx\]'"):
        export(finished.folder.path, format="onnx", output=tmp_path / "net.onnx")
