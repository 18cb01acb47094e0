import assert from "node:assert/strict";
import { it } from "node:test";

import { Series, axis, closest, readingAt, slope } from "../../../webui/files/series.js";

/** The rows for a counter's values, one reading per second; null is a failed reading. */
function readOff(counter, start = 1700000000.123, series = new Series()) {
  const add = (hashes, second) => series.add({ time: start + second, hashes });
  return counter.map((hashes, second) => (hashes === null ? series.interrupt() : add(hashes, second)));
}

const rounded = (number) => (number === null ? null : Math.round(number * 1000) / 1000);
const speeds = (rows) => rows.map((row) => row && rounded(row.speed));
const averages = (rows) => rows.map((row) => row && rounded(row.average));
const evenly = (length, speed, from = 0) => Array.from({ length }, (_, second) => from + speed * second);

it("the speed is a difference over its time, not known after a failed reading or a reset, nor while workers catch up after Redis was away", () => {
  assert.deepEqual(speeds(readOff([0, 4, 8, null, 16, 20])), [null, 4, 4, undefined, null, 4]);
  assert.deepEqual(speeds(readOff([1000, 1004, 0, 4, 8])), [null, 4, null, 4, 4]);
  const series = new Series();
  readOff([0, 10, 20], 1000, series);
  series.interrupt(2);
  series.interrupt(); // A failure of the web UI does not shorten it.
  assert.deepEqual(speeds(readOff([30, 31, 48, 58, 68], 1010, series)), [null, null, null, 10, 10]);
});

it("the speed is not known when two readings are too far apart or too close, as when a clock is set", () => {
  for (const [step, speed, kept] of [[0.49, null, 4], [0.5, 16, 4], [1.6, 5, 4], [4, 2, 4], [4.1, null, 4],
    [3600, null, 3], [-1, null, 2]]) {
    const series = new Series();
    readOff([0, 4], 1000, series);
    const rows = [series.add({ time: 1001 + step, hashes: 12 }), series.add({ time: 1002 + step, hashes: 16 })];
    assert.deepEqual([...speeds(rows), series.rows.length], [speed, 4, kept], `${step} s, nothing in the future`);
  }
});

it("the average is not known for 8 s, also after a gap, and then exact for a steady counter", () => {
  const once = [...Array(8).fill(null), ...Array(52).fill(10)];
  const counter = [...evenly(60, 10, 1e12), null, ...evenly(60, 10, 2e12)];
  assert.deepEqual(averages(readOff(counter, 4e9)), [...once, undefined, ...once]);
  // By hand: mean time 1.5, mean hashes 3; (1.5*3 + 0.5*1 + 0.5*-1 + 1.5*5) / 5
  assert.equal(slope([0, 2, 2, 8].map((hashes, time) => ({ time, hashes }))), 2.4);
});

it("the average reaches a new speed within 30 s, without overshoot", () => {
  const seen = averages(readOff([...evenly(60, 3), ...evenly(60, 10, 180)], 0));
  assert.deepEqual([seen[60], seen[89] < 10, seen[90]], [3, true, 10]);
  assert.deepEqual(seen.slice(8), seen.slice(8).sort((a, b) => a - b));
});

it("the rows cover the graph's 250 s and one reading before, however long it runs", () => {
  const series = new Series();
  readOff(evenly(1000, 3), 0, series);
  assert.deepEqual([series.rows.length, series.rows[0].time], [252, 748]);
});

it("a row is found by its time, where there is a reading and it is still shown", () => {
  const at = [10, 11, 15].map((time) => ({ time }));
  assert.deepEqual([-5, 10.4, 10.6, 12.9, 13, 99].map((time) => closest(at, time)), [0, 0, 1, 1, 2, 2]);
  const rows = [10, 11, 30].map((time) => ({ time }));
  const places = [5.9, 6, 11.5, 15, 16, 26, 34, 35].map((time) => readingAt(rows, time, 0));
  assert.deepEqual(places, [null, 0, 1, 1, null, 2, 2, null]);
  assert.deepEqual([10, 11].map((time) => readingAt(rows, time, 11)), [null, 1]);
  assert.deepEqual([[], at.slice(0, 1)].map((few) => readingAt(few, 10, 0)), [null, 0]);
});

it("the axis has few, round steps, and room above", () => {
  const axes = [0, 4, 5, 10, 12, 33, 99, 1234].map((max) => axis(max)).map(({ top, step }) => [top, step]);
  assert.deepEqual(axes, [[5, 1], [5, 1], [6, 1], [12, 2], [15, 5], [40, 10], [120, 20], [1500, 500]]);
});
