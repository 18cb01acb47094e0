"""Spoiler: these texts tell the answer. The table, the verdict and the explanation."""

import dataclasses

from lesson_parts.model import Rngs

SPEED_TOLERANCE = 0.05  # a laptop's network adds a few milliseconds to the 300 of a loop
SPEED_TOLERANCE_OF_SEVERAL = 0.1  # chosen at random: over 20 s the standard deviation is 2.7 %
HASHER_TOLERANCE = 0.02  # seconds; hasher answers GET / at once
NOTICEABLE = 0.03  # a smaller gain in speed does not count: this share of a loop is neither work nor waiting
COLUMNS = "{:>7}  {:>9} {:>8}  {:>9} {:>8}  {:>9} {:>8}  {}"


def in_words(items):
    items = [str(item) for item in items]
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"


def count(number, noun):
    return f"{number} {noun}{'' if number == 1 else 's'}"


def table_head(delays, rngs):
    delays = in_words([f"{delay * 1000:g}" for delay in dataclasses.astuple(delays)])
    heads = (COLUMNS.format("", "hashes/s", "", "rng, ms", "", "hasher ms", "", ""),
             COLUMNS.format("workers", *["predicted", "measured"] * 3, ""))
    return "\n".join((f"Simulated work of worker, rng and hasher: {delays} ms{f'; {rngs}' if rngs != Rngs() else ''}",
                      *map(str.rstrip, heads)))


def table_row(step):
    predicted = step.predicted
    return COLUMNS.format(
        step.workers, f"{predicted.speed:.2f}", "none" if step.speed is None else f"{step.speed:.2f}",
        f"{predicted.rng * 1000:.0f}", f"{step.rng * 1000:.0f}",
        "0", f"{step.hasher * 1000:.1f}", ", ".join(differences(step)) or "ok")


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
    if step.hasher > HASHER_TOLERANCE:
        found.append(f"hasher {step.hasher * 1000:+.0f} ms")
    return found


def verdict(steps):
    """(whether the lesson holds, a sentence that says so, or which step differs and the usual cause)"""
    wrong = [step for step in steps if differences(step)]
    if not wrong:
        holds = "The lesson holds" if steps[-1].rngs == Rngs() else f"As predicted with {steps[-1].rngs}"
        limited = [step.workers for step in steps if step.predicted.saturated]
        limit = f"from {count(limited[0], 'worker')} on rng is the bottleneck" if limited else \
            "rng is not yet the bottleneck"
        numbers = [step.workers for step in steps]
        gives = "worker gives" if numbers == [1] else "workers give"
        return True, (f"{holds}: {in_words(numbers)} {gives} {in_words([f'{step.speed:.2f}' for step in steps])} "
                      f"hashes/s, and {limit}.")
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
            return f"more than {step.rngs} share the work" if limit > 1 else \
                "rng serves requests in parallel, and the lesson needs one at a time (or several rng share the name)"
        if step.rngs.replicas > 1:
            return "requests go to the rng in turn, not at random, as with kube-proxy in IPVS mode"
        seems = max(step.workers + 1, round(ratio * step.workers))
        return f"that is the speed of {count(seems, 'worker')}, so an old worker is still running"
    if step.hasher > max(HASHER_TOLERANCE, step.delays.hasher / 4):
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


def explanation(found):
    """Where the time goes, and what another worker or another rng would give."""
    replicas, concurrency = found.rngs.replicas, found.rngs.concurrency
    network = max(0.0, found.rng - found.queue - found.service)
    rows = [("work", found.work), ("rng", found.rng), ("  in the queue", found.queue), ("  in service", found.service),
            ("  network", network), ("hasher", found.hasher), ("Redis", found.redis), ("one hash", found.hash)]
    table = "\n".join(f"{name:<20}{seconds * 1000:>8.1f}{seconds / found.hash:>8.0%}" for name, seconds in rows)
    next_worker = found.speed_with(found.workers + 1, found.rngs)
    limits = next_worker < found.speed_with(found.workers, found.rngs) * (1 + NOTICEABLE)
    # As many requests at a time as with another rng, from one queue: no rng is idle while a request waits at another.
    one_queue = Rngs(1, found.rngs.at_a_time if replicas > 1 else 2 * concurrency)
    return f"""\
Time per hash, with {count(found.workers, 'worker')} and {found.rngs}:

                          ms
{table}

{found.speed:.2f} hashes/s. rng is busy {min(1.0, found.utilisation):.0%} of the time: it is \
{'the bottleneck' if limits else 'not the bottleneck yet'}.
One more worker would give {next_worker:.1f} hashes/s, one more rng \
{found.speed_with(found.workers, Rngs(replicas + 1, concurrency)):.1f}, and {one_queue} \
{found.speed_with(found.workers, one_queue):.1f}."""
