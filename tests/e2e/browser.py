"""A headless Chromium that shows the dashboard."""

import contextlib
import os
import re

from selenium import webdriver
from selenium.webdriver.chrome.service import Service as Driver

from harness import eventually

PHONE = (390, 844)
PROJECTOR = (1920, 1080)

# What a screen reader says at each reading of the graph, which the keyboard reaches.
_HISTORY = """
const graph = document.getElementById("graph");
const press = (key) => graph.dispatchEvent(new KeyboardEvent("keydown", { key }));
const said = () => `${graph.ariaValueNow} ${graph.ariaValueText}`;
const rows = [];
for (press("Home"); said() !== rows.at(-1); press("ArrowRight")) rows.push(said());
press("Escape");
return rows;
"""

# For each column of the plot, whether the area is drawn in it at that part of its height.
_COLUMNS = """
const canvases = [...document.querySelectorAll("#graph canvas")];
return Array.from({ length: canvases[0].width }, (_, x) => canvases.some((canvas) => {
  const [r, g, b, a] = canvas.getContext("2d").getImageData(x, Math.round(arguments[0] * canvas.height), 1, 1).data;
  return a > 60 && b > r + 20 && b > g;
}));
"""


class Browser(contextlib.ExitStack):
    """Headless Chromium at one page; ends with it."""

    def __init__(self, size=PROJECTOR):
        super().__init__()
        options = webdriver.ChromeOptions()
        options.binary_location = "/usr/bin/chromium"
        for flag in ("headless=new", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-sync",
                     "disable-background-networking", "disable-component-update", "disable-dev-shm-usage"):
            options.add_argument(f"--{flag}")
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.driver = webdriver.Chrome(options=options, service=Driver("/usr/bin/chromedriver"))
        self.callback(self.driver.quit)
        self.look(size)

    def look(self, size):
        """Sets the screen's size."""
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {
            "width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": size == PHONE})

    def open(self, url):
        self.driver.get(f"{url}/index.html")

    def run(self, script, *arguments):
        return self.driver.execute_script(script, *arguments)

    def text(self, element):
        """The text of the element with that id."""
        return self.run("return document.getElementById(arguments[0]).textContent.trim()", element)

    def number(self, element):
        """The number in the element, or None."""
        text = self.text(element).replace(",", "")
        return None if text == "–" else float(text)

    def history(self):
        """The values of the graph: [(time of day, speed or None, average or None)]"""
        numbers = r"(?:([\d.]+) hashes per second|not known)(?:, average ([\d.]+))?"
        found = re.findall(rf"(\d\d:\d\d:\d\d): {numbers}", "\n".join(self.run(_HISTORY)))
        return [(then, *(float(each) if each else None for each in known)) for then, *known in found]

    def columns(self, height):
        """Whether the area is drawn in each column of the graph, at that part (0 to 1, from the top) of its height."""
        return self.run(_COLUMNS, height)

    def wait_for_state(self, state, timeout=20):
        eventually(lambda: self.text("state") == state, timeout, 0.1, f"the state {state!r}")

    def console(self):
        """Messages on the console since the last call."""
        return [entry["message"] for entry in self.driver.get_log("browser")]


def install_hint():
    """Why the dashboard cannot be tested on this machine, or None."""
    needed = ("/usr/bin/chromium", "/usr/bin/chromedriver", "/usr/share/javascript/dygraphs/dygraph.min.js")
    missing = [path for path in needed if not os.path.exists(path)]
    return f"missing: {', '.join(missing)}; see scripts/install-deps" if missing else None
