// Draws the series with dygraphs. Pointer and keyboard select a moment, whose values are shown.

import { WINDOW, axis, closest, readingAt } from "./series.js";
import { rowText } from "./words.js";

/**
 * The speed of a reading holds for the time since the previous reading: a step, filled down to zero. Its upper edge is
 * drawn, its sides are not: on a phone they would fill the gaps that zeroes make.
 */
function drawSteps({ drawingContext: context, points, plotArea, color }) {
  const bottom = plotArea.y + plotArea.h;
  const area = new Path2D();
  const edge = new Path2D();
  for (let i = 1; i < points.length; i += 1) {
    const { canvasx: right, canvasy: top } = points[i];
    if (!Number.isFinite(top)) continue;
    const left = points[i - 1].canvasx;
    area.rect(left, top, right - left, bottom - top);
    edge.moveTo(left, top);
    edge.lineTo(right, top);
  }
  context.fillStyle = color;
  context.globalAlpha = 0.45;
  context.fill(area);
  context.globalAlpha = 1;
  context.strokeStyle = color;
  context.lineWidth = 2;
  context.stroke(edge);
}

/** A line with a rim in the background colour, so that it stands out from the area. */
function lineDrawer(ground) {
  return ({ drawingContext: context, points, color }) => {
    const line = new Path2D();
    let drawn = false;
    for (const point of points) {
      const known = Number.isFinite(point.canvasy);
      if (known && drawn) line.lineTo(point.canvasx, point.canvasy);
      else if (known) line.moveTo(point.canvasx, point.canvasy);
      drawn = known;
    }
    context.lineJoin = "round";
    for (const [style, width] of [[ground, 6], [color, 3]]) {
      context.strokeStyle = style;
      context.lineWidth = width;
      context.stroke(line);
    }
  };
}

/** dygraphs' labels of the time, but none that would stand below the vertical axis's numbers. */
function timeTicker(labelWidth) {
  return (from, to, pixels, ...more) => {
    const half = ((to - from) / pixels) * (labelWidth / 2);
    return globalThis.Dygraph.dateTicker(from, to, pixels, ...more).filter(({ v }) => v >= from + half);
  };
}

export class Graph {
  #element;
  #onSelect;
  #dygraph = null;
  #styleText = "";
  #rows = [];
  #now = 0;
  /** The pointer's position in pixels, or null. */
  #pointer = null;
  /** The moment chosen by keyboard, or null. */
  #chosen = null;

