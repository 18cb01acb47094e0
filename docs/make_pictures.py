#!/usr/bin/python3
"""Spoiler: two pictures give away the riddle's answer. Makes pictures for the docs from real runs.

Run it on a machine that is otherwise idle.

  docs/make_pictures.py dashboard      docs/dashboard.png: 1, 2, 3 and 10 workers, marked, one minute each
  docs/make_pictures.py time-per-step  docs/time-per-step.svg: `scripts/lesson explain` with 1, 3 and 10 workers
  docs/make_pictures.py trace          docs/trace.svg: the trace of one loop, with 10 workers
"""

import os
import shutil
import subprocess
import sys
import time

DOCS = os.path.dirname(os.path.abspath(__file__))
TESTS = os.path.join(os.path.dirname(DOCS), "tests")
sys.path[:0] = [os.path.join(TESTS, folder) for folder in ("e2e", "lesson", "integration")]

import lesson  # noqa: E402, F401  (found through the line above; it makes its parts importable)
from browser import Browser, install_hint  # noqa: E402
from harness import Mine, eventually  # noqa: E402
from lesson_parts.measuring import explain  # noqa: E402
from lesson_parts.words import count  # noqa: E402
from otlp import Receiver  # noqa: E402
from processes import Processes  # noqa: E402

# ------------------------------------------------------------------------------------------ the dashboard

SPEEDS = {1: 3.33, 2: 6.67, 3: 10.0, 10: 10.0}  # by number of workers
ROOM = 0.04
SIZE = (1280, 720)
LARGEST = 150_000

# Draws a line across the graph where each stage began, and its name beside it. Arguments: [[seconds ago, name]].
MARK = """
const graph = document.getElementById("graph");
const { left, right } = graph.getBoundingClientRect();
const numbers = [...graph.querySelectorAll(".dygraph-axis-label-y")].map((each) => each.getBoundingClientRect().right);
const axis = Math.max(...numbers) + 3 - left;
for (const [ago, textContent] of arguments[0]) {
  const mark = Object.assign(document.createElement("b"), { textContent });
  const at = axis + (right - left - axis) * (1 - ago / 250);
  mark.style = `position: absolute; left: ${at}px; top: 0; bottom: 26px; padding-left: 6px; border-left: 2px dashed`;
  graph.append(mark);
}
"""


def make_dashboard(path):
    if problem := install_hint():
        sys.exit(f"make_pictures: {problem}")
    averages, begun = {}, {}
    with Processes(0) as application, Browser(SIZE) as browser:
        for workers in SPEEDS:
            begun[workers] = time.monotonic()
            application.scale(workers)
            if not averages:
                browser.open(application.url)
            time.sleep(begun[workers] + 61 - time.monotonic())
            averages[workers] = browser.number("average")
            print(f"workers: {workers}, hashes/s: {averages[workers]}, expected: {SPEEDS[workers]}", flush=True)
        eventually(lambda: browser.text("speed") == "~10.0 hashes/second", 30, 0.05)
        browser.run(MARK, [[time.monotonic() - at, count(workers, "worker")] for workers, at in begun.items()])
        picture = browser.driver.get_screenshot_as_png()
    if any(abs(averages[workers] / speed - 1) > ROOM for workers, speed in SPEEDS.items()):
        sys.exit("make_pictures: the speeds differ from those expected; is the machine busy?")
    with open(path, "wb") as file:
        file.write(picture)
    if shutil.which("optipng"):  # lossless
        subprocess.run(["optipng", "-quiet", "-o2", path], check=True)
    if os.path.getsize(path) > LARGEST:
        sys.exit(f"make_pictures: {path} has more than {LARGEST} bytes")


# ------------------------------------------------------------------------------------------ time per step

# The parts of a loop, in order: name, colour, colour of the text on it.
PARTS = (("work", "#5b8fb9", "#ffffff"), ("waiting in rng's queue", "#d1495b", "#ffffff"),
         ("in service at rng", "#edae49", "#1d2733"), ("hasher", "#66a182", "#ffffff"),
         ("Redis and network", "#8d96a3", "#ffffff"))
WIDTH, LEFT, RIGHT, TOP, BAR, GAP = 860, 150, 30, 76, 42, 26
TICK_MS = 200


def measure(workers):
    """(hashes per second, milliseconds of each of PARTS for one hash)"""
    with Processes(workers) as application:
        time.sleep(5)  # the queue fills
        found = explain(application, 30)
    parts = [found.work, found.queue, found.service, found.hasher]
    milliseconds = [part * 1000 for part in (*parts, max(0.0, workers / found.speed - sum(parts)))]
    print(f"{count(workers, 'worker')}: {found.speed:.2f} hashes/s; ms: "
          + ", ".join(f"{name} {part:.1f}" for (name, _, _), part in zip(PARTS, milliseconds)), flush=True)
    return found.speed, milliseconds


def text(x, y, words, anchor="middle", colour="#1d2733", size=14, weight="normal"):
    return (f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}" font-size="{size}" font-weight="{weight}" '
            f'fill="{colour}">{words}</text>')


def rect(x, y, width, height, colour, more=""):
    return f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="{height}"{more} fill="{colour}"/>'


