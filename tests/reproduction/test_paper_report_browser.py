"""The report in a browser: it renders, says nothing on the console, and does not overflow a narrow window."""

import html
import json
import os
import re
import shutil
import subprocess

import made_up_results
import pytest

from reproduction.report import report

BROWSER = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="needs Chromium on the path")

QUIET = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage", "--hide-scrollbars",
    "--enable-logging=stderr", "--v=0",
]  # fmt: skip
# an iframe has the width that it is told: a window does not become narrower than 500 pixels
FRAME = """<!doctype html><body style="margin:0"><iframe id="it" style="border:0;width:{width}px;height:900px"
srcdoc="{page}"></iframe><script>
const it = document.getElementById("it")
it.onload = () => {{
  const inner = it.contentDocument, root = inner.documentElement
  const boxed = e => e.closest(".wide, pre") && !e.matches(".wide, pre")
  const out = [...inner.body.querySelectorAll("*")].filter(e => !boxed(e) && !e.closest("svg, .skip") &&
    e.getBoundingClientRect().right > root.clientWidth + 1).map(e => e.tagName + "." + e.className)
  const plots = [...inner.querySelectorAll("main svg[role=img]")].filter(e => e.checkVisibility()).map(e => {{
    const box = e.getBoundingClientRect()
    return [box.width, box.height, e.querySelectorAll("path, rect, polyline").length]
  }})
  const ink = getComputedStyle(inner.querySelector("main svg text")).fill
  document.body.dataset.found = JSON.stringify({{
    width: root.clientWidth, scroll: root.scrollWidth, out, plots, ink,
    sticky: getComputedStyle(inner.querySelector("nav")).position,
  }})
}}
</script>"""


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("browser") / "papers"
    made_up_results.fill(folder, ["cgl-table-4"])
    made_up_results.analyse(folder / "run")
    return report([str(folder)], tables=["cgl-table-4", "cgl-figure-5", "intra-table-3"])


def browse(path, profile, *options):
    """What the browser wrote, and what the page said on its console."""
    environment = {**os.environ, "HOME": str(profile)}
    command = [BROWSER, *QUIET, f"--user-data-dir={profile}", *options, path.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=True, env=environment)
    return done.stdout, re.findall(r".*CONSOLE.*", done.stderr)


def looked_at(page, folder, *, width, options=()):
    """Measures in a window of a width."""
    # the policy of the page holds in a frame, too; what measures stands outside
    frame = folder / "frame.html"
    frame.write_text(
        FRAME.format(width=width, page=html.escape(page.read_text(encoding="utf-8"))), encoding="utf-8"
    )
    text, said = browse(frame, folder / "profile", "--window-size=1600,1000", "--dump-dom", *options)
    found = re.search(r'data-found="([^"]*)"', text)
    assert found, text[-2000:]
    return json.loads(html.unescape(found[1])), said


@pytest.mark.slow
@pytest.mark.parametrize("width", [375, 1400])
def test_it_fits_its_window_and_shows_its_plots(page, tmp_path, width):
    found, said = looked_at(page, tmp_path, width=width)
    assert said == []
    assert found["width"] == width
    assert found["scroll"] <= width
    assert found["out"] == []
    assert len(found["plots"]) >= 4
    assert all(wide > 250 and high > 60 and parts > 5 for wide, high, parts in found["plots"])
    assert found["sticky"] == ("sticky" if width == 1400 else "static")


@pytest.mark.slow
def test_text_of_plots_follows_light_and_dark(page, tmp_path):
    (tmp_path / "light").mkdir()
    (tmp_path / "dark").mkdir()
    light, _ = looked_at(page, tmp_path / "light", width=800)
    dark, said = looked_at(
        page, tmp_path / "dark", width=800, options=["--blink-settings=preferredColorScheme=0"]
    )
    assert said == []
    brightness = [sum(map(int, re.findall(r"\d+", found["ink"])[:3])) for found in (light, dark)]
    assert brightness[0] < 3 * 128 < brightness[1]


@pytest.mark.slow
def test_it_prints(page, tmp_path):
    out = tmp_path / "page.pdf"
    _, said = browse(page, tmp_path / "profile", f"--print-to-pdf={out}", "--no-pdf-header-footer")
    assert said == []
    assert out.read_bytes().startswith(b"%PDF")


@pytest.mark.slow
def test_an_error_would_be_seen(page, tmp_path):
    """The console is heard: a page that asks for something outside is refused by its policy, aloud."""
    asking = tmp_path / "asking.html"
    text = page.read_text(encoding="utf-8").replace("</main>", '<img src="http://localhost/x.png"></main>')
    asking.write_text(text, encoding="utf-8")
    _, said = browse(asking, tmp_path / "profile", "--dump-dom")
    assert len(said) == 1
    assert "Content Security Policy" in said[0]
