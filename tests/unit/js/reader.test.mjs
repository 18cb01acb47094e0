import assert from "node:assert/strict";
import { createServer } from "node:http";
import { after, before, describe, it } from "node:test";

import { PERIOD, SHORTEST_PAUSE, TIMEOUT, follow, parse, pause, read } from "../../../webui/files/reader.js";
import { LONGEST_STEP, SHORTEST_STEP } from "../../../webui/files/series.js";

const GOOD = '{"coins":12,"hashes":"345","now":1700000000.123}';

describe("an answer", () => {
  it("is read", () => {
    assert.deepEqual(parse(200, GOOD), { time: 1700000000.123, hashes: 345, coins: 12 });
  });

  it("without a counter is one that stands at zero", () => {
    assert.equal(parse(200, '{"coins":0,"hashes":null,"now":1}').hashes, 0);
  });

  const troubles = [
    ["redis", "Redis at redis:6379: connection refused", 503, '{"error":"Redis at redis:6379: connection refused"}'],
    ["webui", /503/, 503, "<html>no backend</html>"],
    ["webui", /503/, 503, "{}"],
    ["webui", /404/, 404, '{"error":"there is no such path"}'],
    ["webui", /JSON/, 200, "<html>log in first</html>"],
    ["webui", /JSON/, 200, ""],
    ["answer", /abc/, 200, '{"coins":0,"hashes":"abc","now":1}'],
    ["answer", /counter/, 200, '{"coins":0,"now":1}'],
    ["answer", /coins/, 200, '{"coins":"many","hashes":"1","now":1}'],
    ["answer", /now/, 200, '{"coins":0,"hashes":"1","now":"soon"}'],
  ];
  for (const [kind, message, status, text] of troubles) {
    it(`${status} ${text || "(empty)"} is trouble with ${kind}`, () => {
      assert.throws(() => parse(status, text), { name: "Error", kind, message });
    });
  }
});

describe("the pause", () => {
  it("keeps to one request a second when answers are quick", () => {
    assert.equal(pause(0, 20), PERIOD - 20);
  });

  it("keeps two readings apart after a slow answer", () => {
    assert.equal(pause(0, TIMEOUT), SHORTEST_PAUSE);
    assert.ok(SHORTEST_PAUSE > SHORTEST_STEP * 1000);
  });

  it("lets the slowest good answers be connected", () => {
    assert.ok(TIMEOUT + SHORTEST_PAUSE < LONGEST_STEP * 1000);
  });
});

describe("reading from a server", () => {
  let server;
  let url;
  let answer;
  let open = 0;
  let most = 0;

  before(async () => {
    server = createServer((request, response) => {
      open += 1;
      most = Math.max(most, open);
      response.on("close", () => { open -= 1; });
      answer(response);
    });
    await new Promise((resolve) => { server.listen(0, "127.0.0.1", resolve); });
    url = `http://127.0.0.1:${server.address().port}/json`;
  });

  after(() => {
    server.closeAllConnections?.();
    server.close();
  });

  it("gives the reading", async () => {
    answer = (response) => response.end(GOOD);
    assert.equal((await read(url)).hashes, 345);
  });

  it("gives up on a server that says nothing", async () => {
    answer = () => {};
    await assert.rejects(read(url), { kind: "webui", message: "no answer within 3 s" });
  });

  it("gives up on a server that stops in the middle", async () => {
    answer = (response) => { response.writeHead(200, { "Content-Length": 100 }).write("{"); };
    await assert.rejects(read(url), { kind: "webui", message: "no answer within 3 s" });
  });

  it("says that there is no server", async () => {
    await assert.rejects(read("http://127.0.0.1:1/json"), { kind: "webui", message: "no connection" });
  });

  it("goes on after trouble, one request at a time", async () => {
    const answers = [
      (response) => response.end(GOOD),
      (response) => { response.statusCode = 503; response.end('{"error":"Redis is away"}'); },
      (response) => response.destroy(),
      (response) => setTimeout(() => response.end(GOOD), 1500),
      (response) => response.end(GOOD),
    ];
    while (open > 0) await new Promise((resolve) => { setTimeout(resolve, 10); });
    most = 0;
    const heard = [];
    answer = (response) => { answers.shift()(response); };
    const hear = (what) => {
      heard.push(what);
      if (answers.length === 0) throw new Error("enough");
    };
    await assert.rejects(follow(url, () => hear("reading"), (trouble) => hear(trouble.kind)), { message: "enough" });
    assert.deepEqual(heard, ["reading", "redis", "webui", "reading", "reading"]);
    assert.equal(most, 1);
  });
});
