"""The dashboard in headless Chromium, against the real services and a real Redis."""

import itertools
import os
import re
import signal
import time

import pytest

from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

from browser import PHONE, PROJECTOR, Browser, DockerCoins, Proxy, install_hint
from harness import eventually

pytestmark = pytest.mark.skipif(install_hint() is not None, reason=str(install_hint()))
of_the_page = pytest.mark.xdist_group("page")  # one process has the page for all of them

LIVE = "live"
REDIS_AWAY = "Redis is unreachable, retrying"
WEBUI_AWAY = "the web UI does not answer, retrying"


@pytest.fixture(scope="module")
def one_worker():
    with DockerCoins(1) as application:
        yield application


@pytest.fixture(scope="module")
def page(one_worker):
    """The page with one worker, looked at for half a minute: for tests that change nothing."""
    with Browser() as browser:
        browser.open(one_worker.page)
        browser.run("""
          window.said = [];
          new MutationObserver(() => window.said.push(document.getElementById("announcement").textContent))
            .observe(document.getElementById("announcement"), { childList: true, characterData: true, subtree: true });
        """)
        # Until the average has been computed from as much as it ever is.
        eventually(lambda: sum(average is not None for _, _, average in browser.history()) > 25, 120, 0.5, "averages")
        yield browser


def wait_for_speed(browser):
    """Until there is a speed, not "not known"; gives its text."""
    return eventually(lambda: browser.text("speed") != "–" and browser.text("speed"), 40, 0.1, "a speed")


def speeds(rows):
    return [speed for _, speed, _ in rows if speed is not None]


def steps(rows):
    """Seconds from each row to the next."""
    times = [sum(60 ** place * int(part) for place, part in enumerate(reversed(row[0].split(":")))) for row in rows]
    return [(after - before) % 86400 for before, after in itertools.pairwise(times)]


def assert_sane(rows):
    """No speed is negative or a spike, no average is far from what rng allows, time goes on.

    rng gives 10 a second. Workers report up to 1.2 s late, so that all may happen to report within one reading.
    """
    assert [speed for speed in speeds(rows) if not 0 <= speed <= 22] == [], rows
    assert [average for _, _, average in rows if average is not None and not 0 <= average <= 12] == [], rows
    assert all(step < 3600 for step in steps(rows)), rows


def longest_gap(rows):
    """Seconds of the longest piece of the graph, after its first row, in which no speed is drawn."""
    longest = gap = 0
    for step, row in zip(steps(rows), rows[1:]):
        gap = gap + step if row[1] is None else 0
        longest = max(longest, gap)
    return longest


# ------------------------------------------------------------------------------------------------ loading


def test_it_loads_below_a_prefix_from_one_host_and_asks_once_a_second(one_worker):
    with Proxy(one_worker.webui.port, "/some/where") as proxy, Browser() as browser:
        browser.open(proxy.url)
        wait_for_speed(browser)
        before, begun = proxy.requests, time.monotonic()
        time.sleep(8)
        assert 0.6 < (proxy.requests - before) / (time.monotonic() - begun) < 1.2 and proxy.most_at_once == 1
        assert browser.state == LIVE and browser.console() == []
        eventually(lambda: any(browser.columns(0.8)), 10, 0.1, "a drawn graph")
        sent = browser.network("Network.requestWillBeSent")
        ours = (proxy.url.removesuffix("index.html"), "data:")
        assert all(each["request"]["url"].startswith(ours) for each in sent), sent
        assert {each["response"]["status"] for each in browser.network("Network.responseReceived")} == {200}
        polls = {each["requestId"] for each in sent if each["request"]["url"].endswith("/json")}
        sizes = [each["encodedDataLength"] for each in browser.network("Network.loadingFinished")
                 if each["requestId"] not in polls]
        assert len(sizes) > 8 and 140_000 < sum(sizes) < 250_000


def test_without_the_chart_library_the_numbers_are_still_there(tmp_path):
    os.chmod(tmp_path, 0o755)
    with DockerCoins(1, ASSETS_DIR=tmp_path) as application, Browser() as browser:
        browser.open(application.page)
        assert re.fullmatch(r"~\d\.\d hashes/second", wait_for_speed(browser))
        assert browser.text("graph") == "The chart library could not be loaded, so there is no graph."


# ------------------------------------------------------------------------------------------------ the lesson


