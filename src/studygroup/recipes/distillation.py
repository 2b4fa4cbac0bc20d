"""Knowledge distillation from a trained network (Hinton, Vinyals and Dean 2015)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from studygroup.checks import check_share
from studygroup.extras import missing
from studygroup.group import StudyGroup
from studygroup.inputs import Inputs
from studygroup.naming import did_you_mean
from studygroup.objectives import Imitation, Supervised, probe
from studygroup.routes import independent
from studygroup.task import CollaborativeLearning
from studygroup.teachers import Frozen
from studygroup.trust import tensors_alone

_PAPER = """@misc{hinton2015distilling,
  author        = {Hinton, Geoffrey and Vinyals, Oriol and Dean, Jeff},
  title         = {Distilling the Knowledge in a Neural Network},
  year          = {2015},
  eprint        = {1503.02531},
  archiveprefix = {arXiv}
}"""
_HUB = ("hf_hub:", "hf-hub:", "local-dir:")


def distillation(
    model: nn.Module,
    *,
    teacher: nn.Module | str,
    example: Inputs,
    alpha: float = 0.5,
    temperature: float = 2.0,
    scale_by_t2: bool = True,
    weights: str | None = None,
) -> CollaborativeLearning:
    """Train one student on the labels and on the softened answers of a frozen teacher.

    L = (1−α) CE(y, ψ(z_s; 1)) + α T² KL(ψ(z_t; T) ‖ ψ(z_s; T)), the weighted average of section 2 (without numbers in
    the paper); KL has the gradient of the cross-entropy printed there and is 0 at agreement.

    Reading:
        "A relative weight of 0.5 on the cross-entropy for the hard targets" (section 4.1) is 1−α, with T² on the
        other part as section 2 asks. T = 2 is what that section found best of 1, 2, 5 and 10; section 3 uses 20 on
        MNIST.

    Departs:
        One network teaches; an ensemble is a module that returns the mean of its members' logits. The teacher sees
        the rows as the student does, augmented alike and normalised with the statistics of the student's training
        rows.

    Args:
        model: the network to train and ship.
        teacher: a network; or a run folder, or a network's file, written by `studygroup train`; or the name of a timm
            model with weights for the same classes, such as `hf_hub:OWNER/NAME`.
        example: one batch; run without gradient and without side effects, it tells channels and classes.
        alpha: α in [0, 1], the share of the teacher.
        temperature: T > 0.
        scale_by_t2: multiply imitation by T².
        weights: file of a timm network's weights; omitted, those that timm downloads.

    Raises:
        ValueError: α outside [0, 1], a teacher that cannot be found or has other classes than the student, or a
            missing package.
    """
    check_share("alpha", alpha, of="the teacher")
    group = StudyGroup(model, independent(students=1))
    answer = probe(group, example).logits.shape[2:]
    trained_on: Mapping[str, Any] | None = None
    if not isinstance(teacher, str):
        network = teacher
    elif Path(teacher).exists():
        network, trained_on = _shipped(Path(teacher))
    else:
        network = _of_timm(teacher, example, answer[-1], weights)
    listened = Frozen(network)
    listened.sources, listened.trained_on = (_PAPER,), trained_on
    assert listened.of is not None
    told = probe(listened.of, example).logits.shape[2:]
    if len(told) > 1 or len(answer) > 1:
        if told != answer:
            raise ValueError(
                f"a row's logits have shape {tuple(told)} from the teacher and {tuple(answer)} from the student; "
                "give a teacher that answers in the student's shape"
            )
    elif told != answer:
        raise ValueError(
            f"the teacher tells {told[0]} classes apart and the student {answer[0]}; train the teacher on the "
            "student's data (studygroup train --recipe baseline --model NAME --model_options.pretrained true), and "
            "give its run"
        )
    imitation = Imitation(listened, temperature=temperature, weight=alpha, scale_by_t2=scale_by_t2)
    return CollaborativeLearning(group, [Supervised(weight=1 - alpha), imitation])


def _of_timm(name: str, example: Inputs, classes: int, weights: str | None) -> nn.Module:
    """Return a network of timm."""
    try:
        import timm
    except ImportError as error:
        raise missing(f"teacher {name!r}, which is no folder or file,", "train", error) from error
    bare = name.removeprefix("timm/")
    if not bare.startswith(_HUB) and not timm.is_model(bare):
        raise ValueError(
            f"teacher {name!r} is no run folder, no network's file and no name that timm knows"
            f"{did_you_mean(bare, timm.list_models())}; give one of those"
        )
    if not isinstance(example, Tensor):
        raise ValueError(
            f"timm's {bare} reads pictures, and the rows are not; give the run folder of a teacher"
        )
    sizes: dict[str, Any] = {"in_chans": example.shape[1]}
    sizes |= {"pretrained": True} if weights is None else {"num_classes": classes, "checkpoint_path": weights}
    with tensors_alone():
        network: nn.Module = timm.create_model(bare, **sizes)
    return network


def _shipped(path: Path) -> tuple[nn.Module, Mapping[str, Any]]:
    """Return the network that a run left, and its classes and preprocessing."""
    try:
        from studygroup.training.export import load_net, read_facts
        from studygroup.training.folder import RunFolder
    except ImportError as error:
        raise missing(f"the run in {path}", "train", error) from error
    if path.is_dir():
        folder = RunFolder(path)
        folder.read_summary()  # raises for a run that is not finished
        path = folder.weights
    facts = read_facts(path)
    return load_net(path), {"classes": facts.classes, **facts.form}
