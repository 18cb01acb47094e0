import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { LEAST_AVERAGED, LONGEST_STEP, SETTLING, Series, WINDOW, axis, closest, readingAt, slope }
  from "../../../webui/files/series.js";

/** Any time of the day, as the web UI gives it. */
const START = 1700000000.123;

/** Adds a counter's values, a reading a second; null is a failed reading. Returns the rows. */
function readOff(series, counter, start = START) {
  return counter.map((hashes, second) => {
    if (hashes === null) {
      series.interrupt();
      return null;
    }
    return series.add({ time: start + second, hashes });
  });
}

/**
 * Readings, about one a second from `from` to `to`, of a counter to which so many workers report. Each starts at a moment of its own
 * and, when more than a second has passed since its last report, reports what it has done. They share one rng: no more than 10 hashes a second.
 */
function mine(workers, from, to) {
  const loop = Math.max(0.3015, workers * 0.1002);
  const reports = [];
  for (let worker = 0; worker < workers; worker += 1) {
    let done = 0;
    let reported = 0;
    for (let time = 0.37 * worker % loop; time < to; time += loop) {
      if (time - reported > 1) {
        reports.push({ time, done });
        reported = time;
        done = 0;
      }
      done += 1;
    }
  }
  const readings = [];
  for (let time = from; time < to; time += 1.003) {
    const seen = reports.filter((report) => report.time <= time);
    readings.push({ time: START + time, hashes: seen.reduce((sum, report) => sum + report.done, 0) });
  }
  return { readings, speed: workers / loop };
}

describe("speed", () => {
  it("is not known at the first reading", () => {
    assert.equal(new Series().add({ time: START, hashes: 400 }).speed, null);
  });

  it("is the difference of two readings in a row over the time between them", () => {
    const series = new Series();
    series.add({ time: START, hashes: 100 });
    assert.ok(Math.abs(series.add({ time: START + 1.6, hashes: 104 }).speed - 2.5) < 1e-6);
  });

  it("shows the fours and zeroes of a lone worker", () => {
    const series = new Series();
    const { readings } = mine(1, 20, 80);
    const speeds = readings.map((reading) => series.add(reading).speed).slice(1).map((speed) => Math.round(speed));
    assert.deepEqual([...new Set(speeds)].sort(), [0, 4]);
    assert.ok(speeds.filter((speed) => speed === 0).length > 5);
    assert.ok(!speeds.some((speed, i) => speed === 0 && speeds[i + 1] === 0), "never two zeroes in a row");
  });

  it("is zero, not unknown, while nothing is mined", () => {
    assert.equal(readOff(new Series(), [7, 7])[1].speed, 0);
  });

  it("is averaged over the time of a reading that comes late", () => {
    const series = new Series();
    series.add({ time: START, hashes: 0 });
    const { speed } = series.add({ time: START + LONGEST_STEP, hashes: 40 });
    assert.ok(Math.abs(speed - 40 / LONGEST_STEP) < 1e-6);
  });
});

describe("a gap", () => {
  const unknown = { speed: null, average: null };
  const isUnknown = (row) => assert.deepEqual({ speed: row.speed, average: row.average }, unknown);

  it("follows a failed reading", () => {
    const rows = readOff(new Series(), [0, 4, 8, null, 16, 20]);
    isUnknown(rows[4]);
    assert.ok(Math.abs(rows[5].speed - 4) < 1e-5);
  });

  it("follows when there was no reading for long, as in a tab that slept", () => {
    for (const away of [LONGEST_STEP + 0.1, 10, 3600]) {
      const series = new Series();
      readOff(series, [0, 4, 8]);
      isUnknown(series.add({ time: START + 2 + away, hashes: 12000 }));
      assert.ok(Math.abs(series.add({ time: START + 3 + away, hashes: 12004 }).speed - 4) < 1e-5);
    }
  });

  it("follows a counter that was reset, and no speed is ever negative", () => {
    const rows = readOff(new Series(), [1000, 1004, 0, 4, 8, 12]);
    isUnknown(rows[2]);
    assert.deepEqual(rows.slice(3).map((row) => Math.round(row.speed)), [4, 4, 4]);
    assert.ok(rows.every((row) => row.speed === null || row.speed >= 0));
  });

  it("is as long as the workers' pent-up reports take when Redis was away", () => {
    const series = new Series();
    readOff(series, [0, 10, 20]);
    series.interrupt(SETTLING);
    // The web UI failing as well does not shorten it.
    series.interrupt();
    const rows = readOff(series, [30, 31, 48, 58, 68], START + 10);
    assert.deepEqual(rows.map((row) => row.speed && Math.round(row.speed)), [null, null, null, 10, 10]);
  });

  it("follows when the server's clock is set", () => {
    const series = new Series();
    readOff(series, [0, 4, 8]);
    isUnknown(series.add({ time: START + 2.1, hashes: 12 }));
    isUnknown(series.add({ time: START - 3600, hashes: 16 }));
    assert.deepEqual(series.rows.map((row) => row.time), [START - 3600], "nothing lies in the future");
  });
});

