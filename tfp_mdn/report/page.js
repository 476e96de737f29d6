// Tables and pictures of the explorer, and what happens when an input changes.
"use strict";

// All in units of the target, but for the mixture itself.
function answers() {
  const p = mixtureAt(state.row);
  const { loc, scale } = data.targets[state.target];
  const own = (y) => loc + scale * y;
  return {
    p,
    own,
    standard: (y) => (y - loc) / scale,
    scale,
    mean: own(mean(p)),
    stddev: scale * stddev(p),
    quantiles: data.levels.map((level) => [level, own(quantile(p, level))]),
    intervals: region(p, data.coverage).map((pair) => pair.map(own)),
    modes: modes(p).map((y) => ({ x: own(y), y: density(p, y) / scale })),
  };
}

function showNumbers(a) {
  const step = stepFor(a.intervals.reduce((sum, [low, high]) => sum + high - low, 0));
  const show = (value) => format(value, step);
  const interval = ([low, high]) => `${show(low)} to ${show(high)}`;
  const numbers = [
    ["mean", "Mean", show(a.mean)],
    ["stddev", "Standard deviation", show(a.stddev)],
    ...a.quantiles.map(([level, y]) => [
      `quantile-${level}`,
      level === 0.5 ? "Median" : `${percent(level)} quantile`,
      show(y),
    ]),
    ["region", `Smallest ${percent(data.coverage)} region`, joined(a.intervals.map(interval))],
    ["modes", "Modes, the highest first", a.modes.map(({ x }) => show(x)).join(", ")],
  ];
  byId("numbers").replaceChildren(
    ...numbers.map(([name, label, text]) => {
      const line = element("tr");
      line.append(element("th", { scope: "row" }, label), element("td", { id: name }, text));
      return line;
    }),
  );
  const { p, own, scale } = a;
  const order = p.w.map((_, k) => k).sort((i, j) => p.w[j] - p.w[i]);
  const heavy = order.filter((k) => p.w[k] >= LEAST_WEIGHT);
  const lost = order.filter((k) => p.w[k] < LEAST_WEIGHT).reduce((sum, k) => sum + p.w[k], 0);
  byId("components-caption").textContent =
    heavy.length === order.length
      ? `Components at these inputs: ${order.length}`
      : `Components at these inputs: ${heavy.length} of ${order.length}; ` +
        `those left out weigh less than ${LEAST_WEIGHT} each, ${lost.toFixed(4)} together`;
  byId("components").replaceChildren(
    ...heavy.map((k) => {
      const line = element("tr");
      const width = scale * p.s[k];
      const texts = [p.w[k].toFixed(4), show(own(p.m[k])), format(width, stepFor(width))];
      line.append(element("th", { scope: "row" }, String(k)));
      line.append(...texts.map((text) => element("td", {}, text)));
      return line;
    }),
  );
  return inWords(joined(a.intervals.map(interval)).replaceAll(" and ", " or "), show(a.mean));
}

function inWords(intervals, centre) {
  const feature = features[state.chosen];
  const value = state.row[state.chosen];
  const outside = value < feature.low - feature.step || value > feature.high + feature.step;
  const shown = rows[state.chosen].slider.getAttribute("aria-valuetext");
  return (
    `At ${feature.name} ${shown}${outside ? ", which is outside the data" : ""}` +
    `${features.length > 1 ? ", and the other inputs as they are set" : ""}: ` +
    `${percent(data.coverage)} of all values of ${data.targets[state.target].name} ` +
    `lie within ${intervals}; the mean is ${centre}.`
  );
}

function targetEnds() {
  const { low, high } = data.targets[state.target];
  const margin = 0.05 * (high - low);
  return [low - margin, high + margin];
}

function showSlice(a) {
  const ends = targetEnds();
  const core = [quantile(a.p, 0.005), quantile(a.p, 0.995)].map(a.own);
  const pad = 0.25 * (core[1] - core[0]);
  const range = state.zoom
    ? [core[0] - pad, core[1] + pad]
    : [Math.min(ends[0], core[0]), Math.max(ends[1], core[1])];
  const [low, high] = range.map(a.standard);
  const inner = a.intervals.flat().map(a.standard);
  const places = finePlaces(a.p, low, high, 4).concat(between(low, high, 200), inner);
  places.sort((x, y) => x - y);
  const curve = places.map((y) => density(a.p, y) / a.scale);
  const parts = { x: [], y: [] };
  a.p.w.forEach((weight, k) => {
    if (weight < LEAST_WEIGHT) return;
    between(a.p.m[k] - 4 * a.p.s[k], a.p.m[k] + 4 * a.p.s[k], 41).forEach((y) => {
      parts.x.push(a.own(y));
      parts.y.push(part(a.p, k, y) / a.scale);
    });
    parts.x.push(null);
    parts.y.push(null);
  });
  drawSlice({
    target: data.targets[state.target],
    places: places.map(a.own),
    curve,
    parts,
    quantiles: a.quantiles,
    intervals: a.intervals,
    peaks: { x: a.modes.map(({ x }) => x), y: a.modes.map(({ y }) => y) },
    range,
  });
}

