#!/usr/bin/python3
"""Makes docs/time-per-step.svg, the picture in the README's answer, from a real run with 1, 3 and 10 workers.

Takes two minutes. The times are those of `scripts/lesson explain`.
"""

import contextlib
import os
import sys
import time

TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path[:0] = [os.path.join(TESTS, folder) for folder in ("lesson", "integration")]

import lesson_script  # noqa: E402
from harness import REPO  # noqa: E402

lesson = lesson_script.load()

from processes import Processes  # noqa: E402

WORKERS = (1, 3, 10)
SECONDS = 30
# What a loop's time goes to, in its order: name, colour, colour of the text on it.
PARTS = (("work", "#5b8fb9", "#ffffff"), ("waiting in rng's line", "#d1495b", "#ffffff"),
         ("in service at rng", "#edae49", "#1d2733"), ("hasher", "#66a182", "#ffffff"),
         ("Redis and the network", "#8d96a3", "#ffffff"))
WIDTH, LEFT, RIGHT, TOP, BAR, GAP = 860, 150, 30, 76, 42, 26
TICK_MS = 200


def measure(workers):
    """(hashes per second, milliseconds of each of PARTS for one hash)"""
    with contextlib.ExitStack() as stack:
        application = Processes(stack, workers)
        time.sleep(5)  # the queue fills
        found = lesson.explain(application, SECONDS)
    parts = [found.work, found.line, found.service, found.hasher]
    milliseconds = [part * 1000 for part in (*parts, max(0.0, workers / found.speed - sum(parts)))]
    print(f"{lesson.count(workers, 'worker')}: {found.speed:.2f} hashes/s; ms: "
          + ", ".join(f"{name} {part:.1f}" for (name, _, _), part in zip(PARTS, milliseconds)), flush=True)
    return found.speed, milliseconds


def text(x, y, words, anchor="middle", colour="#1d2733", size=14, weight="normal"):
    return (f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}" font-size="{size}" font-weight="{weight}" '
            f'fill="{colour}">{words}</text>')


def rect(x, y, width, height, colour, more=""):
    return f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="{height}"{more} fill="{colour}"/>'


def draw(measured):
    """The picture: a bar for each number of workers, as long as a hash takes."""
    longest = max(sum(parts) for _, parts in measured.values()) * 1.02
    scale = (WIDTH - LEFT - RIGHT) / longest
    bottom = TOP + len(measured) * (BAR + GAP)
    told = "; ".join(f"{lesson.count(workers, 'worker')}: " + ", ".join(
        f"{name} {part:.0f} ms" for (name, _, _), part in zip(PARTS, parts) if part >= 0.5)
        for workers, (_, parts) in measured.items())
    lines = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {bottom + 40}" width="{WIDTH}" '
             f'height="{bottom + 40}" font-family="system-ui, sans-serif" role="img">',
             f"<title>Where the time of a hash goes. {told}</title>",
             rect(0, 0, WIDTH, bottom + 40, "#ffffff", ' rx="8"'),
             text(LEFT, 26, "Where the time of one hash goes, in milliseconds", "start", size=16, weight="bold")]
    x = LEFT
    for name, colour, _ in PARTS:
        lines += [rect(x, 42, 12, 12, colour), text(x + 17, 53, name, "start", size=13)]
        x += 34 + 7 * len(name)
    for tick in range(0, int(longest) + 1, TICK_MS):
        x = LEFT + tick * scale
        lines += [f'<line x1="{x:.0f}" y1="{TOP - 8}" x2="{x:.0f}" y2="{bottom - 8}" stroke="#d9dde3"/>',
                  text(x, bottom + 14, tick, size=13)]
    for row, (workers, (speed, parts)) in enumerate(measured.items()):
        y, x = TOP + row * (BAR + GAP), LEFT
        lines += [text(LEFT - 12, y + 19, lesson.count(workers, "worker"), "end", weight="bold"),
                  text(LEFT - 12, y + 36, f"{speed:.1f} hashes/s", "end", size=13)]
        for (_, colour, on_it), part in zip(PARTS, parts):
            width = part * scale
            lines += [rect(x, y, width, BAR, colour)] if width >= 1 else []
            lines += [text(x + width / 2, y + 26, f"{part:.0f}", colour=on_it)] if width > 26 else []
            x += width
    return "\n".join([*lines, "</svg>", ""])


def main():
    measured = {workers: measure(workers) for workers in WORKERS}
    path = os.path.join(REPO, "docs/time-per-step.svg")
    with open(path, "w", encoding="utf-8") as file:
        file.write(draw(measured))
    print(f"{path}: {os.path.getsize(path)} bytes")


if __name__ == "__main__":
    main()
