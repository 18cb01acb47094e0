import assert from "node:assert/strict";
import { it } from "node:test";

import { SHORTEST_PAUSE, TIMEOUT, history, now, parse, pause, read } from "../../../webui/files/reader.js";
import { LONGEST_STEP, SHORTEST_STEP } from "../../../webui/files/series.js";
import { setClocks } from "./page.mjs";

it("a response is read", () => {
  const text = '{"coins":12,"hashes":"345","now":1700000000.123}';
  assert.deepEqual(parse(200, text), { now: 1700000000.123, hashes: 345, coins: 12 });
  assert.equal(parse(200, '{"coins":0,"hashes":"-9223372036854775808","now":1}').hashes, -(2 ** 63));
  assert.equal(parse(200, '{"coins":0,"hashes":null,"now":1}').hashes, 0, "no counter is one that stands at zero");
});

it("any other response is trouble with Redis, with the web UI or with the response", () => {
  for (const [kind, message, status, text] of [
    ["redis", "Redis at redis:6379: connection refused", 503, '{"error":"Redis at redis:6379: connection refused"}'],
    ["webui", "its response has status 503", 503, "<html>no backend</html>"],
    ["webui", "its response has status 503", 503, "{}"],
    ["webui", "its response has status 404", 404, '{"error":"there is no such path"}'],
    ["webui", "its response is not JSON", 200, "<html>log in first</html>"],
    ["response", 'the counter is "12345678901234567890"', 200, '{"coins":0,"hashes":"12345678901234567890","now":1}'],
    ["response", "the counter is undefined", 200, '{"coins":0,"now":1}'],
    ["response", 'it is {"coins":"many","hashes":"1","now":1}', 200, '{"coins":"many","hashes":"1","now":1}'],
    ["response", /^it is .{100}$/, 200, `{"coins":0,"hashes":"1","now":"soon"${" ".repeat(100)}}`],
  ]) {
    assert.throws(() => parse(status, text), { name: "Error", kind, message });
  }
});

it("requests are a second apart, and readings never so close that one report looks like hundreds per second", () => {
  assert.deepEqual([0, 20, 100, 101, TIMEOUT].map((answered) => pause(0, answered)), [1000, 980, 900, 900, 900]);
  assert.ok(SHORTEST_PAUSE > SHORTEST_STEP * 1000 && TIMEOUT + SHORTEST_PAUSE < LONGEST_STEP * 1000);
});

it("a web UI that does not respond within 3 s, or not at all, is trouble", async () => {
  for (const [signal, message] of [[AbortSignal.abort(), "no response within 3 s"], [new AbortController().signal, "no connection"]]) {
    AbortSignal.timeout = (time) => (time === 3000 ? signal : null);
    const breaks = async () => { throw new Error("broken"); };
    const breaksOff = async (url, options) => options.signal === signal && { status: 200, text: breaks };
    for (const fetches of [breaks, breaksOff]) {
      globalThis.fetch = fetches;
      await assert.rejects(read("json"), { kind: "webui", message });
    }
  }
});

it("the clock is steady, and follows the time of day only when that jumps far, as after a sleep", () => {
  for (const [steady, timeOfDay, shown] of [[0, 100, 100], [1, 105, 101], [2, 98, 102], [3, 403, 403], [4, 399, 399]]) {
    setClocks(() => steady, () => timeOfDay);
    assert.equal(now(), shown);
  }
});

it("the history ends now or when its date says, and there is none from a web UI that keeps none", async () => {
  const answer = (status, text, headers) => {
    globalThis.fetch = async () => ({ status, headers: new Headers(headers), text: async () => text });
    return history("history");
  };
  setClocks(() => 10, () => 5000);
  for (const [headers, end] of [[{}, 5000], [{ date: "Thu, 01 Jan 1970 00:00:02 GMT" }, 5000],
    [{ date: "Thu, 01 Jan 1970 00:01:02 GMT" }, 4940.5]]) {
    const readings = await answer(200, '{"readings":[[1.5,null],[2.5,"4"]]}', headers);
    assert.deepEqual(readings.map(({ time, hashes }) => [time, hashes]), [[end - 1, 0], [end, 4]]);
  }
  for (const [status, text] of [[404, "<html>"], [404, "{}"], [500, '{"readings":[[1,"4"]]}'],
    [200, '{"readings":[["soon","4"],[1,"abc"]]}']]) {
    assert.deepEqual(await answer(status, text), []);
  }
});
