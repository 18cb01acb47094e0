// The page's texts.

/** The state of the page, by what the reader reports. */
export const STATES = {
  connecting: "connecting",
  live: "live",
  redis: "Redis is unreachable, retrying",
  webui: "the web UI does not respond, retrying",
  response: "the web UI's response is not valid, retrying",
};

/** Shown where nothing is known. */
export const UNKNOWN = "–";

const whole = new Intl.NumberFormat("en");
const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });

/** "~4.0 hashes/second" */
export function speedText(speed) {
  return speed === null ? UNKNOWN : `~${speed.toFixed(1)} hashes/second`;
}

/** "4.0" */
export function instant(speed) {
  return speed === null ? UNKNOWN : speed.toFixed(1);
}

/** "3.33"; never "-0.00" */
export function average(speed) {
  return speed === null ? UNKNOWN : Math.max(speed, 0).toFixed(2);
}

/** "12,345" */
export function count(number) {
  return whole.format(number);
}

/** "10:02:31", for seconds since 1970, in the reader's time zone */
export function timeOfDay(time) {
  return clock.format(time * 1000);
}

/** The target of "Tweet this!". */
export function shareUrl(speed) {
  const rate = speed === null ? "away" : `${speed.toFixed(1)} hashes/second`;
  const text = `My #DockerCoins mining rig is crunching ${rate}! W00T!`;
  return `https://twitter.com/intent/tweet?text=${encodeURIComponent(text)}`;
}

/** A row, for a screen reader. */
export function rowText({ time, speed, average: mean }) {
  if (speed === null) return `${timeOfDay(time)}: not known`;
  return `${timeOfDay(time)}: ${instant(speed)} hashes per second${mean === null ? "" : `, average ${average(mean)}`}`;
}

/** Decides when a screen reader announces the average: seldom, and only when it has changed. */
export class Announcer {
  #said = null;
  #time = -Infinity;

  /** The announcement now, or null. `time` in seconds. */
  sentence(mean, time) {
    if (mean === null || time - this.#time < 10) return null;
    const hardlyMoved = this.#said !== null && Math.abs(mean - this.#said) <= 0.05 * Math.max(this.#said, 1);
    if (hardlyMoved) return null;
    this.#said = mean;
    this.#time = time;
    return `Mining speed: ${average(mean)} hashes per second on average`;
  }
}
