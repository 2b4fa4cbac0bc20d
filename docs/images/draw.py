"""Draw the route tables of README and docs/concepts.md: `python docs/images/draw.py` writes them beside this file."""

from pathlib import Path

import studygroup as sg

TABLES = {
    "table": sg.routes.random(
        ["stem", "layer1", "layer2", "layer3", "layer4", "fc"], students=4, modules=2, seed=3
    ),
    "separate": sg.routes.independent(students=3),
    "branches": sg.routes.branches(["layer4", "fc"], students=3),
    "tree": sg.routes.tree({"layer3": [0, 0, 1, 1], "layer4": [0, 1, 2, 3], "fc": [0, 1, 2, 3]}),
    "random": sg.routes.random(["layer1", "layer2", "layer3", "layer4"], students=4, modules=2, seed=1),
    "views": sg.routes.hierarchical_dropout(["fc.2", "fc.5"]),
}
FOLDER = Path(__file__).parent


def picture(name: str) -> Path:
    """Return the file of a table's picture."""
    return FOLDER / f"routes-{name}.svg"


if __name__ == "__main__":
    for name, table in TABLES.items():
        table.draw(picture(name))