  /** Calls `onSelect` with the row that pointer or keyboard selects, or null. */
  constructor(element, onSelect) {
    this.#element = element;
    this.#onSelect = onSelect;
    element.addEventListener("pointermove", (event) => { this.#point(event); });
    element.addEventListener("pointerdown", (event) => { this.#point(event); });
    element.addEventListener("pointerleave", () => { this.#forget(); });
    element.addEventListener("blur", () => { this.#forget(); });
    element.addEventListener("keydown", (event) => { this.#press(event); });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { this.#draw(); });
    addEventListener("resize", () => { this.#draw(); });
  }

  /** Draws the rows as of `now`, seconds since 1970. */
  show(rows, now) {
    this.#rows = rows;
    this.#now = now;
    this.#draw();
  }

  #draw() {
    if (this.#rows.length === 0) return;
    const file = this.#rows.map(({ time, speed, average }) => [new Date(time * 1000), speed, average]);
    const { top, ticks, room } = this.#scale();
    const changing = {
      dateWindow: [(this.#now - WINDOW) * 1000, this.#now * 1000],
      valueRange: [0, room],
      axes: { y: { ticker: () => ticks } },
    };
    const style = this.#style(top);
    const styleText = JSON.stringify(style);
    if (this.#dygraph && styleText === this.#styleText) {
      this.#dygraph.updateOptions({ file, ...changing });
    } else {
      // dygraphs leaves traces of the old axes when the labels' size changes.
      this.#dygraph?.destroy();
      this.#dygraph = new globalThis.Dygraph(this.#element, file, this.#options(changing, style));
      this.#styleText = styleText;
    }
    this.#select();
  }

  /** The vertical axis for the rows. */
  #scale() {
    let max = 0;
    for (const { speed, average } of this.#rows) max = Math.max(max, speed, average);
    const { top, step } = axis(max);
    const ticks = [];
    for (let v = 0; v <= top; v += step) ticks.push({ v, label: String(v) });
    // A label at the very top would not be drawn.
    return { top, ticks, room: top + step / 20 };
  }

  /** Colours and sizes from the style sheets. */
  #style(top) {
    const style = getComputedStyle(this.#element);
    const colour = (name) => style.getPropertyValue(name).trim();
    return {
      speed: colour("--speed-colour"),
      average: colour("--average-colour"),
      rule: colour("--rule"),
      ground: colour("--card"),
      x: this.#label("x", "00:00:00"),
      y: this.#label("y", String(Math.max(top, 10))),
    };
  }

  /** The size of an axis's labels, as options of dygraphs. */
  #label(which, text) {
    const probe = document.createElement("span");
    probe.className = `dygraph-axis-label dygraph-axis-label-${which} probe`;
    probe.textContent = text;
    this.#element.append(probe);
    const sizes = {
      axisLabelFontSize: parseFloat(getComputedStyle(probe).fontSize),
      axisLabelWidth: Math.ceil(probe.getBoundingClientRect().width) + 4,
    };
    probe.remove();
    return sizes;
  }

  #options(changing, style) {
    return {
      ...changing,
      labels: ["time", "speed", "average"],
      colors: [style.speed, style.average],
      series: { speed: { plotter: drawSteps }, average: { plotter: lineDrawer(style.ground) } },
      axes: {
        x: { drawGrid: false, ticker: timeTicker(style.x.axisLabelWidth), pixelsPerLabel: style.x.axisLabelWidth * 1.6, ...style.x },
        y: { ...changing.axes.y, ...style.y },
      },
      xAxisHeight: style.x.axisLabelFontSize + 12,
      axisLineColor: style.rule,
      axisLineWidth: 1,
      gridLineColor: style.rule,
      gridLineWidth: 1,
      highlightCircleSize: 5,
      rightGap: 0,
      legend: "never",
      // An accidental drag would zoom, and stop the graph.
      interactionModel: {},
    };
  }

  #point(event) {
    this.#pointer = event.clientX - this.#element.getBoundingClientRect().left;
    this.#chosen = null;
    this.#select();
  }

  #forget() {
    this.#pointer = null;
    this.#chosen = null;
    this.#select();
  }

  #press(event) {
    if (this.#rows.length === 0 || event.ctrlKey || event.altKey || event.metaKey) return;
    const shown = this.#rows.filter((row) => row.time >= this.#now - WINDOW);
    const last = shown.length - 1;
    const at = this.#chosen === null ? last : closest(shown, this.#chosen);
    const places = {
      ArrowLeft: at - 1, ArrowDown: at - 1, ArrowRight: at + 1, ArrowUp: at + 1,
      PageDown: at - 10, PageUp: at + 10, Home: 0, End: last,
    };
    if (event.key === "Escape") {
      this.#forget();
    } else if (event.key in places) {
      this.#chosen = shown[Math.min(Math.max(places[event.key], 0), last)]?.time ?? null;
      this.#pointer = null;
      this.#select();
      event.preventDefault();
    }
  }

  /** Shows the row that pointer or keyboard selects. */
  #select() {
    if (!this.#dygraph) return;
    let time = this.#chosen;
    if (time === null && this.#pointer !== null) time = this.#dygraph.toDataXCoord(this.#pointer) / 1000;
    const at = time === null ? null : readingAt(this.#rows, time, this.#now - WINDOW);
    // The same index is another row now.
    this.#dygraph.clearSelection();
    if (at !== null) this.#dygraph.setSelection(at);

    const row = at === null ? null : this.#rows[at];
    this.#element.setAttribute("aria-valuenow", row ? Math.round(row.time - this.#now) : 0);
    this.#element.setAttribute("aria-valuetext", row ? rowText(row) : "now");
    this.#onSelect(row);
  }
}
