"""A network as a graph that runs without its class: an ONNX file, or a program of `torch.export`."""

import io
import json
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from studygroup.extras import missing
from studygroup.files import write_atomically
from studygroup.formats.answers import check_classes, check_same, evaluated, in_single, not_traced, traced
from studygroup.formats.facts import Facts
from studygroup.inputs import Inputs, logits

FACTS = "studygroup.json"
"""Name of the extra file that holds the facts."""


def save_onnx(net: nn.Module, path: str | Path, *, example: Inputs, facts: Facts) -> None:
    """Write a network as an ONNX file whose metadata hold classes, shape, mean and deviation as JSON.

    The number of rows is free, and so is that of tokens if the network allows. A network in half precision is
    written in single precision, because not all runtimes compute in half precision.

    Args:
        net: any network, or an ensemble; it is exported in evaluation mode.
        path: the file, `.onnx`.
        example: two rows or more, as the network takes them.
        facts: the classes, and how pixels become input.

    Raises:
        ValueError: a missing package, a network that cannot be traced, other classes or pictures than the facts', or
            other answers by onnxruntime than from the network.

    Example:
        >>> found = onnxruntime.InferenceSession(path).get_modelmeta().custom_metadata_map
        >>> json.loads(found["classes"])
        ['cat', 'dog']
    """
    check_classes(net, example, facts)
    net, example = in_single(net, example)
    try:
        import onnxruntime

        with evaluated(net):
            program = torch.onnx.export(net, **traced(example, net.forward), dynamo=True, verbose=False)
    except ImportError as error:
        raise missing("ONNX", "onnx", error) from error
    except Exception as error:  # anything that the network's own code raises
        raise not_traced(net, error) from error
    assert program is not None
    made = program
    made.model.metadata_props.update(facts.as_json())

    def write(temporary: Path) -> None:
        made.save(temporary)
        session = onnxruntime.InferenceSession(str(temporary), providers=["CPUExecutionProvider"])
        check_same(net, partial(_asked, session), example, Path(path))

    write_atomically(Path(path), write)


def _asked(session: Any, inputs: Inputs) -> Tensor:
    names = [one.name for one in session.get_inputs()]
    given = {names[0]: inputs} if isinstance(inputs, Tensor) else {name: inputs[name] for name in names}
    return torch.from_numpy(session.run(None, {name: one.cpu().numpy() for name, one in given.items()})[0])


def save_program(net: nn.Module, path: str | Path, *, example: Inputs, facts: Facts) -> None:
    """Write a network as a program that `torch.export.load` opens, `.module()` of which is a network again.

    The number of rows is free, and so is that of tokens if the network allows. The extra file `studygroup.json`
    holds the facts: `torch.export.load(path, extra_files=(found := {"studygroup.json": ""}))` fills it in.

    Args:
        net: any network, or an ensemble; it is exported in evaluation mode.
        path: the file, usually `.pt2`.
        example: two rows or more, as the network takes them.
        facts: the classes, and how pixels become input.

    Raises:
        ValueError: a network that cannot be traced, other classes or pictures than the facts', or other answers from
            the file than from the network.
    """
    check_classes(net, example, facts)
    with evaluated(net):
        try:
            program = torch.export.export(net, **traced(example, net.forward), strict=False)
        except Exception as error:  # anything that the network's own code raises
            raise not_traced(net, error) from error

    def write(temporary: Path) -> None:
        # by way of memory: where a disk is full, torch's own writer ends the whole process
        content = io.BytesIO()
        torch.export.save(program, content, extra_files={FACTS: json.dumps(facts.as_json())})
        temporary.write_bytes(content.getbuffer())
        again = torch.export.load(temporary).module()
        check_same(net, partial(logits, again), example, Path(path))

    write_atomically(Path(path), write)