@of_the_page
def test_with_one_worker_it_shows_fours_and_zeroes_and_their_average(page, one_worker):
    begun, before = time.monotonic(), int(one_worker.redis.command("GET", "hashes"))
    time.sleep(30)
    counted = int(one_worker.redis.command("GET", "hashes"))
    speed = (counted - before) / (time.monotonic() - begun)
    assert page.number("average") == pytest.approx(speed, rel=0.15)  # of 100 hashes, 4 at either end
    assert counted - 12 <= page.number("hashes") <= counted + 12
    instants = speeds(page.history())
    zeroes = instants.count(0)
    fours = sum(abs(speed - 4) < 0.5 for speed in instants)
    assert fours >= 3 and zeroes >= 2 and max(instants) < 14, instants  # some readings come late
    # Seen, too: at half the height of the fours each zero is a hole in the area.
    columns = page.columns(0.55)
    holes = sum(before and not after for before, after in itertools.pairwise(columns[columns.index(True):]))
    assert holes >= zeroes - 3


@of_the_page
def test_the_numbers_are_those_of_redis_and_in_the_courses_words(page, one_worker):
    # All at once, so that the page cannot have gone on between them.
    speed, tweet, heading = page.run("""return [document.getElementById("speed").textContent,
        document.getElementById("tweet").href, document.querySelector("h2").textContent]""")
    assert re.fullmatch(r"~\d+\.\d hashes/second", speed) and heading == f"Current mining speed: {speed}"
    assert tweet.startswith("https://twitter.com/intent/tweet?text=")
    assert speed.lstrip("~").replace(" ", "%20").replace("/", "%2F") in tweet
    eventually(lambda: page.number("coins") == one_worker.redis.command("HLEN", "wallet"), 10)
    assert re.fullmatch(r"Mining speed: [23]\.\d\d hashes per second on average", page.text("announcement"))
    assert len(page.run("return window.said")) <= 2 + len(page.history()) / 10, "it is announced seldom"


