import assert from "node:assert/strict";
import { it } from "node:test";

import { FakeDygraph, openPage, setClocks } from "./page.mjs";

let opened = 0;

/** Opens the dashboard at the second 7000. The test responds to its requests, one a second. */
async function openDashboard(Dygraph, history = "not found") {
  const page = openPage(Dygraph);
  page.text = (id) => page.element(id).textContent;
  page.requests = [];
  let answer;
  let goOn;
  let clock = 0;
  setClocks(() => clock, () => 7000 + clock);
  globalThis.setTimeout = (call, pause) => { goOn = call; page.pause = pause; };
  globalThis.fetch = (...request) => new Promise((resolve, reject) => {
    if (request[0] === "history") resolve({ status: 200, headers: new Headers(), text: async () => history });
    else page.requests.push(request);
    answer = (status, text) => (status ? resolve({ status, text: async () => text }) : reject(new Error()));
  });
  await import(`../../../webui/files/app.js?${opened += 1}`);
  const settle = () => new Promise(setImmediate);
  /** Responds (or refuses the connection), lets the page send its next request, and returns what it shows. */
  page.answer = async (status, text) => {
    const before = page.requests.length;
    answer(status, text);
    await settle();
    assert.deepEqual([page.requests.length, page.pause], [before, 1000], "one at a time, one a second");
    clock += 1;
    goOn();
    await settle();
    return ["speed", "average", "hashes", "coins", "state", "reason"].map(page.text);
  };
  page.read = (now, hashes) => page.answer(200, JSON.stringify({ coins: 1234, hashes: String(hashes), now }));
  return page;
}

it("the dashboard shows readings and errors, and recovers", async () => {
  const page = await openDashboard(FakeDygraph);
  assert.deepEqual(await page.read(7000, 4000), ["–", "–", "4,000", "1,234", "live", ""]);
  assert.deepEqual([page.requests[0][0], page.requests[0][1].cache], ["json", "no-store"]);
  for (let second = 1; second < 8; second += 1) {
    assert.deepEqual((await page.read(7000 + second, 4000 + 4 * second)).slice(0, 2), ["~4.0 hashes/second", "–"]);
  }
  assert.deepEqual(page.element("announcement").texts, []);
  assert.deepEqual(await page.read(7008, 4032), ["~4.0 hashes/second", "4.00", "4,032", "1,234", "live", ""]);
  assert.deepEqual(page.element("announcement").texts, ["Mining speed: 4.00 hashes per second on average"]);
  const tweet = "https://twitter.com/intent/tweet?text=My%20%23DockerCoins%20mining%20rig%20is%20crunching%20";
  assert.equal(page.element("tweet").href, `${tweet}4.0%20hashes%2Fsecond!%20W00T!`);
  const [{ updates }] = FakeDygraph.made;
  assert.deepEqual(updates.at(-1).dateWindow, [6_758_000, 7_008_000]);

  const moment = () => ["then", "speed-then", "average-then"].map(page.text);
  page.element("graph").listeners.pointermove({ clientX: 7108 });
  assert.match(moment().join(), /^ at \d\d:\d\d:48, 4\.0, 4\.00$/);
  page.element("graph").listeners.pointerleave();
  assert.deepEqual(moment(), ["", "", ""]);

  const redisAway = await page.answer(503, '{"error":"Redis is away"}');
  assert.deepEqual(redisAway, ["–", "–", "4,032", "1,234", "Redis is unreachable, retrying", "Redis is away"]);
  assert.deepEqual([page.element("state").dataset.state, page.element("reason").title], ["redis", "Redis is away"]);
  assert.equal(page.element("tweet").href, `${tweet}away!%20W00T!`);
  assert.deepEqual([updates.length, updates.at(-1).dateWindow[1]], [9, 7_009_000], "time passes");
  assert.deepEqual((await page.answer(0)).slice(4), ["the web UI does not respond, retrying", "no connection"]);
  const speeds = [];
  for (const now of [7020, 7021, 7022, 7023]) speeds.push((await page.read(now, 10 * now))[0]);
  assert.deepEqual(speeds, ["–", "–", "–", "~10.0 hashes/second"], "after Redis two more readings are left out");
  await page.answer(0);
  assert.equal((await page.read(7025, 70250))[0], "–");
  assert.equal((await page.read(7026, 70260))[0], "~10.0 hashes/second", "but none after the web UI was");
  assert.deepEqual((await page.answer(200, '{"coins":0,"hashes":"abc","now":1}')).slice(4),
    ["the web UI's response is not valid, retrying", 'the counter is "abc"']);
  assert.equal(page.element("state").texts.filter((text) => text === "live").length, 3, "said only when it changes");
});

it("the average is right from the first reading on, also when web UIs with different clocks respond by turns", async () => {
  const hashes = (second) => String(Math.round((20 / 3) * second));
  const readings = Array.from({ length: 9 }, (_, second) => [1.7e9 + second, hashes(second)]);
  for (const apart of [0.7, 3600]) {
    const page = await openDashboard(FakeDygraph, JSON.stringify({ readings }));
    for (let second = 8; second < 60; second += 1) { // 8 s are just enough
      const [speed, average] = await page.read(1.7e9 + second + (second % 2) * apart, hashes(second));
      assert.ok(Math.abs(average - 20 / 3) < 0.1, `${average} in second ${second}, clocks ${apart} s apart`);
      assert.match(speed, /^~[67]\.0 /);
    }
  }
});

it("the dashboard shows its numbers also without the chart library", async () => {
  const page = await openDashboard(undefined);
  assert.equal(page.text("graph"), "The chart library could not be loaded, so there is no graph.");
  assert.equal((await page.read(7000, 40))[2], "40");
  assert.equal((await page.answer(0))[4], "the web UI does not respond, retrying");
});
