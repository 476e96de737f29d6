// The state of the explorer and the controls of its inputs.
"use strict";

const byId = (id) => document.getElementById(id);
const data = JSON.parse(byId("report-data").textContent);
const network = data.network && readNetwork(data.network);
const slices = data.slices && readSlices(data.slices); // of a model that a page cannot compute
const SLIDER_STEPS = slices ? slices.inputs[0].grid.length - 1 : 200;
const LEAST_WEIGHT = 0.001;

// Values that are set by hand are rounded to what is shown, so that what is shown is what is used.
const features = data.features.map((feature) => ({
  ...feature,
  step: stepFor(feature.high - feature.low),
}));
const rounded = (f, value) => Number(format(value, features[f].step));
const state = { row: [], chosen: 0, target: 0, zoom: false, map: null };

// A value that the explorer can take, near the one that is wanted.
function possible(f, value) {
  if (!slices) return rounded(f, value);
  const nearer = (a, b) => (Math.abs(b - value) < Math.abs(a - value) ? b : a);
  return slices.inputs[f].grid.reduce(nearer);
}

function toMedians() {
  state.row = features.map(({ median }, f) =>
    slices && f !== state.chosen ? median : possible(f, median),
  );
}

function mixtureAt(row) {
  if (network) return mixtures(network, row)[state.target];
  const place = slices.inputs[state.chosen].grid.indexOf(row[state.chosen]);
  return sliceMixtures(slices, state.chosen, place)[state.target];
}

function element(tag, attributes = {}, text = "") {
  const made = Object.assign(document.createElement(tag), attributes);
  made.textContent = text;
  return made;
}

const percent = (level) => `${Math.round(100 * level)} %`;
const joined = (texts) => texts.join(texts.length > 1 ? " and " : "");

const rows = features.map((feature, f) => {
  const label = element("label", { htmlFor: `value-${f}` }, feature.name);
  const slider = element("input", { type: "range", min: 0, max: SLIDER_STEPS, id: `slider-${f}` });
  slider.setAttribute("aria-label", feature.name);
  const field = element("input", { type: "text", inputMode: "decimal", id: `value-${f}` });
  field.autocomplete = "off";
  slider.addEventListener("input", () => {
    const share = slider.value / SLIDER_STEPS;
    set(f, possible(f, feature.low + share * (feature.high - feature.low)));
  });
  field.addEventListener("input", () => {
    const value = field.value.trim() === "" ? NaN : Number(field.value.trim().replace(",", "."));
    field.setAttribute("aria-invalid", String(!Number.isFinite(value)));
    if (Number.isFinite(value)) set(f, slices ? possible(f, value) : value, field);
  });
  const box = element("div", { className: "input" });
  box.append(label, slider, field);
  return { box, slider, field };
});

function set(f, value, typedInto = null) {
  state.row[f] = value;
  if (f !== state.chosen) state.map = null;
  showInput(f, typedInto);
  changed();
}

function showInput(f, typedInto = null) {
  const { low, high, step } = features[f];
  const { slider, field } = rows[f];
  const share = (state.row[f] - low) / (high - low);
  slider.value = Math.round(SLIDER_STEPS * Math.min(Math.max(share, 0), 1));
  const short = format(state.row[f], step);
  const text = Number(short) === state.row[f] ? short : String(state.row[f]);
  slider.setAttribute("aria-valuetext", text);
  if (field !== typedInto) {
    field.value = text;
    field.setAttribute("aria-invalid", "false");
  }
}

function arrangeInputs() {
  const others = features.map((_, f) => f).filter((f) => f !== state.chosen);
  byId("chosen-row").replaceChildren(rows[state.chosen].box);
  byId("other-rows").replaceChildren(...others.map((f) => rows[f].box));
  // Slices go through the medians of the other inputs.
  rows.forEach(({ slider, field }, f) => {
    slider.disabled = field.disabled = slices !== null && f !== state.chosen;
  });
  byId("others").hidden = byId("chosen-label").hidden = !others.length;
  features.forEach((_, f) => showInput(f));
}
