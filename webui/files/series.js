// From counters to speeds: arithmetic, without a page.

/** Seconds that the graph shows. */
export const WINDOW = 250;
/** The average is taken over the last so many seconds, */
export const AVERAGED = 30;
/** and only when there are so many: with fewer, one report of the worker more or less decides it. */
export const LEAST_AVERAGED = 8;
/**
 * Two readings further apart are not connected: nobody looked meanwhile. More than the slowest answer and the pause
 * after it.
 */
export const LONGEST_STEP = 4;
/** Two readings closer together, although asked for 0.9 s apart: the server's clock was set. */
export const SHORTEST_STEP = 0.5;

/**
 * Redis was away and is back: then all workers report at once what they had not been able to, and again a second later.
 * So many readings have nothing to say about the speed.
 */
export const SETTLING = 2;

/**
 * The slope of the straight line that fits the readings best (least squares), in hashes per second.
 *
 * The counter moves in steps of 4, which are seen up to a second late. A difference over the whole window takes all of
 * that error from its two ends; here all readings count, and those at the ends the least.
 */
export function slope(readings) {
  let time = 0;
  let hashes = 0;
  for (const reading of readings) {
    // From the first on: seconds since 1970 squared would leave no digits for the rest.
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

/** The speed's history: a row a reading, {time, speed, average}, where null is "not known". */
export class Series {
  /** The rows that the graph shows, and one before them. */
  rows = [];
  /** The last readings in a row, without a gap, as far as the average goes back. */
  #stretch = [];
  /** How many of the next readings to leave out of it. */
  #settling = 0;

  /** Nothing is known about the time until the next reading, and `settling` more. */
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
    // The server's clock may have been set back: what lies in its future now is not drawn over.
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

/** The place in `rows` (in order of time) of the one closest to `time`; 0 when there are none. */
export function closest(rows, time) {
  let best = 0;
  for (let i = 1; i < rows.length; i += 1) {
    if (Math.abs(rows[i].time - time) <= Math.abs(rows[best].time - time)) best = i;
  }
  return best;
}

/** The same of the reading that tells of `time`; null when nobody looked then, or that was before `from`. */
export function readingAt(rows, time, from) {
  const at = closest(rows, time);
  const near = rows.length > 0 && Math.abs(rows[at].time - time) <= LONGEST_STEP;
  return near && rows[at].time >= from ? at : null;
}
