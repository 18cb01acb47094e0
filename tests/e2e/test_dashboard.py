"""The dashboard in headless Chromium, against the real services and a real Redis.

What its modules compute, say and draw is asked in tests/unit/js; here it is one page, in a real browser.
"""

import itertools
import os
import re
import signal
import time

import pytest

from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

from browser import PHONE, PROJECTOR, Browser, below_prefix, dockercoins, install_hint
from harness import eventually

pytestmark = pytest.mark.skipif(install_hint() is not None, reason=str(install_hint()))
of_the_page = pytest.mark.xdist_group("page")  # one process has the page for all of them

REDIS_AWAY = "Redis is unreachable, retrying"
WEBUI_AWAY = "the web UI does not answer, retrying"


@pytest.fixture(scope="module")
def one_worker():
    with dockercoins(1) as application:
        yield application


@pytest.fixture(scope="module")
def page(one_worker):
    """The page with one worker, looked at for half a minute: for tests that change nothing."""
    with Browser() as browser:
        browser.open(one_worker.url)
        # Until the average has been computed from as much as it ever is.
        eventually(lambda: sum(average is not None for _, _, average in browser.history()) > 25, 120, 0.5, "averages")
        yield browser


def wait_for_speed(browser):
    """Until there is a speed, not "not known"; gives its text."""
    return eventually(lambda: browser.text("speed") != "–" and browser.text("speed"), 40, 0.1, "a speed")


def speeds(rows):
    return [speed for _, speed, _ in rows if speed is not None]


def polls(browser):
    """How often the page has asked for the counters."""
    return sum(each["request"]["url"].endswith("/json") for each in browser.network("Network.requestWillBeSent"))


# ------------------------------------------------------------------------------------------------ loading


def test_it_loads_below_a_prefix_from_one_host_and_asks_once_a_second(one_worker):
    with below_prefix(one_worker.url, "/some/where") as url, Browser() as browser:
        browser.open(url)
        wait_for_speed(browser)
        before, begun = polls(browser), time.monotonic()
        time.sleep(8)
        assert 0.6 < (polls(browser) - before) / (time.monotonic() - begun) < 1.2
        assert browser.state == "live" and browser.console() == []
        eventually(lambda: any(browser.columns(0.8)), 10, 0.1, "a drawn graph")
        sent = browser.network("Network.requestWillBeSent")
        assert all(each["request"]["url"].startswith((f"{url}/", "data:")) for each in sent), sent
        assert {each["response"]["status"] for each in browser.network("Network.responseReceived")} == {200}
        counters = {each["requestId"] for each in sent if each["request"]["url"].endswith("/json")}
        sizes = [each["encodedDataLength"] for each in browser.network("Network.loadingFinished")
                 if each["requestId"] not in counters]
        assert len(sizes) > 8 and 140_000 < sum(sizes) < 250_000


def test_without_the_chart_library_the_numbers_are_still_there(tmp_path):
    os.chmod(tmp_path, 0o755)
    with dockercoins(1, ASSETS_DIR=tmp_path) as application, Browser() as browser:
        browser.open(application.url)
        assert re.fullmatch(r"~\d\.\d hashes/second", wait_for_speed(browser))
        assert browser.text("graph") == "The chart library could not be loaded, so there is no graph."


# ------------------------------------------------------------------------------------------------ the lesson


