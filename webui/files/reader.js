// Reads the counters from the web UI once a second. Requests never overlap.

import { LONGEST_STEP } from "./series.js";

/** Milliseconds from one request to the next. */
export const PERIOD = 1000;
/** The web UI responds within a second, with or without Redis. The rest is for the network. */
export const TIMEOUT = 3000;
/**
 * Shortest time from a response to the next request. After a slow response, two readings could otherwise be taken at
 * nearly the same moment, and a report of 4 hashes between them would look like hundreds per second.
 */
export const SHORTEST_PAUSE = 900;

/** Seconds since 1970 when performance.now() was 0. */
let origin = NaN;

/**
 * This browser's time, seconds since 1970. (The web UI's clock is of no use: behind a load balancer there are several.)
 * It is steady. It jumps only when the time of day does, or when the machine slept, while performance.now() stood still;
 * and then so far that the graph has a gap.
 */
export function now() {
  const latest = (Date.now() - performance.now()) / 1000;
  if (!(Math.abs(latest - origin) <= LONGEST_STEP)) origin = latest;
  return origin + performance.now() / 1000;
}

/** Why there is no reading; `kind` is "redis", "webui" or "response". */
export class Trouble extends Error {
  constructor(kind, reason) {
    super(reason);
    this.kind = kind;
  }
}

/** The response of /json as {now, hashes, coins}: seconds since 1970 by its clock and two numbers. Throws Trouble. */
export function parse(status, text) {
  let body;
  try {
    body = JSON.parse(text);
  } catch {
    body = null;
  }
  if (status === 503 && typeof body?.error === "string") throw new Trouble("redis", body.error);
  // Any other 503, or a page in HTML, comes from a proxy.
  if (status !== 200) throw new Trouble("webui", `its response has status ${status}`);
  if (body === null) throw new Trouble("webui", "its response is not JSON");
  const { coins, hashes, now: time } = body;
  if (hashes !== null && !/^-?\d{1,19}$/.test(hashes)) {
    throw new Trouble("response", `the counter is ${JSON.stringify(hashes)}`);
  }
  if (!Number.isInteger(coins) || !Number.isFinite(time)) throw new Trouble("response", `it is ${text.slice(0, 100)}`);
  return { now: time, hashes: Number(hashes ?? 0), coins };
}

/** One reading: {time, hashes, coins}. Throws Trouble. */
export async function read(url) {
  const timeout = AbortSignal.timeout(TIMEOUT);
  let response;
  let text;
  try {
    response = await fetch(url, { cache: "no-store", signal: timeout });
    text = await response.text();
  } catch {
    throw new Trouble("webui", timeout.aborted ? `no response within ${TIMEOUT / 1000} s` : "no connection");
  }
  return { ...parse(response.status, text), time: now() };
}

/**
 * The readings of the last minutes, {time, hashes}, oldest first. None from a web UI that keeps no history, such as the
 * original. The last was made for this response, or Redis is away: then the response's date tells its age.
 */
export async function history(url) {
  try {
    const response = await fetch(url, { cache: "no-store", signal: AbortSignal.timeout(TIMEOUT) });
    const { readings } = JSON.parse(await response.text());
    const last = readings.at(-1)[0];
    const age = Math.max(Date.parse(response.headers.get("Date")) / 1000 - last, 0) || 0;
    const end = now() - age;
    return readings.flatMap(([time, hashes]) => {
      try {
        return [{ ...parse(response.status, JSON.stringify({ coins: 0, hashes, now: time })), time: end + time - last }];
      } catch {
        return [];
      }
    });
  } catch {
    return [];
  }
}

/** Milliseconds to wait before the next request. */
export function pause(asked, answered) {
  return Math.max(asked + PERIOD - answered, SHORTEST_PAUSE);
}

const sleep = (milliseconds) => new Promise((resolve) => { setTimeout(resolve, milliseconds); });

/** Reads as long as the page is open. Calls onReading or onTrouble after each request. */
export async function follow(url, onReading, onTrouble) {
  for (;;) {
    const asked = performance.now();
    let reading;
    let trouble;
    try {
      reading = await read(url);
    } catch (error) {
      trouble = error;
    }
    const wait = sleep(pause(asked, performance.now()));
    if (trouble) onTrouble(trouble);
    else onReading(reading);
    await wait;
  }
}
