"""A real browser on the real host's page, in both of its renderers, dark and light, English and Chinese."""

from __future__ import annotations

import json
import os
import shutil
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
RENDERERS = ("classic", "nodes2")
PATIENCE = 20_000  # milliseconds until something that should happen counts as not happening
QUIET = {  # no tour, no news, no old workflow
    "Comfy.TutorialCompleted": True,
    "Comfy.Workflow.Persist": False,
    "Comfy.Release.Status": "skip",
}


@pytest.fixture(scope="package")  # its driver holds the thread's event loop, which tests elsewhere want
def chromium():
    """Debian's chromium, or any other; `NEWBIE_BROWSER` names one that is not on the path."""
    playwright = pytest.importorskip("playwright.sync_api", reason="the package playwright is not installed")
    names = (os.environ.get("NEWBIE_BROWSER"), *map(shutil.which, BROWSERS))
    found = next(filter(None, names), None)
    if found is None:
        pytest.skip("there is no Chromium here: install it, as with apt-get install chromium, or set NEWBIE_BROWSER")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=found, args=["--no-sandbox", "--disable-dev-shm-usage"])
        yield browser
        browser.close()


@dataclass(frozen=True)
class Canvas:
    """The open page. Nodes are named by their type: the tests' graphs have one of each."""

    page: Any
    problems: list[str]  # what the page's console called an error

    def open(self, graph: dict[str, Any]) -> None:
        self.page.evaluate("graph => app.loadGraphData(graph, true, true, null)", graph)

    def open_template(self, name: str, **panel: Any) -> None:
        """A bundled graph at full size; panel: properties of its prompt node."""
        graph = json.loads((ROOT / "workflows" / f"{name}.json").read_text("utf-8"))
        for node in graph["nodes"]:
            if node["type"] == "NewBieXMLPrompt":
                node["properties"] |= panel
                node["size"] = [440, 680]
                x, y = node["pos"]
            if node["type"] == "NewBieLayoutPreview":
                node["pos"][1] += 400
        graph["extra"]["ds"] = {"scale": 1, "offset": [120 - x, 120 - y]}
        self.open(graph)
        self.page.wait_for_selector(".newbie-panel .cm-content >> visible=true", timeout=PATIENCE)

    def node(self, kind: str, expression: str) -> Any:
        """Of the node of this type, as `node`."""
        found = "const node = app.graph.nodes.find(({ type }) => type === kind);"
        return self.page.evaluate(f"kind => {{ {found} return {expression}; }}", kind)

    @property
    def xml(self) -> str:
        return self.node("NewBieXMLPrompt", "node.widgets.find(({ name }) => name === 'xml').value")

    def write(self, text: str) -> None:
        """Into the text widget, as another script would."""
        self.node("NewBieXMLPrompt", f"node.widgets.find(({{ name }}) => name === 'xml').value = {json.dumps(text)}")

    def queued(self) -> dict[str, Any]:
        return self.page.evaluate("async () => (await app.graphToPrompt()).output")

    def touch(self, *places: tuple[float, float]) -> None:
        """A finger that goes from place to place, in the page's pixels."""
        devices = self.page.context.new_cdp_session(self.page)
        for i, (x, y) in enumerate(places):
            points = [{"x": x, "y": y}]
            kind = "touchMove" if i else "touchStart"
            devices.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
        devices.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
        devices.detach()

    def seconds_of_a_key(self, count: int) -> float:
        """The mean of this many keys, until the page has drawn again: a busy machine's other work isn't ours."""
        devices = self.page.context.new_cdp_session(self.page)
        devices.send("Performance.enable", {"timeDomain": "threadTicks"})

        def worked() -> float:
            metrics = devices.send("Performance.getMetrics")["metrics"]
            return next(one["value"] for one in metrics if one["name"] == "TaskDuration")

        before = worked()
        self.page.evaluate(
            """async count => {
              for (let i = 0; i < count; i += 1) {
                document.execCommand("insertText", false, "x");
                await new Promise(requestAnimationFrame);
                await new Promise((drawn) => setTimeout(drawn));
              }
            }""",
            count,
        )
        took = (worked() - before) / count
        devices.detach()
        return took

    def until(self, expression: str, argument: Any = None) -> None:
        self.page.wait_for_function(expression, arg=argument, timeout=PATIENCE)


@pytest.fixture(scope="package")
def pages(host, chromium) -> Callable[..., Canvas]:
    """The host's page with these settings, opened once: every test opens its own graph, in the palette it wants."""

    @cache
    def open_page(renderer: str, locale: str) -> Canvas:
        context = chromium.new_context(
            viewport={"width": 1600, "height": 1000},
            has_touch=True,
            permissions=["clipboard-read", "clipboard-write"],
        )
        page, problems = context.new_page(), []
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("console", lambda told: problems.append(told.text) if told.text.startswith("NewBie:") else None)
        page.goto(host.url)
        page.wait_for_function("() => window.app?.graph?.nodes.length && app.extensionManager", timeout=60_000)
        return Canvas(page, problems)

    def with_settings(renderer: str, locale: str, palette: str) -> Canvas:
        settings = QUIET | {
            "Comfy.VueNodes.Enabled": renderer == "nodes2", "Comfy.Locale": locale, "Comfy.ColorPalette": palette,
        }  # fmt: skip
        request = urllib.request.Request(f"{host.url}/settings", json.dumps(settings).encode(), method="POST")
        request.add_header("Content-Type", "application/json")
        urllib.request.urlopen(request).read()  # for a page that is open, too: the host speaks the language set last
        opened = open_page(renderer, locale)
        opened.page.evaluate("name => app.extensionManager.setting.set('Comfy.ColorPalette', name)", palette)
        return opened

    return with_settings


@pytest.fixture
def canvas(pages) -> Iterator[Callable[..., Canvas]]:
    """The test fails on any error of ours in the page's console."""
    used = []

    def open_page(renderer: str = "classic", locale: str = "en", palette: str = "dark") -> Canvas:
        used.append(pages(renderer, locale, palette))
        used[-1].problems.clear()
        return used[-1]

    yield open_page
    assert not [problem for opened in used for problem in opened.problems]


@pytest.fixture(params=RENDERERS)
def renderer(request) -> str:
    return request.param
