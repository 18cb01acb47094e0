"""Spoiler: these texts tell the answer. The table, the verdict and the explanation."""

import dataclasses
import time

from lesson_parts.model import Rngs

SPEED_TOLERANCE = 0.05  # a laptop's network adds a few milliseconds to the 300 of a loop
SPEED_TOLERANCE_OF_SEVERAL = 0.1  # chosen at random: over 20 s the standard deviation is 2.7 %
HASHER_TOLERANCE = 0.02  # seconds; hasher answers GET / at once
NOTICEABLE = 0.03  # a smaller gain in speed does not count: this share of a loop is neither work nor waiting


def in_words(items):
    items = [str(item) for item in items]
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"


def count(number, noun):
    return f"{number} {noun}{'' if number == 1 else 's'}"


# ------------------------------------------------------------------------------------ the verdict


def differences(step):
    """What differs from the prediction; empty when nothing does."""
    found = []
    several = step.rngs.replicas > 1
    if step.speed is None:
        found.append("the counter does not move")
    elif abs(step.speed / step.predicted.speed - 1) > (SPEED_TOLERANCE_OF_SEVERAL if several else SPEED_TOLERANCE):
        found.append(f"speed {step.speed / step.predicted.speed - 1:+.0%}")
    # Once rng is saturated, one worker more or fewer changes its time by a whole service time. (Of several rng one was
    # asked, and chance makes its queue long or short: no time would be wrong.)
    if not several and abs(step.rng - step.predicted.rng) > step.delays.rng / 2 + 0.01:
        found.append(f"rng {(step.rng - step.predicted.rng) * 1000:+.0f} ms")
    if step.hasher - step.predicted.hasher > HASHER_TOLERANCE:
        found.append(f"hasher {(step.hasher - step.predicted.hasher) * 1000:+.0f} ms")
    return found


def verdict(steps):
    """(whether the lesson holds, a sentence that says so, or which step differs and the usual cause)"""
    wrong = [step for step in steps if differences(step)]
    if not wrong:
        rates = in_words([f"{step.speed:.2f}" for step in steps])
        limited = [step.workers for step in steps if step.predicted.saturated]
        limit = (f", and from {count(limited[0], 'worker')} on rng is the bottleneck" if limited
                 else ", and rng is not yet the bottleneck")
        noun = "worker gives" if [step.workers for step in steps] == [1] else "workers give"
        numbers = in_words([step.workers for step in steps])
        if steps[-1].rngs != Rngs():
            return True, (f"As predicted with {steps[-1].rngs}: {numbers} {noun} {rates} hashes/s. The lesson starts "
                          "with one rng that serves one request at a time.")
        return True, f"The lesson holds: {numbers} {noun} {rates} hashes/s{limit}."
    # The step that differs most says most about the cause.
    step = max(wrong, key=lambda step: abs((step.speed or 0) / step.predicted.speed - 1))
    found = ", ".join(differences(step))
    if step.speed is not None:
        found = f"{step.speed:.2f} hashes/s instead of {step.predicted.speed:.2f}; {found}"
    return False, (f"The lesson does not hold with {count(step.workers, 'worker')} ({found}): "
                   f"{usual_cause(step, steps)}.")


def usual_cause(step, steps):
    """What the difference at that step usually means."""
    if step.speed is None:
        return "no worker completes a loop; the worker's log says what it waits for"
    ratio = step.speed / step.predicted.speed
    if ratio > 1 + SPEED_TOLERANCE:
        # No number of workers makes rng faster than its limit.
        limit = step.rngs.at_a_time
        if step.predicted.saturated or step.speed * step.delays.rng > limit * (1 + SPEED_TOLERANCE):
            if limit > 1:
                return f"more than {step.rngs} share the work"
            return ("rng serves requests in parallel, and the lesson needs one at a time "
                    "(or several rng share the name)")
        if step.rngs.replicas > 1:
            return "requests go to the rng in turn, not at random, as with kube-proxy in IPVS mode"
        seems = max(step.workers + 1, round(ratio * step.workers))
        return f"that is the speed of {count(seems, 'worker')}, so an old worker is still running"
    if step.hasher - step.predicted.hasher > max(HASHER_TOLERANCE, step.delays.hasher / 4):
        return "hasher is slow: this machine has too few CPUs (or hasher serves one request at a time)"
    if ratio < 1 - SPEED_TOLERANCE:
        return "this machine has too few CPUs, or something else is using them"
    if step.rng > step.predicted.rng and step.predicted.saturated:
        seems = step.workers + max(1, round((step.rng - step.predicted.rng) / step.delays.rng * step.rngs.concurrency))
        return f"rng's queue is as long as with {count(seems, 'worker')}, so an old worker is still running"
    if step.rng > step.predicted.rng:
        return "rng is slow: this machine has too few CPUs, or something else sends requests to rng"
    if any(other.predicted.saturated for other in steps):
        return "GET / does not wait in rng's queue, so httping would not show the bottleneck"
    return "rng answers faster than its DELAY_MS allows"


