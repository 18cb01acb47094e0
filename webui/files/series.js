// From counters to speeds: arithmetic only.

/** Seconds that the graph shows. */
export const WINDOW = 250;
/** The average covers at most so many seconds. */
export const AVERAGED = 30;
/** It needs at least so many: with fewer, one report more or fewer decides it. */
export const LEAST_AVERAGED = 8;
/**
 * Seconds. Between two readings further apart nothing is known. Longer than the slowest response and the pause after
 * it.
 */
export const LONGEST_STEP = 4;
/** Seconds. Requests are at least 0.9 s apart. If two readings are closer, the clock was set. */
export const SHORTEST_STEP = 0.5;

/**
 * Readings to leave out after Redis was away: all workers report at once what they could not, and again a second later.
 */
export const SETTLING = 2;

/**
 * The slope of the least-squares line through the readings, in hashes per second.
 *
 * The counter moves in steps of 4, which are seen up to a second late. A difference over the whole window has the full
 * error of its two ends. Here all readings count.
 */
export function slope(readings) {
  let time = 0;
  let hashes = 0;
  for (const reading of readings) {
    // Relative to the first reading: the square of seconds since 1970 would leave too few digits.
    time += reading.time - readings[0].time;
    hashes += reading.hashes - readings[0].hashes;
  }
  time = readings[0].time + time / readings.length;
  hashes = readings[0].hashes + hashes / readings.length;
  let above = 0;
  let below = 0;
  for (const reading of readings) {
    above += (reading.time - time) * (reading.hashes - hashes);
    below += (reading.time - time) ** 2;
  }
  return above / below;
}

/** The history of the speed: one row per reading, {time, speed, average}; null means "not known". */
export class Series {
  /** The rows that the graph shows, and the one before them. */
  rows = [];
  /** The latest readings without a gap, as many as the average covers. */
  #stretch = [];
  /** How many of the next readings to leave out. */
  #settling = 0;

  /** Begins a gap, which lasts until the next reading and `settling` more. */
  interrupt(settling = 0) {
    this.#stretch = [];
    this.#settling = Math.max(settling, this.#settling);
  }

  /** Takes a reading {time, hashes} and returns its row. */
  add(reading) {
    const { time, hashes } = reading;
    const last = this.#stretch.at(-1);
    if (last) {
      const step = time - last.time;
      const wasReset = hashes < last.hashes;
      if (wasReset || step > LONGEST_STEP || step < SHORTEST_STEP) this.interrupt();
    }
    if (this.#settling > 0) {
      this.#settling -= 1;
    } else {
      this.#stretch.push(reading);
    }
    while (this.#stretch[0]?.time < time - AVERAGED) this.#stretch.shift();

    const row = { time, speed: this.#speed(), average: this.#average() };
    // If the clock was set back, later rows are dropped.
    while (this.rows.length > 0 && this.rows.at(-1).time >= time) this.rows.pop();
    this.rows.push(row);
    while (this.rows.length > 1 && this.rows[1].time < time - WINDOW) this.rows.shift();
    return row;
  }

  #speed() {
    if (this.#stretch.length < 2) return null;
    const [before, now] = this.#stretch.slice(-2);
    return (now.hashes - before.hashes) / (now.time - before.time);
  }

  #average() {
    if (this.#stretch.length < 2) return null;
    const known = this.#stretch.at(-1).time - this.#stretch[0].time;
    return known < LEAST_AVERAGED ? null : slope(this.#stretch);
  }
}

/** The vertical axis for speeds up to `max`: {top, step}, with round numbers and at most `most` steps. */
export function axis(max, most = 6) {
  const room = Math.max(max * 1.05, 5);
  for (let decade = 1; ; decade *= 10) {
    for (const digit of [1, 2, 5]) {
      const step = digit * decade;
      const steps = Math.ceil(room / step);
      if (steps <= most) return { top: steps * step, step };
    }
  }
}

/** The index of the row closest to `time`, in `rows` ordered by time; 0 if there is none. */
export function closest(rows, time) {
  let best = 0;
  for (let i = 1; i < rows.length; i += 1) {
    if (Math.abs(rows[i].time - time) <= Math.abs(rows[best].time - time)) best = i;
  }
  return best;
}

/** Like closest, but null if no reading is near `time`, or it is before `from`. */
export function readingAt(rows, time, from) {
  const at = closest(rows, time);
  const near = rows.length > 0 && Math.abs(rows[at].time - time) <= LONGEST_STEP;
  return near && rows[at].time >= from ? at : null;
}