def picture_of(title, heading, left, bottom, longest, lines):
    """An SVG picture of bars that begin at `left`, with its axis in milliseconds."""
    scale = (WIDTH - left - RIGHT) / longest
    ticks = [(left + tick * scale, tick) for tick in range(0, int(longest) + 1, TICK_MS)]
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {bottom + 40}" width="{WIDTH}" '
        f'height="{bottom + 40}" font-family="system-ui, sans-serif" role="img">', f"<title>{title}</title>",
        rect(0, 0, WIDTH, bottom + 40, "#ffffff", ' rx="8"'),
        text(left, 26, f"{heading}, in milliseconds", "start", size=16, weight="bold"),
        *(f'<line x1="{x:.0f}" y1="{TOP - 8}" x2="{x:.0f}" y2="{bottom - 8}" stroke="#d9dde3"/>' for x, _ in ticks),
        *(text(x, bottom + 14, tick, size=13) for x, tick in ticks), *lines, "</svg>", ""])


def draw(measured):
    """The picture: one bar per number of workers, as long as a hash takes."""
    longest = max(sum(parts) for _, parts in measured.values()) * 1.02
    scale = (WIDTH - LEFT - RIGHT) / longest
    summary = "; ".join(f"{count(workers, 'worker')}: " + ", ".join(
        f"{name} {part:.0f} ms" for (name, _, _), part in zip(PARTS, parts) if part >= 0.5)
        for workers, (_, parts) in measured.items())
    x, lines = LEFT, []
    for name, colour, _ in PARTS:
        lines += [rect(x, 42, 12, 12, colour), text(x + 17, 53, name, "start", size=13)]
        x += 34 + 7 * len(name)
    for row, (workers, (speed, parts)) in enumerate(measured.items()):
        y, x = TOP + row * (BAR + GAP), LEFT
        lines += [text(LEFT - 12, y + 19, count(workers, "worker"), "end", weight="bold"),
                  text(LEFT - 12, y + 36, f"{speed:.1f} hashes/s", "end", size=13)]
        for (_, colour, on_it), part in zip(PARTS, parts):
            width = part * scale
            lines += [rect(x, y, width, BAR, colour)] if width >= 1 else []
            lines += [text(x + width / 2, y + 26, f"{part:.0f}", colour=on_it)] if width > 26 else []
            x += width
    return picture_of(f"Time per hash. {summary}", "Time per hash", LEFT, TOP + len(measured) * (BAR + GAP), longest,
                      lines)


def write(path, picture):
    with open(path, "w", encoding="utf-8") as file:
        file.write(picture)
    print(f"{path}: {os.path.getsize(path)} bytes")


# ------------------------------------------------------------------------------------------ a trace

ROW, NAMES = 26, 190
COLOURS = {"work": PARTS[0][1], "queue": PARTS[1][1]}
WORK = {"rng": PARTS[2][1], "hasher": PARTS[3][1]}


def draw_trace(loop):
    """The picture of a list of spans: a row each, below its parent, as Jaeger shows them."""
    children = {}
    for span in sorted(loop, key=lambda span: span.begun):
        children.setdefault(span.parent, []).append(span)
    rows = []

    def add(parent, depth):
        for span in children.get(parent, []):
            rows.append((depth, span))
            add(span.id, depth + 1)

    add(None, 0)
    [root] = children[None]
    longest = root.ms * 1.08  # room for the figure behind the longest bar
    scale = (WIDTH - NAMES - RIGHT) / longest
    lines = []
    for row, (depth, span) in enumerate(rows):
        x, y = NAMES + (span.begun - root.begun) / 1e6 * scale, TOP - 24 + row * ROW
        colour = WORK.get(span.service, COLOURS["work"]) if span.name == "work" else COLOURS.get(span.name, "#8d96a3")
        lines += [text(16 + 14 * depth, y + 14, f"{span.service}: {span.name}", "start", size=13),
                  rect(x, y + 2, max(1, span.ms * scale), ROW - 10, colour),
                  text(x + span.ms * scale + 5, y + 15, f"{span.ms:.0f}" if span.ms >= 1 else f"{span.ms:.1f}", "start",
                       size=12)]
    summary = ", ".join(f"{span.service} {span.name} {span.ms:.0f} ms" for _, span in rows)
    return picture_of(f"The trace of one loop, with ten workers: {summary}", "One loop, with ten workers", NAMES,
                      TOP - 16 + len(rows) * ROW, longest, lines)


def make_trace(path):
    with Receiver() as receiver, Mine(10, **receiver.settings):
        loops = receiver.loops(60, 60)[30:]
    # A usual one: with an update, which one loop in ten has, or not.
    loops.sort(key=lambda loop: loop["worker", "loop"].ms)
    usual = loops[len(loops) // 2]
    write(path, draw_trace(receiver.traces()[usual["worker", "loop"].trace]))


def make_time_per_step(path):
    write(path, draw({workers: measure(workers) for workers in (1, 3, 10)}))


if __name__ == "__main__":
    if sys.argv[1:] == ["dashboard"]:
        make_dashboard(os.path.join(DOCS, "dashboard.png"))
    elif sys.argv[1:] == ["time-per-step"]:
        make_time_per_step(os.path.join(DOCS, "time-per-step.svg"))
    elif sys.argv[1:] == ["trace"]:
        make_trace(os.path.join(DOCS, "trace.svg"))
    else:
        sys.exit(__doc__)
