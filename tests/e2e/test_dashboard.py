"""The dashboard in headless Chromium, against the real services and a real Redis: what tests/unit/js cannot show."""

import itertools
import re
import signal
import time

import pytest

from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

from browser import PHONE, PROJECTOR, Browser, install_hint
from fakes import CLOSE, FakeHttp
from harness import Service, eventually
from processes import Processes

pytestmark = pytest.mark.skipif(install_hint() is not None, reason=str(install_hint()))
of_the_page = pytest.mark.xdist_group("page")  # one process runs them all, with one page


@pytest.fixture(scope="module")
def one_worker():
    with Processes(1) as application:
        yield application


@pytest.fixture(scope="module")
def page(one_worker):
    """The page with one worker, half a minute old: for tests that change nothing."""
    with Browser() as browser:
        browser.open(one_worker.url)
        # Until the average covers its whole window.
        eventually(lambda: sum(average is not None for _, _, average in browser.history()) > 25, 120, 0.5, "averages")
        yield browser


def wait_for_speed(browser):
    eventually(lambda: browser.text("speed") != "–", 40, 0.1, "a speed")


def speeds(rows):
    return [speed for _, speed, _ in rows if speed is not None]


def test_it_loads_all_from_one_host_and_refuses_inline_scripts_and_those_of_other_hosts(one_worker):
    foreign = FakeHttp(lambda _: [b"HTTP/1.0 200 OK\r\nContent-Type: text/javascript\r\n\r\nran = true", CLOSE])
    with foreign, Browser() as browser:
        browser.open(one_worker.url)
        wait_for_speed(browser)
        assert browser.text("state") == "live" and browser.console() == []
        loaded = browser.run("""return performance.getEntriesByType("resource").map(
            ({ name, responseStatus, transferSize }) => [name, responseStatus, transferSize])""")
        assert {(name.startswith(f"{one_worker.url}/"), status) for name, status, _ in loaded} == {(True, 200)}
        sizes = [size for name, _, size in loaded if not name.endswith("/json")]
        assert len(sizes) > 7 and 140_000 < sum(sizes) < 250_000
        browser.run("""for (const more of [{ textContent: "ran = true" }, { src: arguments[0] }]) {
            document.head.append(Object.assign(document.createElement("script"), more)); }""", foreign.url)
        refused = []
        eventually(lambda: refused.extend(browser.console()) or len(refused) >= 2, 10, what="two refusals")
        assert all("Content Security Policy" in each for each in refused), refused
        assert browser.run("return typeof ran") == "undefined" and foreign.requests == []
        eventually(lambda: any(browser.columns(0.8)), 10, 0.1, "a drawn graph")


def test_a_page_of_others_may_have_inline_scripts_and_frame_ours(one_worker, tmp_path):
    """The original's page does, mounted in place of ours."""
    (tmp_path / "files").mkdir()
    (tmp_path / "files/index.html").write_text(f"""<!doctype html><title>theirs</title>
        <iframe src="{one_worker.url}/index.html"></iframe><script>document.title += " runs"</script>""")
    with Service("webui", REDIS_URL=one_worker.redis.url, FILES_DIR=tmp_path / "files") as theirs, Browser() as browser:
        browser.open(theirs.url)
        assert browser.driver.title == "theirs runs"
        browser.driver.switch_to.frame(0)
        browser.wait_for_state("live")


@of_the_page
def test_with_one_worker_it_shows_fours_and_zeroes_and_the_numbers_in_redis(page, one_worker):
    begun, before = time.monotonic(), int(one_worker.redis.command("GET", "hashes"))
    time.sleep(30)
    counted = int(one_worker.redis.command("GET", "hashes"))
    # Of 100 hashes, 4 at either end.
    assert page.number("average") == pytest.approx((counted - before) / (time.monotonic() - begun), rel=0.15)
    assert counted - 12 <= page.number("hashes") <= counted + 12
    eventually(lambda: page.number("coins") == one_worker.redis.command("HLEN", "wallet"), 10)
    heading = page.driver.find_element("tag name", "h2").text
    assert re.fullmatch(r"Current mining speed: ~\d+\.\d hashes/second", heading)
    assert re.fullmatch(r"Mining speed: [23]\.\d\d hashes per second on average", page.text("announcement"))
    instants = speeds(page.history())
    zeroes, fours = instants.count(0), sum(abs(speed - 4) < 0.5 for speed in instants)
    assert fours >= 3 and zeroes >= 2 and max(instants) < 14, instants  # some readings are late
    # It is visible, too: at half the height of the fours, each zero is a gap in the area.
    columns = page.columns(0.55)
    holes = sum(before and not after for before, after in itertools.pairwise(columns[columns.index(True):]))
    assert holes >= zeroes - 3


