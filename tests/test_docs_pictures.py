"""The pictures of the documentation are what the library draws now."""

import re
import runpy

from helpers.pages import DOCS


def test_the_pictures_are_those_of_the_script_and_stand_on_a_page():
    script = runpy.run_path(str(DOCS / "images" / "draw.py"))
    tables, picture = script["TABLES"], script["picture"]
    pages = (DOCS.parent / "README.md").read_text() + (DOCS / "concepts.md").read_text()
    shown = re.findall(r"images/(routes-[\w-]+\.svg)\)", pages)
    assert sorted(shown) == sorted(picture(name).name for name in tables)
    for name, table in tables.items():
        assert picture(name).read_text() == table.draw(), f"{name}: run python docs/images/draw.py"
