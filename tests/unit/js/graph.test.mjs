import assert from "node:assert/strict";
import { beforeEach, describe, it } from "node:test";

import { Graph } from "../../../webui/files/graph.js";
import { FakeDygraph, openPage } from "./page.mjs";

const row = (time, speed, average = null) => ({ time, speed, average });
/** One row before the 250 s that are shown, then 30 s. */
const ROWS = [row(740, 9), ...Array.from({ length: 31 }, (_, second) => row(970 + second, 4, 3.333))];

describe("the graph", () => {
  let page, element, selected, graph;

  beforeEach(() => {
    page = openPage(FakeDygraph);
    element = page.element("graph");
    selected = undefined;
    graph = new Graph(element, (one) => { selected = one; });
    graph.show([], 1000);
    element.listeners.pointermove({ clientX: 1095 });
    element.listeners.keydown({ key: "Home" });
    assert.deepEqual([FakeDygraph.made, selected], [[], undefined], "nothing before there are readings");
    element.listeners.blur();
    graph.show(ROWS, 1000);
  });

  it("follows the style sheets, and is made anew only when they change", () => {
    const [{ file, options, updates }] = FakeDygraph.made;
    const ticks = (top) => Array.from({ length: top / 2 + 1 }, (_, i) => ({ v: 2 * i, label: String(2 * i) }));
    assert.deepEqual([file.length, file[1]], [32, [new Date(970_000), 4, 3.333]]);
    assert.deepEqual(options.axes.y.ticker(), ticks(10));
    const at = (...times) => ({ ticks: times.map((v) => ({ v })) });
    const labels = options.axes.x.ticker(750_000, 1_000_000, 1000, at(750_000, 760_500, 760_700, 1_000_000));
    assert.deepEqual(labels, at(760_700, 1_000_000).ticks, "the first has room");
    delete options.axes.x.ticker;
    delete options.axes.y.ticker;
    assert.deepEqual({ ...options, series: Object.keys(options.series) }, {
      dateWindow: [750_000, 1_000_000], valueRange: [0, 10.1], labels: ["time", "speed", "average"],
      colors: ["--speed-colour", "--average-colour"], series: ["speed", "average"],
      axes: { x: { drawGrid: false, pixelsPerLabel: 136, axisLabelFontSize: 15, axisLabelWidth: 85 },
        y: { axisLabelFontSize: 15, axisLabelWidth: 25 } },
      xAxisHeight: 27, axisLineColor: "--rule", axisLineWidth: 1, gridLineColor: "--rule", gridLineWidth: 1,
      highlightCircleSize: 5, rightGap: 0, legend: "never", interactionModel: {},
    });
    graph.show([...ROWS, row(1001, 8, 10)], 1001);
    const [{ file: longer, axes, ...changed }] = updates;
    assert.deepEqual([longer.length, axes.y.ticker()], [33, ticks(12)]);
    assert.deepEqual(changed, { dateWindow: [751_000, 1_001_000], valueRange: [0, 12.1] });
    page.listeners.resize();
    page.listeners["(prefers-color-scheme: dark)change"]();
    assert.deepEqual([updates.length, FakeDygraph.made.length], [3, 1]);
    page.fontSize = "50px";
    page.listeners.resize();
    assert.deepEqual([FakeDygraph.made[0].isDestroyed, FakeDygraph.made[1].options.xAxisHeight], [true, 62]);
    assert.deepEqual(element.children, [], "what was measured is gone");
  });

  it("has steps and a line with a rim, and gaps where nothing is known", () => {
    const drawn = [];
    const context = {
      fill({ steps }) { drawn.push(["fill", this.fillStyle, this.globalAlpha, steps]); },
      stroke({ steps }) { drawn.push([this.strokeStyle, this.globalAlpha, this.lineWidth, this.lineJoin, steps]); },
    };
    const points = [50, 60, NaN, 70, 80].map((canvasy, at) => ({ canvasx: 10 * at, canvasy }));
    const { speed, average } = FakeDygraph.made[0].options.series;
    speed.plotter({ drawingContext: context, points, plotArea: { y: 5, h: 95 }, color: "blue" });
    average.plotter({ drawingContext: context, points, color: "red" });
    const area = ["rect 0 60 10 40", "rect 20 70 10 30", "rect 30 80 10 20"];
    const edge = ["move 0 60", "line 10 60", "move 20 70", "line 30 70", "move 30 80", "line 40 80"];
    const line = ["move 0 50", "line 10 60", "move 30 70", "line 40 80"];
    assert.deepEqual(drawn, [["fill", "blue", 0.45, area], ["blue", 1, 2, undefined, edge],
      ["--card", 1, 6, "round", line], ["red", 1, 3, "round", line]]);
  });

  /** What the chart shows, what onSelect gets, and what a screen reader reads. */
  const selection = () => [FakeDygraph.made[0].selection, selected?.time ?? null, element.attributes["aria-valuenow"],
    element.attributes["aria-valuetext"].replace(/^\d\d:\d\d/, "")];
  const none = [null, null, 0, "now"];
  const at = (time, now, place) => [place, time, time - now, `:${time - 960}: 4.0 hashes per second, average 3.33`];

  it("shows the values under the pointer, also while the graph moves", () => {
    for (const type of ["pointermove", "pointerdown"]) {
      assert.deepEqual(selection(), none);
      element.listeners[type]({ clientX: 1095.2 });
      assert.deepEqual(selection(), at(995, 1000, 26));
      element.listeners.pointerleave();
    }
    element.listeners.pointermove({ clientX: 1095 });
    graph.show(ROWS.slice(3), 1003);
    assert.deepEqual(selection(), at(995, 1003, 23));
    element.listeners.pointermove({ clientX: 840 });
    assert.deepEqual(selection(), none, "no longer shown");
  });

  it("can be read by keyboard", () => {
    const press = (key, modifier) => {
      let taken = false;
      element.listeners.keydown({ key, preventDefault: () => { taken = true; }, [modifier]: true });
      return [taken, selected?.time ?? null];
    };
    for (const [key, time] of [["ArrowLeft", 999], ["ArrowDown", 998], ["ArrowUp", 999], ["ArrowRight", 1000],
      ["ArrowUp", 1000], ["PageDown", 990], ["ArrowLeft", 989], ["PageDown", 979], ["PageUp", 989], ["Home", 970],
      ["ArrowLeft", 970], ["End", 1000]]) {
      assert.deepEqual(press(key), [true, time], key);
    }
    graph.show([...ROWS, row(1001, null)], 1001);
    assert.deepEqual(selection(), at(1000, 1001, 31), "it stays while the graph moves on");
    for (const modifier of ["ctrlKey", "altKey", "metaKey"]) assert.deepEqual(press("Home", modifier), [false, 1000]);
    assert.deepEqual(press("x"), [false, 1000]);
    assert.deepEqual(press("Escape"), [false, null]);
    element.listeners.pointermove({ clientX: 1095 });
    assert.deepEqual(press("Home"), [true, 970], "pointer and keyboard take turns");
    assert.deepEqual(press("Escape"), [false, null]);
    press("Home");
    element.listeners.pointermove({ clientX: 1095 });
    assert.equal(selected.time, 995);
    element.listeners.blur();
    assert.deepEqual(selection(), none);
  });
});
