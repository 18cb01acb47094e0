// Reads the counters from the web UI once a second. Requests never overlap.

/** Milliseconds from one request to the next. */
export const PERIOD = 1000;
/** The web UI responds within a second, with or without Redis. The rest is for the network. */
export const TIMEOUT = 3000;
/**
 * Shortest time from a response to the next request. After a slow response, two readings could otherwise be taken at
 * nearly the same moment, and a report of 4 hashes between them would look like hundreds per second.
 */
export const SHORTEST_PAUSE = 900;

/** Why there is no reading; `kind` is "redis", "webui" or "answer". */
export class Trouble extends Error {
  constructor(kind, reason) {
    super(reason);
    this.kind = kind;
  }
}

/** The response of /json as {time, hashes, coins}: seconds since 1970 and two numbers. Throws Trouble. */
export function parse(status, text) {
  let answer;
  try {
    answer = JSON.parse(text);
  } catch {
    answer = null;
  }
  if (status === 503 && typeof answer?.error === "string") throw new Trouble("redis", answer.error);
  // Any other 503, or a page in HTML, comes from a proxy.
  if (status !== 200) throw new Trouble("webui", `its response has status ${status}`);
  if (answer === null) throw new Trouble("webui", "its response is not JSON");
  const { coins, hashes, now } = answer;
  if (hashes !== null && !/^-?\d{1,19}$/.test(hashes)) {
    throw new Trouble("answer", `the counter is ${JSON.stringify(hashes)}`);
  }
  if (!Number.isInteger(coins) || !Number.isFinite(now)) throw new Trouble("answer", `it is ${text.slice(0, 100)}`);
  return { time: now, hashes: Number(hashes ?? 0), coins };
}

/** One reading. Throws Trouble. */
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
  return parse(response.status, text);
}

/** The readings of the last minutes, oldest first. None from a web UI that keeps no history, such as the original. */
export async function history(url) {
  try {
    const response = await fetch(url, { cache: "no-store", signal: AbortSignal.timeout(TIMEOUT) });
    const { readings } = JSON.parse(await response.text());
    return readings.flatMap(([now, hashes]) => {
      try {
        return [parse(response.status, JSON.stringify({ coins: 0, hashes, now }))];
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
