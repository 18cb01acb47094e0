import assert from "node:assert/strict";
import { describe, it } from "node:test";

import * as words from "../../../webui/files/words.js";

describe("words", () => {
  it("give the speed as the course shows it", () => {
    assert.equal(words.speedText(3.96), "~4.0 hashes/second");
    assert.equal(words.speedText(0), "~0.0 hashes/second");
  });

  it("claim nothing that is not known", () => {
    assert.equal(words.speedText(null), "–");
    assert.equal(words.average(null), "–");
    assert.equal(words.rowText({ time: 0, speed: null, average: null }).slice(8), ": not known");
    assert.doesNotMatch(words.shareUrl(null), /\d\.\d|null/);
  });

  it("give the average two decimals and no minus", () => {
    assert.equal(words.average(10 / 3), "3.33");
    assert.equal(words.average(-1e-9), "0.00");
  });

  it("put the speed into the link to share", () => {
    const url = new URL(words.shareUrl(9.97));
    assert.match(url.searchParams.get("text"), /10\.0 hashes\/second/);
  });

  it("group the digits of counts", () => {
    assert.equal(words.count(1234567), "1,234,567");
  });

  it("describe a moment for a screen reader", () => {
    assert.match(words.rowText({ time: 1.7e9, speed: 4, average: 3.333 }),
      /^\d\d:\d\d:\d\d: 4\.0 hashes per second, average 3\.33$/);
  });
});

describe("a screen reader is interrupted", () => {
  it("by the first average, then only when it has changed, and seldom", () => {
    const announcer = new words.Announcer();
    assert.equal(announcer.sentence(null, 0), null);
    assert.match(announcer.sentence(3.33, 8), /3\.33/);
    assert.equal(announcer.sentence(6.67, 12), null, "too soon");
    assert.match(announcer.sentence(6.67, 18), /6\.67/);
    assert.equal(announcer.sentence(6.7, 60), null, "hardly moved");
    assert.match(announcer.sentence(0, 100), /0\.00/);
  });
});