describe("average", () => {
  it("is not known before it is worth something", () => {
    const rows = readOff(new Series(), [0, 4, 8, 12, 16, 16, 20, 24, 28, 32]);
    rows.forEach((row, second) => {
      assert.equal(row.average === null, second < LEAST_AVERAGED, `after ${second} s`);
    });
  });

  it("is exact on a counter that rises evenly, at any time of the century", () => {
    const rows = readOff(new Series(), Array.from({ length: 60 }, (_, second) => 1e12 + 10 * second), 4e9);
    assert.ok(Math.abs(rows.at(-1).average - 10) < 1e-9);
  });

  for (const workers of [1, 2, 3, 10]) {
    it(`is within 2 % of the speed of ${workers} workers after 30 s, whenever one looks`, () => {
      for (let phase = 0; phase < 3; phase += 0.1) {
        const { readings, speed } = mine(workers, 20 + phase, 120);
        const series = new Series();
        for (const reading of readings) {
          const { average } = series.add(reading);
          if (reading.time < START + 51 + phase) continue;
          assert.ok(Math.abs(average / speed - 1) < 0.02, `${average} instead of ${speed}`);
        }
      }
    });

    it(`is within 10 % of the speed of ${workers} workers from the first on`, () => {
      for (let phase = 0; phase < 3; phase += 0.1) {
        const { readings, speed } = mine(workers, 20 + phase, 50);
        const series = new Series();
        for (const reading of readings) {
          const { average } = series.add(reading);
          if (average !== null) assert.ok(Math.abs(average / speed - 1) < 0.1, `${average} instead of ${speed}`);
        }
      }
    });
  }

  it("goes from the old speed to the new within 30 s, without going beyond", () => {
    const counter = [];
    for (let second = 0, hashes = 0; second < 120; second += 1, hashes += second <= 60 ? 3 : 10) counter.push(hashes);
    const rows = readOff(new Series(), counter);
    const averages = rows.slice(LEAST_AVERAGED).map((row) => row.average);
    averages.reduce((before, now) => {
      assert.ok(now > before - 1e-9 && now < 10 + 1e-9);
      return now;
    });
    assert.ok(Math.abs(rows[60].average - 3) < 1e-6);
    assert.ok(Math.abs(rows[90].average - 10) < 1e-6);
  });

  it("falls to zero when the workers stop", () => {
    const counter = Array.from({ length: 100 }, (_, second) => 10 * Math.min(second, 50));
    assert.ok(Math.abs(readOff(new Series(), counter).at(-1).average) < 1e-9);
  });

  it("begins anew after a gap", () => {
    const steady = Array.from({ length: 40 }, (_, second) => 10 * second);
    const rows = readOff(new Series(), [...steady, null, ...steady.map((hashes) => 5000 + hashes)]);
    assert.ok(rows.slice(41, 41 + LEAST_AVERAGED).every((row) => row.average === null));
    assert.ok(Math.abs(rows.at(-1).average - 10) < 1e-6);
  });
});

describe("slope", () => {
  it("is that of the best line", () => {
    // By hand: mean time 1.5, mean hashes 3; (1.5*3 + 0.5*1 + 0.5*-1 + 1.5*5) / 5
    const readings = [[0, 0], [1, 2], [2, 2], [3, 8]].map(([time, hashes]) => ({ time, hashes }));
    assert.equal(slope(readings), 2.4);
  });
});

describe("rows", () => {
  it("reach over the graph's whole window, and do not grow beyond it", () => {
    const series = new Series();
    for (let second = 0; second < 3600; second += 1) series.add({ time: START + second, hashes: 3 * second });
    assert.ok(series.rows[0].time <= START + 3599 - WINDOW, "the left edge is covered");
    assert.ok(series.rows.length <= WINDOW + 2);
  });

  it("are found by their time", () => {
    const rows = [10, 11, 15].map((time) => ({ time }));
    assert.deepEqual([-5, 10.4, 10.6, 12.9, 13.1, 99].map((time) => closest(rows, time)), [0, 0, 1, 1, 2, 2]);
  });

  it("tell nothing about a time when nobody looked, or that is no longer shown", () => {
    const rows = [10, 11, 30].map((time) => ({ time }));
    assert.deepEqual([5, 6, 11.5, 15, 16, 26, 34, 35].map((time) => readingAt(rows, time, 0)),
      [null, 0, 1, 1, null, 2, 2, null]);
    assert.deepEqual([10, 11].map((time) => readingAt(rows, time, 10.5)), [null, 1]);
    assert.equal(readingAt([], 10, 0), null);
  });
});

describe("axis", () => {
  it("has round steps, few of them, and room above", () => {
    for (const max of [0, 0.1, 3.3, 4, 5, 6.7, 8, 10, 12, 33, 99, 100, 1234]) {
      const { top, step } = axis(max);
      assert.ok(top > max, `${max}`);
      assert.ok(top >= 5, "one worker does not move it");
      assert.ok(top / step <= 6 && top / step >= 2 && Number.isInteger(top / step));
      assert.match(String(step), /^[125]0*$/);
    }
    assert.deepEqual([4, 10].map((max) => axis(max)), [{ top: 5, step: 1 }, { top: 12, step: 2 }]);
  });
});
