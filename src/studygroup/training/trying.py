"""Parts of one's own are tried on a few rows before anything is trained or written."""

import torch
from torch import nn

from studygroup._engine.isolate import without_side_effects
from studygroup.data import Data
from studygroup.data.form import Texts
from studygroup.inputs import Inputs, count_rows, logits
from studygroup.objectives import Criterion
from studygroup.task import CollaborativeLearning
from studygroup.teachers import Frozen


def check_answers(net: nn.Module, name: str, example: Inputs, *, classes: int) -> None:
    """Run a few rows through a network of one's own, of which nothing is changed.

    Raises:
        ValueError: it does not take them, or answers with another number of classes.
    """
    try:
        with without_side_effects(net, training=False):
            found = logits(net, example)
    except (RuntimeError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise ValueError(f"network {name!r} does not take rows of the data: {error}") from error
    rows = count_rows(example)
    if found.shape != (rows, classes):
        raise ValueError(
            f"network {name!r} gives logits of shape {tuple(found.shape)} for {rows} rows of {classes} classes; let "
            "it take the number of classes as `classes` or `num_classes`, or set it by --model_options"
        )


def check_longest(net: nn.Module, data: Data) -> None:
    """Run a row as long as the longest text of the data through a network, of which nothing is changed.

    Raises:
        ValueError: the network has no positions for so many tokens.
    """
    lengths = [split.lengths for split in (data.train, data.holdout, data.test) if split is not None]
    longest = max((int(some.max()) for some in lengths if some is not None and len(some)), default=0)
    if not isinstance(data.form, Texts) or not longest:
        return
    encoder = data.form.encoder
    token = (encoder.padding + 1) % encoder.vocabulary  # padding may have no positions
    ids = torch.full((2, longest), token)
    try:
        with without_side_effects(net, training=False):
            logits(net, {"input_ids": ids, "attention_mask": torch.ones_like(ids)})
    except (RuntimeError, ValueError, IndexError) as error:
        raise ValueError(
            f"the longest text has {longest} tokens, which the network does not take ({error}); cut texts by "
            "--tokenizer.length, or give the network more positions, as by --model_options.length"
        ) from error


def check_criterion(criterion: Criterion, *, classes: int, mixed: bool) -> None:
    """Try a criterion on labels as the run has them: class probabilities, where they are mixed.

    Raises:
        ValueError: it does not give one number a row.
    """
    labels = torch.full((2, classes), 1 / classes) if mixed else torch.zeros(2, dtype=torch.int64)
    try:
        criterion.loss(criterion.spread(torch.zeros(1, 2, classes)), labels)
    except Exception as error:  # whatever a loss raises
        kind = "class probabilities, as --mix makes them" if mixed else "one class a row"
        raise ValueError(f"the criterion does not take logits with {kind}: {error}") from error


def check_teachers(task: CollaborativeLearning, data: Data) -> None:
    """Compare what frozen teachers were trained to read, where it is on record, with what this run reads.

    Raises:
        ValueError: a teacher knows the same classes by other numbers, or other tokens by the same ids.
    """
    for known in (teacher.trained_on for teacher in task.teachers if isinstance(teacher, Frozen)):
        if known is None:
            continue
        theirs, ours = list(known["classes"]), list(data.classes)
        if theirs != ours and sorted(theirs) == sorted(ours):
            raise ValueError(
                f"the teacher's classes are {', '.join(theirs)} and those of the data {', '.join(ours)}: it would "
                "teach the wrong ones; train it on data whose classes are in this order"
            )
        read, own = (form.get("tokenizer", {}).get("fingerprint") for form in (known, data.form.facts))
        if read != own:
            raise ValueError(
                "the teacher's tokenizer is not that of this run, so it would read other words; tokenizers are "
                "fitted to the training rows: train the teacher with the same seed, holdout and train_rows, or both "
                "with a tokenizer that is fitted to none, --tokenizer Characters or Pretrained"
            )
