"""The picture of a route table shows what the table says."""

import re
from itertools import pairwise
from xml.etree import ElementTree

import pytest

import studygroup as sg
from studygroup import routes as r

SVG = "{http://www.w3.org/2000/svg}"
TABLES = [
    r.independent(students=3),
    r.tree({"layer3": [0, 0, 1, 1], "layer4": [0, 1, 2, 3], "fc": [0, 1, 2, 3]}),
    r.random([f"layer{i}" for i in range(6)], students=8, modules=2, seed=1),
    r.hierarchical_dropout(["drop1", "drop2"], views=3),
    sg.Routes(("a", "b"), ((0, 0), (1, 1)), modules=(3, 2)),
    r.branches(["layer4", "fc"], students=16, leader=15),
]


def corners(path: ElementTree.Element) -> list[tuple[float, float]]:
    """The places that a path passes."""
    begin, *steps = re.split("[MC]", path.attrib["d"])[1:]
    return [tuple(map(float, place.split()[-2:])) for place in (begin, *steps)]


@pytest.mark.parametrize("routes", TABLES, ids=lambda routes: f"{routes.students} of {len(routes.layers)}")
def test_every_path_goes_through_its_modules_and_meets_who_shares_them(routes):
    picture = ElementTree.fromstring(routes.draw())
    width, height = float(picture.attrib["width"]), float(picture.attrib["height"])
    rects = [{**rect.attrib} for rect in picture.iter(f"{SVG}rect") if rect.attrib.get("class") == "box"]
    boxes = [
        (float(b["x"]), float(b["x"]) + float(b["width"]), float(b["y"]), float(b["y"]) + float(b["height"]))
        for b in rects
    ]
    assert len(boxes) == sum(routes.modules)
    layers = [boxes[sum(routes.modules[:i]) :][:count] for i, count in enumerate(routes.modules)]
    paths = [corners(path) for path in picture.iter(f"{SVG}path")]
    assert len(paths) == routes.students
    for student, path in enumerate(paths):
        assert all(0 < x < width and 0 < y < height for x, y in path)
        for layer, (enters, leaves) in enumerate(zip(path[1:-1:2], path[2:-1:2], strict=True)):
            left, right, top, bottom = layers[layer][routes.table[layer][student]]
            assert enters[1] == pytest.approx(top)
            assert leaves[1] == pytest.approx(bottom)
            assert left < enters[0] == leaves[0] < right
    for layer in range(len(routes.layers)):
        taken = [path[: layer + 1] for path in zip(*routes.table, strict=True)]
        beside = sorted(range(routes.students), key=lambda student: paths[student][1 + 2 * layer][0])
        for one, other in pairwise(beside):
            if taken[one][-1] == taken[other][-1]:
                apart = paths[other][1 + 2 * layer][0] - paths[one][1 + 2 * layer][0]
                assert apart == pytest.approx(3.5 if taken[one] == taken[other] else 12)
        assert len(set(taken)) == 1 + sum(taken[one] != taken[other] for one, other in pairwise(beside))


def test_the_words_of_the_picture_are_the_table():
    routes = r.tree({"a": [0, 0, 1], "<b>": [0, 1, 2]}, leader=2)
    picture = ElementTree.fromstring(routes.draw())
    assert picture.find(f"{SVG}desc").text == "Module of each student. a: 0 0 1. <b>: 0 1 2"
    words = [text.text for text in picture.iter(f"{SVG}text")]
    assert words[:2] == ["route table", "one pass"]
    assert words.count("2*") == 2  # the leader, above its column and at its answers
    assert words[words.index("<b>") + 1 :][:3] == ["0", "1", "2"]


def test_students_are_told_apart_by_colour():
    picture = ElementTree.fromstring(TABLES[2].draw())
    assert len({path.attrib["stroke"] for path in picture.iter(f"{SVG}path")}) == 8


def test_a_file_is_whole_and_needs_nothing_else(tmp_path):
    file = tmp_path / "routes.svg"
    text = TABLES[1].draw(file)
    assert file.read_text() == text == TABLES[1]._repr_svg_()
    assert re.findall(r"(?:href|src|url|@import)", text) == []
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        TABLES[1].draw(tmp_path / "file" / "routes.svg")