@of_the_page
def test_with_one_worker_it_shows_fours_and_zeroes_and_redis_numbers(page, one_worker):
    begun, before = time.monotonic(), int(one_worker.redis.command("GET", "hashes"))
    time.sleep(30)
    counted = int(one_worker.redis.command("GET", "hashes"))
    speed = (counted - before) / (time.monotonic() - begun)
    assert page.number("average") == pytest.approx(speed, rel=0.15)  # of 100 hashes, 4 at either end
    assert counted - 12 <= page.number("hashes") <= counted + 12
    eventually(lambda: page.number("coins") == one_worker.redis.command("HLEN", "wallet"), 10)
    speed, heading = page.run("return ['#speed', 'h2'].map((each) => document.querySelector(each).textContent)")
    assert re.fullmatch(r"~\d+\.\d hashes/second", speed) and heading == f"Current mining speed: {speed}"
    assert re.fullmatch(r"Mining speed: [23]\.\d\d hashes per second on average", page.text("announcement"))
    instants = speeds(page.history())
    zeroes = instants.count(0)
    fours = sum(abs(speed - 4) < 0.5 for speed in instants)
    assert fours >= 3 and zeroes >= 2 and max(instants) < 14, instants  # some readings come late
    # Seen, too: at half the height of the fours each zero is a hole in the area.
    columns = page.columns(0.55)
    holes = sum(before and not after for before, after in itertools.pairwise(columns[columns.index(True):]))
    assert holes >= zeroes - 3