function showMap(a) {
  const feature = features[state.chosen];
  const target = data.targets[state.target];
  const ends = targetEnds();
  const at = state.row[state.chosen];
  const drawn = state.map && window.Plotly && byId("map").layout?.xaxis.range;
  if (drawn && at >= drawn[0] && at <= drawn[1]) {
    Plotly.relayout("map", { shapes: mapMarks(at, a.intervals) });
    return;
  }
  if (!state.map) {
    const places = slices
      ? slices.inputs[state.chosen].grid
      : between(feature.low, feature.high, MAP_COLUMNS);
    const ys = between(...ends.map(a.standard), MAP_ROWS);
    const densities = places.map((x) => {
      const row = state.row.with(state.chosen, x);
      const p = mixtureAt(row);
      return ys.map((y) => density(p, y) / a.scale);
    });
    state.map = { places, densities };
  }
  const points = { x: data.points.x[state.chosen], y: data.points.y[state.target] };
  byId("map-caption").textContent =
    `Colour: density of ${target.name}, strongest where it is highest. Dots: rows of the data` +
    (features.length > 1 ? ", whatever their other inputs." : ".");
  drawMap({ feature, target, ...state.map, points, intervals: a.intervals, at, ends });
}

let waiting = false;
let speaking = 0;

// What the reader sees follows at once; what is read aloud waits until the input rests.
function changed() {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => {
    waiting = false;
    show();
  });
}

function show() {
  const a = answers();
  const words = showNumbers(a);
  showSlice(a);
  showMap(a);
  clearTimeout(speaking);
  speaking = setTimeout(() => (byId("summary").textContent = words), 300);
}

function drawAll() {
  const calibration = data.calibration[state.target];
  state.map = null;
  if (data.history) drawHistory(data.history);
  drawPit(calibration.pit);
  drawCoverage(calibration.coverage);
  show();
}

const isDark = () => document.documentElement.dataset.theme === "dark";

function showTheme() {
  byId("theme").setAttribute("aria-pressed", String(isDark()));
  drawAll();
}

function setTheme(dark) {
  document.documentElement.dataset.theme = dark ? "dark" : "light";
  showTheme();
}

function problem(text) {
  byId("problem").hidden = false;
  byId("problem").textContent = text;
}

function showCheck() {
  if (slices) {
    byId("how").textContent =
      "Move an input, type a value, or click into the picture with the dots. The other inputs stay at " +
      `their medians. All numbers are the model’s own, at ${SLIDER_STEPS + 1} values of each input.`;
    return;
  }
  const { parameters, probabilities, numbers } = selfCheck(network, data.targets, data.references);
  const good = parameters < 1e-4 && probabilities < 1e-3;
  byId("check").dataset.good = String(good);
  byId("check").textContent =
    `Self-check: ${numbers} numbers computed in this page differ from those of the library by ` +
    `${parameters.toExponential(0)} standard deviations of the target at most, and by ` +
    `${probabilities.toExponential(0)} in a probability.`;
  if (!good) problem("The explorer disagrees with the library: do not rely on its numbers.");
}

// Plotly is in the page as compressed text.
async function loadPlotly() {
  const packed = Uint8Array.from(atob(byId("plotly-code").textContent), (c) => c.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  document.head.append(element("script", {}, await new Response(stream).text()));
  byId("plotly-code").remove();
}

function start() {
  features.forEach((f, i) => byId("chosen").append(element("option", { value: i }, f.name)));
  data.targets.forEach((t, i) => byId("target").append(element("option", { value: i }, t.name)));
  byId("target-label").hidden = data.targets.length < 2;
  byId("history-figure").hidden = !data.history;
  byId("chosen").addEventListener("change", () => {
    [state.chosen, state.map] = [Number(byId("chosen").value), null];
    if (slices) toMedians();
    arrangeInputs();
    changed();
  });
  byId("target").addEventListener("change", () => {
    [state.target, state.map] = [Number(byId("target").value), null];
    drawAll();
  });
  byId("reset").addEventListener("click", () => {
    toMedians();
    state.map = null;
    arrangeInputs();
    changed();
  });
  byId("zoom").addEventListener("change", () => {
    state.zoom = byId("zoom").checked;
    changed();
  });
  const dark = matchMedia("(prefers-color-scheme: dark)");
  dark.addEventListener("change", () => setTheme(dark.matches));
  byId("theme").addEventListener("click", () => setTheme(!isDark()));
  toMedians();
  arrangeInputs();
  const { intervals } = answers();
  const [low, high] = targetEnds();
  // In a range many times as wide, the density would be a spike.
  const width = intervals[intervals.length - 1][1] - intervals[0][0];
  state.zoom = byId("zoom").checked = width < (high - low) / 12;
  showCheck();
  loadPlotly()
    .then(() => {
      showTheme();
      byId("map").on("plotly_click", ({ points }) =>
        set(state.chosen, possible(state.chosen, points[0].x)),
      );
      document.documentElement.dataset.ready = "true";
    })
    .catch((error) => {
      showTheme();
      problem(`The pictures cannot be drawn (${error.message}). Use a browser of 2023 or later.`);
    });
}

start();
