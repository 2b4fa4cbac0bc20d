"""The documentation's code runs as it stands."""

import re
from pathlib import Path

import torch

import studygroup as sg

DOCS = Path(__file__).parent.parent / "docs"


def blocks(page: str) -> list[str]:
    """The Python of a page, block by block."""
    return re.findall(r"^```python\n(.*?)^```", (DOCS / page).read_text(), flags=re.M | re.S)


def test_every_example_of_extending_runs_and_teaches_the_students_something():
    torch.manual_seed(0)
    page: dict = {"__name__": "extending"}
    values: dict[str, float] = {}
    for block in blocks("extending.md"):
        page.pop("losses", None)
        exec(compile(block, "docs/extending.md", "exec"), page)
        if "losses" in page:
            page["losses"].total.backward()
            values |= {
                name: float(value.detach().abs().sum()) for name, value in page["losses"].values.items()
            }
    assert all(0 < value < 100 for name, value in values.items() if name != "Self"), values
    assert values.keys() == {
        "supervised", "Neighbour", "Surest", "Median", "Self", "doubt", "alike", "different", "layer_labels",
        "imitation",
    }  # fmt: skip
    group, x = page["group"], page["x"]
    assert all(p.grad.abs().sum() > 0 for p in group.parameters())
    torch.testing.assert_close(page["net"](x), group(x).logits.mean(0))
    assert page["task"].objectives[2].weight(0.0) == 0.2
    assert isinstance(page["task"], sg.CollaborativeLearning)