@of_the_page
def test_pointer_and_graph_agree(page):
    graph = page.driver.find_element("id", "graph")
    ActionChains(page.driver).move_to_element_with_offset(graph, graph.rect["width"] // 2 - 20, 0).perform()
    then, speed = page.run("""return ["then", "speed-then"].map((id) => {
        const text = document.getElementById(id).textContent.trim();
        return id === "then" ? text.replace("at ", "") : text === "–" ? null : Number(text); })""")
    # It stays under the pointer while the graph moves on.
    eventually(lambda: page.text("then") not in ("", f"at {then}"), 10)
    ActionChains(page.driver).move_to_element(page.driver.find_element("tag name", "h1")).perform()
    assert page.text("then") == ""
    assert (then, speed) in [row[:2] for row in page.history()]


# ------------------------------------------------------------------------------------------------ trouble


def longest_gap(rows):
    """Seconds of the longest piece of the graph, after its first row, in which no speed is drawn."""
    times = [sum(60 ** place * int(part) for place, part in enumerate(reversed(row[0].split(":")))) for row in rows]
    longest = gap = 0
    for (before, after), (_, speed, _) in zip(itertools.pairwise(times), rows[1:]):
        gap = gap + (after - before) % 86400 if speed is None else 0
        longest = max(longest, gap)
    return longest


@pytest.mark.parametrize("begin, end, state, reason", [
    (lambda it: it.redis.stop(), lambda it: it.redis.start(), REDIS_AWAY, "refused"),
    (lambda it: it.webui.stop(), lambda it: it.start_webui(), WEBUI_AWAY, "no connection"),
    (lambda it: it.webui.send_signal(signal.SIGSTOP), lambda it: it.webui.send_signal(signal.SIGCONT), WEBUI_AWAY,
     "no answer within 3 s"),
], ids=["Redis is stopped", "the web UI is stopped", "the web UI hangs"])
def test_trouble_is_said_nothing_is_claimed_and_it_recovers(begin, end, state, reason):
    with dockercoins(10) as application, Browser(PHONE) as browser:
        browser.open(application.url)
        eventually(lambda: len(speeds(browser.history())) >= 6, 60, 0.3, "some seconds of speed")
        assert browser.state == "live"
        rows = len(browser.history())
        begin(application)
        try:
            browser.wait_for_state(state, 20)
            assert (browser.text("speed"), browser.text("average")) == ("–", "–")
            eventually(lambda: reason in browser.text("reason"), 10, what=f"the reason {reason}")
            asked = polls(browser)
            time.sleep(5)
            assert "3 s" not in reason or polls(browser) - asked <= 2, "each waits for its time-out before the next"
            assert len(browser.history()) <= rows + 5, "nothing is drawn meanwhile"
            assert browser.state == state
            width = browser.run("""document.getElementById("reason").textContent = "a long story ".repeat(30);
                                   return document.documentElement.scrollWidth""")
            assert width <= PHONE[0], "a reason of any length fits"
        finally:
            end(application)
        browser.wait_for_state("live", 25)
        wait_for_speed(browser)
        eventually(lambda: browser.number("average"), 60, 0.3, "an average again")
        rows = browser.history()
        # rng gives 10 a second. Workers report up to 1.2 s late, so that all may report within one reading.
        assert [speed for speed in speeds(rows) if not 0 <= speed <= 22] == [], rows
        assert [average for _, _, average in rows if average is not None and not 0 <= average <= 12] == [], rows
        assert 4 <= longest_gap(rows) < 3600, rows
        assert browser.text("reason") == ""
        browser.run("""
          window.shift = 0;
          new PerformanceObserver((list) => { for (const entry of list.getEntries()) window.shift += entry.value; })
            .observe({ type: "layout-shift" });""")
        time.sleep(1.5)
        assert browser.run("return window.shift") < 0.005, "nothing jumps"


# ------------------------------------------------------------------------------------------------ everywhere


# [text, contrast] of all that is written, and of the graph's two lines.
_CONTRAST = """
const canvas = document.createElement("canvas").getContext("2d");
const parts = (colour) => {
  canvas.clearRect(0, 0, 1, 1);
  canvas.fillStyle = colour;
  canvas.fillRect(0, 0, 1, 1);
  return [...canvas.getImageData(0, 0, 1, 1).data];
};
const luminance = (colour) => parts(colour).slice(0, 3).map((value) => {
  const part = value / 255;
  return part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
}).reduce((sum, part, i) => sum + part * [0.2126, 0.7152, 0.0722][i], 0);
const ground = (element) => {
  if (!element) return "white";
  const colour = getComputedStyle(element).backgroundColor;
  return parts(colour)[3] === 255 ? colour : ground(element.parentElement);
};
const ratio = (colour, element) => {
  const [dark, bright] = [luminance(colour), luminance(ground(element))].sort((x, y) => x - y);
  return (bright + 0.05) / (dark + 0.05);
};
const texts = [];
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const { textContent, parentElement } = walker.currentNode;
  if (textContent.trim() && !parentElement.closest(".unseen, noscript"))
    texts.push([textContent.trim(), ratio(getComputedStyle(parentElement).color, parentElement)]);
}
const root = getComputedStyle(document.documentElement);
return [texts, ["--speed-colour", "--average-colour"].map((name) =>
  [name, ratio(root.getPropertyValue(name).trim(), document.getElementById("graph"))])];
"""


@of_the_page
@pytest.mark.parametrize("size, dark, smallest", [(PHONE, True, 22), (PROJECTOR, False, 60)],
                         ids=["phone", "projector"])
def test_it_fits_the_screen_and_its_contrast_is_aa(page, size, dark, smallest):
    page.look(size, dark)
    eventually(lambda: any(page.columns(0.8)), 5)
    time.sleep(1.5)  # the next reading is drawn in the new size
    page.screenshot(f"{'phone' if size == PHONE else 'projector'}-{'dark' if dark else 'light'}")
    scroll, font, boxes = page.run("""
        const { scrollWidth, scrollHeight } = document.documentElement;
        return [[scrollWidth, scrollHeight], parseFloat(getComputedStyle(document.getElementById("speed")).fontSize),
          ["graph", "speed", "average", "hashes", "coins", "tweet", "state"].map((id) => {
            const { left, top, right, bottom } = document.getElementById(id).getBoundingClientRect();
            return [left, top, right, bottom]; })]""")
    assert scroll[0] <= size[0] and scroll[1] <= size[1], "nothing to scroll for"
    for left, top, right, bottom in boxes:
        assert 0 <= left < right <= size[0] and 0 <= top < bottom <= size[1]
    left, top, right, bottom = boxes[0]
    assert (right - left) * (bottom - top) > 0.35 * size[0] * size[1], "the graph is the largest thing"
    assert font >= smallest
    for state in ("live", "connecting", "redis"):
        page.run("document.getElementById('state').dataset.state = arguments[0]", state)
        texts, lines = page.run(_CONTRAST)
        assert len(texts) > 12
        assert [text for text in texts if text[1] < 4.5] + [line for line in lines if line[1] < 3] == [], "AA"
    page.look(PROJECTOR, dark=False)


@of_the_page
def test_the_keyboard_reaches_everything_and_reads_the_graph(page):
    def press(*keys):
        ActionChains(page.driver).send_keys(*keys).perform()
        return page.run("""const e = document.activeElement, graph = document.getElementById("graph");
                           return [e.id, getComputedStyle(e).outlineStyle, graph.getAttribute("aria-valuetext")]""")

    page.run("document.activeElement.blur(); window.getSelection().removeAllRanges()")
    assert press(Keys.TAB) == ["graph", "solid", "now"], "one sees where one is"
    spoken = press(Keys.ARROW_LEFT)[2]
    assert re.fullmatch(r"\d\d:\d\d:\d\d: (\d+\.\d hashes per second|not known)(, average \d+\.\d\d)?", spoken), spoken
    assert page.text("then") == f"at {spoken[:8]}"
    assert press(Keys.ESCAPE)[2] == "now" and page.text("then") == ""
    assert press(Keys.TAB)[:2] == ["tweet", "solid"]
    page.run("document.activeElement.blur()")


@of_the_page
def test_the_accessibility_tree_says_what_there_is(page):
    page.devtools("Accessibility.enable")
    nodes = [(node["role"]["value"], node.get("name", {}).get("value", ""))
             for node in page.devtools("Accessibility.getFullAXTree")["nodes"] if not node["ignored"]]
    assert {("RootWebArea", "DockerCoin Miner WebUI"), ("heading", "DockerCoin Miner"), ("link", "Tweet this!"),
            ("slider", "Graph of the speed over the last 250 seconds"), ("StaticText", "Average of 30 s"),
            ("StaticText", "Hashes in all"), ("StaticText", "Coins found")} <= set(nodes)
    roles = [role for role, _ in nodes]
    assert roles.count("status") == 2, "the state and the speed are announced"
    assert "image" not in roles, "the logo is decoration"


# Time in the page goes faster, and a counter that rises by 4 a second answers at once.
_FAST = """{
  const speed = 100, begun = Date.now();
  const wait = window.setTimeout.bind(window), now = performance.now.bind(performance);
  window.setTimeout = (call, delay) => wait(call, delay / speed);
  performance.now = () => now() * speed;
  Date.now = () => begun + now() * speed;
  window.readings = 0;
  window.fetch = async () => {
    window.readings += 1;
    const hashes = String(4 * window.readings);
    return new Response(JSON.stringify({ coins: 1, hashes, now: Date.now() / 1000 }));
  };
}"""


@pytest.mark.release
def test_memory_is_flat_after_an_hour(one_worker):
    with Browser((1280, 800)) as browser:
        browser.devtools("Page.addScriptToEvaluateOnNewDocument", source=_FAST)
        browser.open(one_worker.url)

        def in_memory(readings):
            """What the page has in memory after so many readings."""
            eventually(lambda: browser.run("return window.readings") > readings, 600, 1, f"{readings} readings")
            browser.devtools("Performance.enable")
            for _ in range(3):
                browser.devtools("HeapProfiler.collectGarbage")
            found = {each["name"]: each["value"] for each in browser.devtools("Performance.getMetrics")["metrics"]}
            return found["JSHeapUsedSize"], found["Nodes"], found["JSEventListeners"]

        early, late = in_memory(500), in_memory(3700)
        assert browser.state == "live" and len(browser.history()) > 20, "it has been drawing all the while"
        assert all(after < before + more for before, after, more in zip(early, late, (500_000, 200, 50))), (early, late)
