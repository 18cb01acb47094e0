// The dashboard: reads the counters, computes the speeds, shows both.

import { Graph } from "./graph.js";
import { follow, history, now } from "./reader.js";
import { SETTLING, SHORTEST_STEP, Series } from "./series.js";
import * as words from "./words.js";

const byId = (id) => document.getElementById(id);

/** Sets an element's text if it differs: a live region must not speak twice. */
function say(id, text) {
  const element = byId(id);
  if (element.textContent !== text) element.textContent = text;
}

const series = new Series();
/** What was read before the page was opened, until its first reading. */
const past = await history("history");
const announcer = new words.Announcer();
const graph = globalThis.Dygraph ? new Graph(byId("graph"), showMoment) : null;

function showMoment(row) {
  say("then", row ? ` at ${words.timeOfDay(row.time)}` : "");
  say("speed-then", row ? ` ${words.instant(row.speed)}` : "");
  say("average-then", row ? ` ${words.average(row.average)}` : "");
}

function showState(state, reason = "") {
  byId("state").dataset.state = state;
  say("state", words.STATES[state]);
  say("reason", reason);
  byId("reason").title = reason;
}

function showSpeeds({ speed, average }) {
  say("speed", words.speedText(speed));
  say("average", words.average(average));
  byId("tweet").href = words.shareUrl(speed);
}

function onReading(reading) {
  // One that somebody else has made just now is too close to this one.
  for (const each of past.splice(0)) if (reading.time - each.time >= SHORTEST_STEP) series.add(each);
  const row = series.add(reading);
  showState("live");
  showSpeeds(row);
  say("hashes", words.count(reading.hashes));
  say("coins", words.count(reading.coins));
  const sentence = announcer.sentence(row.average, reading.time);
  if (sentence) say("announcement", sentence);
  graph?.show(series.rows, reading.time);
}

function onTrouble(trouble) {
  series.interrupt(trouble.kind === "redis" ? SETTLING : 0);
  showState(trouble.kind, trouble.message);
  showSpeeds({ speed: null, average: null });
  // Time passes, and the gap grows.
  graph?.show(series.rows, now());
}

if (!graph) byId("graph").textContent = "The chart library could not be loaded, so there is no graph.";
follow("json", onReading, onTrouble);
