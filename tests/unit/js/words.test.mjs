import assert from "node:assert/strict";
import { it } from "node:test";

import { Announcer, average, rowText, speedText } from "../../../webui/files/words.js";

it("words show nothing that is not known, and no minus", () => {
  assert.deepEqual([3.96, 0, null].map(speedText), ["~4.0 hashes/second", "~0.0 hashes/second", "–"]);
  assert.deepEqual([10 / 3, -1e-9, null].map(average), ["3.33", "0.00", "–"]);
  assert.match(rowText({ time: 30, speed: null, average: null }), /^\d\d:\d\d:30: not known$/);
  assert.match(rowText({ time: 30, speed: 4, average: null }), /^\d\d:\d\d:30: 4\.0 hashes per second$/);
});

it("a screen reader hears the first average, then only a changed one, and seldom", () => {
  const announcer = new Announcer();
  const said = [[null, 0], [4, 8], [6, 17.9], [6, 18], [6.29, 60], [5.69, 61], [0, 71], [0.04, 90], [0.06, 91]]
    .map(([mean, time]) => announcer.sentence(mean, time)?.match(/ (\d\.\d\d) /)[1] ?? null);
  assert.deepEqual(said, [null, "4.00", null, "6.00", null, "5.69", "0.00", null, "0.06"]);
});
