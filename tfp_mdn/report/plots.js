// The pictures, drawn by Plotly in the colours of the page.
"use strict";

const MAP_COLUMNS = 121;
const MAP_ROWS = 160;
const GAMMA = 0.4; // of the colours: a branch with a fiftieth of the top density gets a fifth of them

const colour = (name) =>
  getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

// Plotly reads text as markup of its own; names are shown as they are, and no longer than fits.
const plain = (text) =>
  (text.length > 48 ? `${text.slice(0, 47)}…` : text).replace(/&/g, "&amp;").replace(/</g, "&lt;");

const between = (low, high, count) =>
  Array.from({ length: count }, (_, i) => low + ((high - low) * i) / (count - 1));

// Digits after the point that show `step`, as an exponent where there would be too many of them.
function format(value, step) {
  const power = Math.floor(Math.log10(step) + 1e-9);
  if (value === 0) return "0";
  const size = Math.floor(Math.log10(Math.abs(value)));
  if (power < -8 || size > 9) return value.toExponential(Math.min(Math.max(size - power, 0), 16));
  return value.toFixed(Math.max(-power, 0)).replace(/^-(0\.?0*)$/, "$1");
}

// A power of ten that shows a number of this size in three to four digits.
const stepFor = (size) => 10 ** (Math.floor(Math.log10(size)) - 3);

function draw(id, description, traces, layout) {
  const place = document.getElementById(id);
  place.setAttribute("aria-label", description);
  if (!window.Plotly) return;
  const axis = { gridcolor: colour("line"), zeroline: false, fixedrange: true, automargin: true };
  Plotly.react(
    place,
    traces,
    {
      paper_bgcolor: colour("paper"),
      plot_bgcolor: colour("paper"),
      font: { color: colour("text"), size: 13, family: "system-ui, sans-serif" },
      margin: { l: 55, r: 12, t: 12, b: 48 },
      legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0, font: { size: 12 } },
      dragmode: false,
      ...layout,
      xaxis: { ...axis, ...layout.xaxis },
      yaxis: { ...axis, ...layout.yaxis },
    },
    { displayModeBar: false, responsive: true },
  );
}

const line = (x, y, name, name_of_colour, more = {}) => ({
  ...{ x, y, name, mode: "lines" },
  line: { color: colour(name_of_colour), width: 2, ...more.line },
  ...more.trace,
});

function drawHistory({ step, loss, val_loss: held_out }) {
  const best = Math.min(...held_out);
  const place = step[held_out.indexOf(best)];
  draw(
    "history",
    `Learning curve: on the rows held out, the loss falls to ${best.toPrecision(4)} at step ${place}.`,
    [
      line(step, loss, "training rows", "blue"),
      line(step, held_out, "rows held out", "orange", { line: { dash: "dash" } }),
    ],
    { xaxis: { title: { text: "training step" } }, yaxis: { title: { text: "nats per row" } } },
  );
}

function drawPit({ centres, heights, band }) {
  const [low, high] = [Math.min(...heights), Math.max(...heights)].map((h) => h.toFixed(2));
  const limit = (y) => ({
    ...{ type: "line", xref: "paper", x0: 0, x1: 1, y0: y, y1: y },
    line: { color: colour("text"), dash: "dash", width: 1.5 },
  });
  draw(
    "pit",
    `Histogram of PIT values in ${heights.length} bars of relative frequency ${low} to ${high}; ` +
      `chance alone explains ${band[0].toFixed(2)} to ${band[1].toFixed(2)}.`,
    [{ type: "bar", x: centres, y: heights, marker: { color: colour("blue") }, hoverinfo: "y" }],
    {
      shapes: band.map(limit),
      bargap: 0.05,
      xaxis: { title: { text: "PIT value" }, range: [0, 1] },
      yaxis: { title: { text: "relative frequency" }, rangemode: "tozero" },
    },
  );
}

function drawCoverage({ levels, observed, lower, upper, region_levels, region_observed }) {
  const worst = Math.max(...levels.map((level, i) => Math.abs(level - observed[i])));
  const hidden = { showlegend: false, hoverinfo: "skip" };
  draw(
    "coverage",
    `Coverage of central intervals at ${levels.length} levels; ` +
      `the largest error is ${(100 * worst).toFixed(1)} percentage points.`,
    [
      line(levels, lower, "", "line", { line: { width: 0 }, trace: hidden }),
      line(levels, upper, "chance", "line", {
        ...{ line: { width: 0 } },
        trace: { fill: "tonexty", fillcolor: colour("band"), hoverinfo: "skip" },
      }),
      line([0, 1], [0, 1], "", "muted", { line: { dash: "dash", width: 1 }, trace: hidden }),
      line(levels, observed, "central intervals", "blue"),
      {
        ...{ x: region_levels, y: region_observed, name: "densest regions", mode: "markers", cliponaxis: false },
        marker: { color: colour("orange"), size: 9, symbol: "diamond" },
      },
    ],
    {
      xaxis: { title: { text: "share that they should hold" }, range: [0, 1] },
      yaxis: { title: { text: "share that they hold" }, range: [0, 1] },
    },
  );
}