@of_the_page
def test_pointer_and_graph_agree(page):
    graph = page.driver.find_element("id", "graph")
    ActionChains(page.driver).move_to_element_with_offset(graph, graph.rect["width"] // 2 - 20, 0).perform()
    then, speed = page.run("""return ["then", "speed-then"].map((id) => document.getElementById(id).textContent)""")
    eventually(lambda: page.text("then") not in ("", then.strip()), 10, what="another moment below the pointer")
    ActionChains(page.driver).move_to_element(page.driver.find_element("tag name", "h1")).perform()
    assert page.text("then") == ""
    assert (then.removeprefix(" at "), float(speed)) in [row[:2] for row in page.history()]


@pytest.mark.parametrize("state, reason, begin, end", [
    ("Redis is unreachable, retrying", "refused", lambda it: it.redis.stop(), lambda it: it.redis.start()),
    ("the web UI does not respond, retrying", "no connection", lambda it: it.webui.stop(), lambda it: it.start_webui()),
    ("the web UI does not respond, retrying", "no response within 3 s",
     lambda it: it.webui.send_signal(signal.SIGSTOP), lambda it: it.webui.send_signal(signal.SIGCONT))])
def test_errors_are_shown_without_numbers_and_it_recovers(state, reason, begin, end):
    with Processes(10) as application, Browser(PHONE) as browser:
        browser.open(application.url)
        eventually(lambda: len(speeds(browser.history())) >= 6, 60, 0.3, "some seconds of speed")
        begin(application)
        browser.wait_for_state(state)
        assert (browser.text("speed"), browser.text("average")) == ("–", "–")
        eventually(lambda: reason in browser.text("reason"), 10, what=f"the reason {reason}")
        width = browser.run("""document.getElementById("reason").textContent = "a long story ".repeat(30);
                               return document.documentElement.scrollWidth""")
        assert width <= PHONE[0], "a reason of any length fits"
        end(application)
        browser.wait_for_state("live", 25)
        wait_for_speed(browser)
        # rng serves 10 per second. Workers report up to 1.2 s late, so all may report within one reading.
        assert 0 <= min(speeds(browser.history())) <= max(speeds(browser.history())) <= 22
        assert browser.text("reason") == ""


@of_the_page
@pytest.mark.parametrize("size, smallest", [(PHONE, 22), (PROJECTOR, 60)])
def test_it_fits_the_screen(page, size, smallest):
    page.look(size)
    eventually(lambda: any(page.columns(0.8)), 5)
    time.sleep(1.5)  # the next reading is drawn in the new size
    scroll = page.run("return ['scrollWidth', 'scrollHeight'].map((each) => document.documentElement[each])")
    assert scroll[0] <= size[0] and scroll[1] <= size[1], "no scroll bar"
    boxes = {each: page.driver.find_element("id", each).rect
             for each in ("graph", "speed", "average", "hashes", "coins", "tweet", "state")}
    for box in boxes.values():
        assert 0 <= box["x"] < box["x"] + box["width"] <= size[0]
        assert 0 <= box["y"] < box["y"] + box["height"] <= size[1]
    assert boxes["graph"]["width"] * boxes["graph"]["height"] > 0.35 * size[0] * size[1]
    font = page.driver.find_element("id", "speed").value_of_css_property("font-size")
    assert float(font.removesuffix("px")) >= smallest


@of_the_page
def test_the_graph_and_the_numbers_are_accessible_by_keyboard_and_screen_reader(page):
    def press(*keys):
        ActionChains(page.driver).send_keys(*keys).perform()
        return page.run("""const e = document.activeElement, graph = document.getElementById("graph");
                           return [e.id, getComputedStyle(e).outlineStyle, graph.getAttribute("aria-valuetext")]""")

    page.run("document.activeElement.blur(); window.getSelection().removeAllRanges()")
    assert press(Keys.TAB) == ["graph", "solid", "now"], "the focus is visible"
    spoken = press(Keys.ARROW_LEFT)[2]
    assert re.fullmatch(r"\d\d:\d\d:\d\d: (\d+\.\d hashes per second|not known)(, average \d+\.\d\d)?", spoken), spoken
    assert page.text("then") == f"at {spoken[:8]}"
    assert press(Keys.ESCAPE)[2] == "now" and page.text("then") == ""
    assert press(Keys.TAB)[:2] == ["tweet", "solid"]
    page.run("document.activeElement.blur()")
    nodes = [(node["role"]["value"], node.get("name", {}).get("value", ""))
             for node in page.driver.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"] if not node["ignored"]]
    assert {("slider", "Graph of the speed over the last 250 seconds"), ("StaticText", "Total hashes")} <= set(nodes)
    assert [role for role, _ in nodes].count("status") == 2, "the state and the speed are announced"