@of_the_page
def test_pointer_and_graph_agree(page):
    graph = page.driver.find_element("id", "graph")
    ActionChains(page.driver).move_to_element_with_offset(graph, graph.rect["width"] // 2 - 20, 0).perform()
    then, shown = page.text("then").removeprefix("at "), page.text("speed-then")
    # It stays under the pointer while the graph moves on.
    eventually(lambda: page.text("then").removeprefix("at ") != then, 5)
    ActionChains(page.driver).move_to_element(page.driver.find_element("tag name", "h1")).perform()
    assert page.text("then") == ""
    assert (then, None if shown == "–" else float(shown)) in [(time_of_day, speed) for time_of_day, speed, _ in page.history()]


def test_with_ten_workers_it_climbs_to_ten():
    with DockerCoins(1) as application, Browser() as browser:
        browser.open(application.page)
        eventually(lambda: browser.number("average"), 60, 0.3, "an average")
        assert browser.number("average") < 4.5
        application.scale(10)
        eventually(lambda: 8.5 < (browser.number("average") or 0) < 11, 120, 0.5, "an average of 10")
        browser.screenshot("ten-workers")


# ------------------------------------------------------------------------------------------------ trouble


def before_trouble(browser, url):
    """Everything is well, and there are some seconds of it. How many rows the graph has by then."""
    browser.open(url)
    eventually(lambda: len(speeds(browser.history())) >= 6, 60, 0.3, "some seconds of speed")
    assert browser.state == LIVE
    return len(browser.history())


def assert_recovered(browser, shortest_gap):
    browser.wait_for_state(LIVE, 25)
    wait_for_speed(browser)
    eventually(lambda: browser.number("average"), 60, 0.3, "an average again")
    rows = browser.history()
    assert_sane(rows)
    assert longest_gap(rows) >= shortest_gap - 1, rows  # times are given in whole seconds
    assert browser.text("reason") == ""


@pytest.mark.parametrize("begin, end, state, reason", [
    (lambda it: it.redis.stop(), lambda it: it.redis.start(), REDIS_AWAY, "refused"),
    (lambda it: it.webui.stop(), lambda it: it.start_webui(), WEBUI_AWAY, "."),
    (lambda it: it.webui.send_signal(signal.SIGSTOP), lambda it: it.webui.send_signal(signal.SIGCONT), WEBUI_AWAY,
     "3 s"),
], ids=["Redis is stopped", "the web UI is stopped", "the web UI hangs"])
def test_trouble_is_said_nothing_is_claimed_and_it_recovers(begin, end, state, reason):
    with DockerCoins(10) as application, Browser(PHONE) as browser:
        rows = before_trouble(browser, application.page)
        begin(application)
        try:
            browser.wait_for_state(state, 20)
            assert (browser.text("speed"), browser.text("average")) == ("–", "–")
            eventually(lambda: re.search(reason, browser.text("reason")), 10, what=f"the reason {reason}")
            asked = len(browser.network("Network.requestWillBeSent"))
            time.sleep(5)
            asked = len(browser.network("Network.requestWillBeSent")) - asked
            assert reason != "3 s" or asked <= 2, "each waits for its time-out before the next is sent"
            assert len(browser.history()) <= rows + 5, "nothing is drawn meanwhile"
            assert browser.state == state
        finally:
            end(application)
        assert_recovered(browser, 5)
        browser.run("""
          window.shift = 0;
          new PerformanceObserver((list) => { for (const entry of list.getEntries()) window.shift += entry.value; })
            .observe({ type: "layout-shift", buffered: true });""")
        time.sleep(1.5)
        assert browser.run("return window.shift") < 0.005, "nothing jumps"


def test_a_counter_that_begins_anew_is_a_gap():
    with DockerCoins(10) as application, Browser() as browser:
        begun = before_trouble(browser, application.page)
        application.redis.command("FLUSHALL")
        eventually(lambda: len(browser.history()) >= begun + 8, 30, 0.3)
        rows = browser.history()
        assert_sane(rows)
        assert browser.state == LIVE
        assert any(row[1] is None for row in rows[begun:]), "one reading has nothing to be compared with"


def test_nothing_was_mined_or_redis_holds_something_else():
    with DockerCoins(0) as application, Browser() as browser:
        application.redis.pause()
        browser.open(application.page)
        browser.wait_for_state(REDIS_AWAY)
        application.redis.resume()
        browser.wait_for_state(LIVE)
        eventually(lambda: browser.text("speed") == "~0.0 hashes/second", 10)
        assert browser.number("hashes") == 0
        application.redis.command("SET", "hashes", "abc")
        browser.wait_for_state("the web UI's answer makes no sense, retrying")
        application.redis.command("SET", "hashes", "7")
        browser.wait_for_state(LIVE)
        application.redis.command("SET", "wallet", "not a hash")
        browser.wait_for_state(REDIS_AWAY)
        assert "WRONGTYPE" in browser.text("reason")


def test_slow_answers_make_no_spike_and_do_not_pile_up():
    with DockerCoins(10) as application, Proxy(application.webui.port) as proxy, Browser() as browser:
        before_trouble(browser, proxy.url)
        for proxy.delay in (2.0, 0.0, 0.8, 0.0, 2.2, 0.0):
            asked = proxy.requests
            eventually(lambda asked=asked: proxy.requests >= asked + 2, 30)
        eventually(lambda: browser.number("average"), 60)
        assert_sane(browser.history())
        assert proxy.most_at_once <= 2, "one, and one that was given up after 3 s"


# ------------------------------------------------------------------------------------------------ everywhere


_CONTRAST = """
const parts = (colour) => colour.match(/[\\d.]+/g).map(Number);
const luminance = ([r, g, b]) => [r, g, b].map((value) => {
  const part = value / 255;
  return part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
}).reduce((sum, part, i) => sum + part * [0.2126, 0.7152, 0.0722][i], 0);
const ratio = (a, b) => {
  const [dark, bright] = [luminance(a), luminance(b)].sort((x, y) => x - y);
  return (bright + 0.05) / (dark + 0.05);
};
const ground = (element) => {
  for (let e = element; e; e = e.parentElement) {
    const colour = parts(getComputedStyle(e).backgroundColor);
    if (colour.length === 3 || colour[3] === 1) return colour;
  }
  return [255, 255, 255];
};
const texts = [];
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const element = walker.currentNode.parentElement;
  if (!walker.currentNode.textContent.trim() || element.closest(".unseen, noscript")) continue;
  texts.push([walker.currentNode.textContent.trim(), ratio(parts(getComputedStyle(element).color), ground(element))]);
}
const canvas = document.createElement("canvas").getContext("2d");
const lines = ["--speed-colour", "--average-colour"].map((name) => {
  canvas.fillStyle = getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  canvas.fillRect(0, 0, 1, 1);
  return [name, ratio([...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3), ground(document.getElementById("graph")))];
});
return [texts, lines];
"""


@of_the_page
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("size", [PHONE, PROJECTOR], ids=["phone", "projector"])
def test_it_fits_the_screen_and_its_contrast_is_aa(page, size, dark):
    page.look(size, dark)
    eventually(lambda: any(page.columns(0.8)), 5)
    time.sleep(1.5)  # the next reading is drawn in the new size
    page.screenshot(f"{'phone' if size == PHONE else 'projector'}-{'dark' if dark else 'light'}")
    assert page.run("return document.documentElement.scrollWidth") <= size[0]
    assert page.run("return document.documentElement.scrollHeight") <= size[1], "nothing to scroll for"
    boxes = page.run("""return ["graph", "speed", "average", "hashes", "coins", "tweet", "state"].map((id) => {
        const { left, top, right, bottom } = document.getElementById(id).getBoundingClientRect();
        return [left, top, right, bottom]; })""")
    for left, top, right, bottom in boxes:
        assert 0 <= left < right <= size[0] and 0 <= top < bottom <= size[1]
    graph = boxes[0]
    assert (graph[2] - graph[0]) * (graph[3] - graph[1]) > 0.35 * size[0] * size[1], "the graph is the largest thing"
    font = float(page.run("return getComputedStyle(document.getElementById('speed')).fontSize").removesuffix("px"))
    assert font >= (60 if size == PROJECTOR else 22)
    for state in ("live", "connecting", "redis"):
        page.run("document.getElementById('state').dataset.state = arguments[0]", state)
        texts, lines = page.run(_CONTRAST)
        assert len(texts) > 12
        assert [text for text in texts if text[1] < 4.5] + [line for line in lines if line[1] < 3] == [], "AA"
    page.look(PROJECTOR, dark=False)


def test_a_reason_of_any_length_fits_a_phone():
    with DockerCoins(0) as application, Browser(PHONE) as browser:
        application.redis.stop()
        browser.open(application.page)
        browser.wait_for_state(REDIS_AWAY)
        browser.run("document.getElementById('reason').textContent = 'a long story '.repeat(30)")
        assert browser.run("return document.documentElement.scrollWidth") <= PHONE[0]
        application.redis.start()


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
    chosen = press(Keys.ARROW_LEFT)[2]
    assert chosen[:8] < spoken[:8] or spoken.startswith("00:00:0")
    hashes = page.text("hashes")
    eventually(lambda: page.text("hashes") != hashes, 20)
    assert press() == ["graph", "solid", chosen], "a moment that was chosen stays, while the graph moves on"
    assert press(Keys.ESCAPE)[2] == "now" and page.text("then") == ""
    assert press(Keys.TAB)[:2] == ["tweet", "solid"]
    page.run("document.activeElement.blur()")


@of_the_page
def test_the_accessibility_tree_says_what_there_is(page):
    page.devtools("Accessibility.enable")
    nodes = [(node["role"]["value"], node.get("name", {}).get("value", ""))
             for node in page.devtools("Accessibility.getFullAXTree")["nodes"] if not node["ignored"]]
    for expected in (("RootWebArea", "DockerCoin Miner WebUI"), ("heading", "DockerCoin Miner"),
                     ("slider", "Graph of the speed over the last 250 seconds"), ("link", "Tweet this!"),
                     *(("StaticText", text) for text in ("Average of 30 s", "Hashes in all", "Coins found"))):
        assert expected in nodes
    roles = [role for role, _ in nodes]
    assert roles.count("status") == 2, "the state and the speed are announced"
    assert "image" not in roles, "the logo is decoration"


# Time in the page goes faster, but not for its requests, which are real.
_FAST_CLOCK = """{
  const speed = %d, begun = Date.now();
  const wait = window.setTimeout.bind(window), now = performance.now.bind(performance);
  window.setTimeout = (call, delay) => wait(call, delay / speed);
  performance.now = () => now() * speed;
  Date.now = () => begun + now() * speed;
}"""


@pytest.mark.release
def test_memory_is_flat_after_an_hour(one_worker):
    speed, begun = 40, time.time()
    with Proxy(one_worker.webui.port) as proxy, Browser((1280, 800)) as browser:
        proxy.rewrite = lambda answer: {**answer, "now": begun + speed * (answer["now"] - begun)}
        browser.devtools("Page.addScriptToEvaluateOnNewDocument", source=_FAST_CLOCK % speed)
        browser.open(proxy.url)

        def heap(requests):
            """What the page has in memory after so many requests."""
            eventually(lambda: proxy.requests > requests, 600, 1, f"{requests} requests")
            browser.console()  # logs are kept until they are fetched
            browser.driver.get_log("performance")
            browser.devtools("Performance.enable")
            for _ in range(3):
                browser.devtools("HeapProfiler.collectGarbage")
            found = {each["name"]: each["value"] for each in browser.devtools("Performance.getMetrics")["metrics"]}
            return found["JSHeapUsedSize"], found["Nodes"], found["JSEventListeners"]

        early, late = heap(500), heap(3700)
        assert browser.state == LIVE and len(browser.history()) > 20, "it has been drawing all the while"
        assert all(after < before + more for before, after, more in zip(early, late, (500_000, 200, 50))), (early, late)