// The density over the chosen input, at equal steps of it; the other inputs as they are set.
function drawMap({ feature, target, places, densities, points, intervals, at, ends }) {
  const peaks = densities.map((column) => Math.max(...column)).sort((a, b) => a - b);
  const top = peaks[Math.floor(0.9 * (peaks.length - 1))] || 1;
  const turned = between(...ends, MAP_ROWS).map((_, j) => densities.map((column) => column[j]));
  const scale = [0, 1, 2, 3, 4].map((i) => [i / 4, colour(`map${i}`)]);
  draw(
    "map",
    `Density of ${target.name} over ${feature.name}, with ${points.x.length} rows of the data.`,
    [
      {
        ...{ type: "heatmap", x: places, y: between(...ends, MAP_ROWS), colorscale: scale },
        z: turned.map((row) => row.map((p) => Math.min(p / top, 1) ** GAMMA)),
        customdata: turned,
        ...{ zmin: 0, zmax: 1, showscale: false },
        hovertemplate: "%{x:.4~g}, %{y:.4~g}<br>density %{customdata:.3~g}<extra></extra>",
      },
      {
        ...{ x: points.x, y: points.y, name: "data", mode: "markers", hoverinfo: "skip" },
        marker: {
          color: colour("green"),
          size: points.x.length > 500 ? 4 : 5,
          opacity: points.x.length > 500 ? 0.45 : 0.7,
        },
      },
      {
        // Only for the legend: shapes, which move faster, show it.
        ...{ x: [null], y: [null], name: "90 % region here", mode: "lines" },
        line: { color: colour("orange"), width: 7 },
      },
    ],
    {
      shapes: mapMarks(at, intervals),
      xaxis: { title: { text: plain(feature.name) }, range: widened(places, at), showgrid: false },
      yaxis: { title: { text: plain(target.name) }, range: ends, showgrid: false },
    },
  );
}

// The chosen value and the region there.
function mapMarks(at, intervals) {
  const mark = (rest, width) => ({
    ...{ type: "line", x0: at, x1: at, ...rest },
    line: { color: colour("orange"), width },
  });
  const pieces = intervals.map(([y0, y1]) => mark({ y0, y1 }, 7));
  return [mark({ yref: "paper", y0: 0, y1: 1 }, 1.5), ...pieces];
}

const widened = (places, at) => [Math.min(places[0], at), Math.max(places[places.length - 1], at)];

const componentsName = (factor) => (factor > 1 ? `components × ${factor}` : "components");

function drawSlice({ target, places, curve, parts, quantiles, intervals, peaks, range }) {
  const inside = (y) => intervals.some(([low, high]) => y >= low && y <= high);
  const mark = ([level, y]) => ({
    ...{ type: "line", yref: "paper", x0: y, x1: y, y0: 0, y1: 1 },
    line: { color: colour("green"), width: 1.5, dash: level === 0.5 ? "solid" : "dot" },
  });
  const label = ([level, y], i) => ({
    ...{ x: y, y: 1 - 0.07 * i, yref: "paper", yanchor: "top", xanchor: "left", showarrow: false },
    ...{ text: `${100 * level} %`, font: { color: colour("green"), size: 12 } },
  });
  // Many components are each too flat to be seen.
  const highest = parts.y.reduce((top, y) => Math.max(top, y), 0);
  const factor = Math.max(1, Math.floor((0.4 * Math.max(...curve)) / highest));
  const seen = ([, y]) => y >= range[0] && y <= range[1];
  draw(
    "slice",
    `Density of ${target.name} at these inputs; the numbers are in the table below.`,
    [
      line(places, curve.map((p, i) => (inside(places[i]) ? p : null)), "90 % region", "orange", {
        line: { width: 0 },
        trace: { fill: "tozeroy", fillcolor: colour("region"), hoverinfo: "skip" },
      }),
      line(parts.x, parts.y.map((y) => y && factor * y), componentsName(factor), "muted", {
        line: { width: 1 },
        trace: { hoverinfo: "skip" },
      }),
      line(places, curve, "density", "blue", {
        line: { width: 3 },
        trace: { hovertemplate: "%{x:.4~g}: %{y:.3~g}<extra></extra>" },
      }),
      {
        ...{ x: peaks.x, y: peaks.y, name: "modes", mode: "markers", hoverinfo: "skip" },
        marker: { color: colour("orange"), size: 9, symbol: "triangle-down" },
      },
    ],
    {
      shapes: quantiles.filter(seen).map(mark),
      annotations: quantiles.filter(seen).map(label),
      xaxis: { title: { text: plain(target.name) }, range },
      yaxis: { title: { text: "density" }, rangemode: "tozero" },
    },
  );
}
