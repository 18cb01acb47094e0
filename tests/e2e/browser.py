"""A whole DockerCoins, a proxy that makes trouble, and a headless Chromium that looks at the dashboard."""

import contextlib
import json
import os
import shutil
import tempfile
import threading
import time
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from selenium import webdriver
from selenium.webdriver.chrome.service import Service as Driver

from harness import REPO, eventually
from processes import Processes

ARTEFACTS = os.path.join(REPO, "artefacts")
PHONE = (390, 844)
PROJECTOR = (1920, 1080)


class DockerCoins(Processes):
    """All services as real processes; a context manager. .scale(N) changes the number of workers, .page is the URL."""

    def __init__(self, workers=1, **webui):
        with contextlib.ExitStack() as stack:
            super().__init__(stack, workers, webui=webui)
            self.page = f"{self.url}/index.html"
            self._opened = stack.pop_all()
            self._stack = self._opened

    def __exit__(self, *details):
        return self._opened.__exit__(*details)


class Proxy:
    """Between browser and web UI; a context manager.

    Serves the web UI below `prefix`, nothing above it. .delay and .delay_answer are seconds that each request for json
    then waits before, or after, the web UI is asked. .rewrite changes an answer of json (a dict). Counts .requests of
    json and how many there were .most_at_once.
    """

    def __init__(self, port, prefix=""):
        self.delay = self.delay_answer = 0.0
        self.rewrite = lambda answer: answer
        self.requests = self.most_at_once = self._at_once = 0
        lock = threading.Lock()
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                path = self.path.removeprefix(prefix)
                if path != "/json" or not self.path.startswith(prefix):
                    self._answer(path if self.path.startswith(prefix) else "/not-there")
                    return
                with lock:
                    proxy.requests += 1
                    proxy._at_once += 1
                    proxy.most_at_once = max(proxy.most_at_once, proxy._at_once)
                try:
                    time.sleep(proxy.delay)
                    self._answer(path)
                finally:
                    with lock:
                        proxy._at_once -= 1

            def _answer(self, path):
                connection = HTTPConnection("127.0.0.1", port, timeout=20)
                try:
                    connection.request("GET", path)
                    answer = connection.getresponse()
                    body = answer.read()
                except (OSError, HTTPException):
                    self.send_error(502)
                    return
                finally:
                    connection.close()
                if path == "/json":
                    body = json.dumps(proxy.rewrite(json.loads(body))).encode() if answer.status == 200 else body
                    time.sleep(proxy.delay_answer)
                with contextlib.suppress(ConnectionError):
                    self.send_response(answer.status)
                    for name, value in answer.getheaders():
                        if name.lower() not in ("connection", "content-length", "date", "server"):
                            self.send_header(name, value)
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}{prefix}/index.html"

    def __enter__(self):
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()


# All that the graph knows, by its keys; a number is null where the legend says that it is not known.
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
const height = arguments[0];
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

    def __init__(self, size=PROJECTOR, dark=False):
        self._size = size
        self._dark = dark
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
        # Chromium's own page for new tabs loads a good deal; that is not ours.
        self.driver.get("about:blank")
        for log in ("browser", "performance"):
            self.driver.get_log(log)
        self.look(self._size, self._dark)
        return self

    def __exit__(self, *_):
        with contextlib.suppress(Exception):
            self.driver.quit()
        self._profile.cleanup()

    def devtools(self, command, **parameters):
        return self.driver.execute_cdp_cmd(command, parameters)

    def look(self, size, dark):
        """Takes on a screen's size and the system's colour scheme."""
        self.devtools("Emulation.setDeviceMetricsOverride", width=size[0], height=size[1], deviceScaleFactor=1,
                      mobile=size == PHONE)
        self.devtools("Emulation.setEmulatedMedia",
                      features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])

    def open(self, url):
        self.driver.get(url)
        return self

    def run(self, script, *arguments):
        return self.driver.execute_script(script, *arguments)

    def text(self, element):
        """The text of the element with that id."""
        return self.run("return document.getElementById(arguments[0]).textContent.trim()", element)

    @property
    def state(self):
        return self.text("state")

    def number(self, element):
        """The first number in the element, or None."""
        text = self.text(element).replace(",", "").lstrip("~").split(" ")[0]
        return None if text == "–" else float(text)

    def history(self):
        """What the graph knows, asked by keyboard: [(time of day, speed or None, average or None)]"""
        return [tuple(row) for row in self.run(_HISTORY)]

    def columns(self, height):
        """Whether the area is drawn, for each column of the graph, at that part (0 to 1, from above) of its height."""
        return self.run(_COLUMNS, height)

    def wait_for_state(self, state, timeout=20):
        eventually(lambda: self.state == state, timeout, 0.1, f"the state {state!r} (is {self.state!r})")

    def screenshot(self, name):
        os.makedirs(ARTEFACTS, exist_ok=True)
        assert self.driver.save_screenshot(os.path.join(ARTEFACTS, f"{name}.png"))

    def console(self):
        """What was written to the console since the last call."""
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
    missing = [program for program in ("chromium", "chromedriver") if not shutil.which(program, path="/usr/bin")]
    if not os.path.exists("/usr/share/javascript/dygraphs/dygraph.min.js"):
        missing.append("libjs-dygraphs")
    return f"missing: {', '.join(missing)}; see scripts/install-deps" if missing else None
