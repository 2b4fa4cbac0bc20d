"""A network as a program of `torch.export`, which runs without its class."""

import io
import json
from pathlib import Path

import torch
from torch import Tensor, nn

from studygroup.files import write_atomically
from studygroup.formats.answers import check_classes, check_same, evaluated, not_traced, traced
from studygroup.formats.facts import Facts
from studygroup.inputs import Inputs, logits

FACTS = "studygroup.json"
"""Name of the extra file that holds the facts."""


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

        def asked(inputs: Inputs) -> Tensor:
            with torch.no_grad():
                return logits(again, inputs)

        check_same(net, asked, example, Path(path))

    write_atomically(Path(path), write)
