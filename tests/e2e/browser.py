"""A headless Chromium that shows the dashboard."""

import contextlib
import json
import os
import tempfile

from selenium import webdriver
from selenium.webdriver.chrome.service import Service as Driver

from harness import eventually

PHONE = (390, 844)
PROJECTOR = (1920, 1080)


# All values of the graph, read by keyboard; a number is null where the legend says that it is not known.
_HISTORY = """
const graph = document.getElementById("graph");
const press = (key) => graph.dispatchEvent(new KeyboardEvent("keydown", { key }));
const value = (id) => {
  const number = parseFloat(document.getElementById(id).textContent);
  return Number.isNaN(number) ? null : number;
};
const rows = [];
press("Home");
for (let before = ""; ;) {
  const then = document.getElementById("then").textContent.replace(" at ", "");
  const place = `${graph.getAttribute("aria-valuenow")} ${then}`;
  if (place === before) break;
  before = place;
  rows.push([then, value("speed-then"), value("average-then")]);
  press("ArrowRight");
}
press("Escape");
return rows;
"""

# For each column of the plot, whether the area is drawn in it a few pixels above the axis.
_COLUMNS = """
const [height] = arguments;
const found = [];
for (const canvas of document.querySelectorAll("#graph canvas")) {
  const scale = canvas.width / canvas.clientWidth;
  const { data, width } = canvas.getContext("2d")
    .getImageData(0, Math.round(height * canvas.clientHeight * scale), canvas.width, 1);
  for (let x = 0; x < width; x += 1) {
    const [r, g, b, a] = data.slice(4 * x, 4 * x + 4);
    if (a > 60 && b > r + 20 && b > g) found[Math.round(x / scale)] = true;
  }
}
return Array.from(found, Boolean);
"""


class Browser:
    """Headless Chromium at one page; a context manager."""

    def __init__(self, size=PROJECTOR):
        self._size = size
        self._network = []

    def __enter__(self):
        self._profile = tempfile.TemporaryDirectory(prefix="dockercoins-chromium-", ignore_cleanup_errors=True)
        options = webdriver.ChromeOptions()
        options.binary_location = "/usr/bin/chromium"
        for flag in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
                     "--disable-background-networking", "--disable-component-update", "--disable-sync",
                     "--disable-dev-shm-usage", f"--user-data-dir={self._profile.name}"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        self.driver = webdriver.Chrome(options=options, service=Driver("/usr/bin/chromedriver"))
        # Chromium's own page for new tabs loads many files, which are not ours.
        self.driver.get("about:blank")
        for log in ("browser", "performance"):
            self.driver.get_log(log)
        self.look(self._size, dark=False)
        return self

    def __exit__(self, *_):
        with contextlib.suppress(Exception):
            self.driver.quit()
        self._profile.cleanup()

    def devtools(self, command, **parameters):
        return self.driver.execute_cdp_cmd(command, parameters)

    def look(self, size, dark):
        """Sets the screen's size and the colour scheme."""
        self.devtools("Emulation.setDeviceMetricsOverride", width=size[0], height=size[1], deviceScaleFactor=1,
                      mobile=size == PHONE)
        self.devtools("Emulation.setEmulatedMedia",
                      features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])

    def open(self, url):
        self.driver.get(f"{url}/index.html")

    def run(self, script, *arguments):
        return self.driver.execute_script(script, *arguments)

    def text(self, element):
        """The text of the element with that id."""
        return self.run("return document.getElementById(arguments[0]).textContent.trim()", element)

    @property
    def state(self):
        return self.text("state")

    def number(self, element):
        """The number in the element, or None."""
        text = self.text(element).replace(",", "")
        return None if text == "–" else float(text)

    def history(self):
        """The values of the graph, read by keyboard: [(time of day, speed or None, average or None)]"""
        return [tuple(row) for row in self.run(_HISTORY)]

    def columns(self, height):
        """Whether the area is drawn in each column of the graph, at that part (0 to 1, from the top) of its height."""
        return self.run(_COLUMNS, height)

    def wait_for_state(self, state, timeout=20):
        eventually(lambda: self.state == state, timeout, 0.1, f"the state {state!r} (is {self.state!r})")

    def console(self):
        """Messages on the console since the last call."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def network(self, method):
        """The parameters of all network events of that name so far."""
        for entry in self.driver.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"].startswith("Network."):
                self._network.append(message)
        return [message["params"] for message in self._network if message["method"] == method]


def install_hint():
    """Why the dashboard cannot be tested on this machine, or None."""
    needed = ("/usr/bin/chromium", "/usr/bin/chromedriver", "/usr/share/javascript/dygraphs/dygraph.min.js")
    missing = [path for path in needed if not os.path.exists(path)]
    return f"missing: {', '.join(missing)}; see scripts/install-deps" if missing else None