def as_json(steps, holds, sentence):
    return {
        "holds": holds,
        "verdict": sentence,
        "delay_ms": {name: value * 1000 for name, value in dataclasses.asdict(steps[0].delays).items()},
        "rng": dataclasses.asdict(steps[0].rngs),
        "steps": [{
            "workers": step.workers,
            "speed": {"predicted": step.predicted.speed, "measured": step.speed},
            "rng_ms": {"predicted": step.predicted.rng * 1000, "measured": step.rng * 1000},
            "hasher_ms": {"predicted": step.predicted.hasher * 1000, "measured": step.hasher * 1000},
            "graph": step.graph,
            "ok": not differences(step),
            "differences": differences(step),
        } for step in steps],
    }


class Screen:
    """Writes the table to one stream and the progress to another. Both may be a terminal."""

    FORMAT = "{:>7}  {:>9} {:>8}  {:>9} {:>8}  {:>9} {:>8}  {:<17}  {}"

    def __init__(self, table, news):
        self._table = table
        self._news = news
        self._live = news.isatty()
        self._last_news = 0.0

    def line(self, text):
        self.clear()
        print(text.rstrip(), file=self._table, flush=True)

    def clear(self):
        if self._live:
            print("\r\033[K", end="", file=self._news, flush=True)

    def head(self, delays, rngs):
        self.line("Simulated work of worker, rng and hasher: "
                  + in_words([f"{delay * 1000:g}" for delay in dataclasses.astuple(delays)]) + " ms"
                  + (f"; {rngs}" if rngs != Rngs() else ""))
        self.line(self.FORMAT.format("", "hashes/s", "", "rng, ms", "", "hasher ms", "", "graph,", ""))
        self.line(self.FORMAT.format("workers", *["predicted", "measured"] * 3, "once a second", ""))

    def row(self, step):
        predicted = step.predicted
        self.line(self.FORMAT.format(
            step.workers, f"{predicted.speed:.2f}", "none" if step.speed is None else f"{step.speed:.2f}",
            f"{predicted.rng * 1000:.0f}", f"{step.rng * 1000:.0f}",
            f"{predicted.hasher * 1000:.0f}", f"{step.hasher * 1000:.1f}",
            " ".join(map(str, step.graph)), ", ".join(differences(step)) or "ok"))

    def begin(self, text):
        """Says what happens now. On a terminal, progress() overwrites it."""
        self._last_news = 0.0
        if self._live:
            self.progress(text)
        else:
            print(text, file=self._news, flush=True)

    def progress(self, text):
        if self._live and time.monotonic() - self._last_news > 0.2:
            self._last_news = time.monotonic()
            print(f"\r\033[K{text}", end="", file=self._news, flush=True)


# ------------------------------------------------------------------------------------ the explanation


def explanation_table(found):
    network = max(0.0, found.rng - found.queue - found.service)
    rows = [("work", found.work, True), ("rng", found.rng, True), ("  in the queue", found.queue, False),
            ("  in service", found.service, False), ("  network", network, False),
            ("hasher", found.hasher, True), ("Redis", found.redis, True), ("one hash", found.hash, True)]
    lines = [f"{'':<20}{'ms':>8}"]
    for name, seconds, of_hash in rows:
        part = f"{seconds / found.hash:>8.0%}" if of_hash else ""
        lines.append(f"{name:<20}{seconds * 1000:>8.1f}{part}")
    return "\n".join(lines)


def explanation_sentence(found):
    """The bottleneck, and what another worker or another rng would add."""
    replicas, concurrency = found.rngs.replicas, found.rngs.concurrency
    now = found.speed_with(found.workers, found.rngs)
    next_worker = found.speed_with(found.workers + 1, found.rngs)
    next_rng = found.speed_with(found.workers, Rngs(replicas + 1, concurrency))
    one_queue = found.speed_with(found.workers, Rngs(1, found.rngs.at_a_time))
    ordinal = {1: "a second", 2: "a third"}.get(replicas, "one more")
    busy = "never idle" if found.utilisation > 0.97 else f"busy {found.utilisation:.0%} of the time"
    if one_queue > now * (1 + NOTICEABLE):
        instead = (f" Requests wait at one rng while another is idle: a single rng with "
                   f"CONCURRENCY={found.rngs.at_a_time} would give {one_queue:.1f}.")
    else:
        instead = ""
    if next_worker > now * (1 + NOTICEABLE):
        return (f"rng is idle {max(0.0, 1 - found.utilisation):.0%} of the time, so it is not the bottleneck yet: one "
                f"more worker would give {next_worker:.1f} hashes/s.{instead}")
    if next_rng > now * (1 + NOTICEABLE):
        hardly = "nothing" if replicas == 1 else "hardly anything"
        no_rng = ""  # as many requests at a time as with a second rng, from one queue
        if replicas == 1:
            no_rng = f", CONCURRENCY={2 * concurrency} {found.speed_with(found.workers, Rngs(1, 2 * concurrency)):.1f}"
        return (f"rng is the bottleneck: it is {busy}, and a hash waits {found.queue * 1000:.0f} ms in its queue. "
                f"One more worker adds {hardly}; {ordinal} rng would give {next_rng:.1f} hashes/s{no_rng}.{instead}")
    return (f"rng is about to become the bottleneck: it is {busy}, but requests hardly wait yet. One more worker "
            f"would only add waiting; {ordinal} rng would help only with more workers.")
