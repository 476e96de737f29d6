// The fitted network itself, from inputs in their own units to a mixture in standard units of y.
"use strict";

const SELU = [1.0507009873554805, 1.6732632423543772]; // scale and alpha, Klambauer et al. (2017)
const logistic = (x) => 1 / (1 + Math.exp(-x));
const softplus = (x) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
const ACTIVATIONS = {
  elu: (x) => (x > 0 ? x : Math.expm1(x)),
  exponential: Math.exp,
  gelu: (x) => 0.5 * x * erfc(-x / Math.SQRT2),
  linear: (x) => x,
  mish: (x) => x * Math.tanh(softplus(x)),
  relu: (x) => Math.max(x, 0),
  selu: (x) => SELU[0] * (x > 0 ? x : SELU[1] * Math.expm1(x)),
  sigmoid: logistic,
  silu: (x) => x * logistic(x),
  softplus,
  softsign: (x) => x / (1 + Math.abs(x)),
  swish: (x) => x * logistic(x),
  tanh: Math.tanh,
};

// Numbers that were written as the bytes of little-endian float32.
function floats(text) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const view = new DataView(bytes.buffer);
  return Float64Array.from({ length: bytes.length / 4 }, (_, i) => view.getFloat32(4 * i, true));
}

// Standard units; beyond `farthest` of them values grow as a logarithm does. Then float32, as the
// network was trained.
function standardise(network, row) {
  return row.map((x, f) => {
    if (network.scale[f] === 0) return 0;
    const value = (x - network.loc[f]) / network.scale[f];
    const size = Math.abs(value);
    const beyond = Math.log1p(size - network.farthest) + network.farthest;
    return Math.fround(size > network.farthest ? Math.sign(value) * beyond : value);
  });
}

function encode(network, inputs) {
  const places = network.places.map(([feature, start, width, lowest, highest]) =>
    Math.min(Math.max((inputs[feature] - start) / width, lowest), highest),
  );
  return [...inputs, ...places];
}

// Outputs of member number `member`: one dense layer after another.
function dense(network, member, inputs) {
  let values = inputs;
  network.layers.forEach(({ kernel, bias, units }, depth) => {
    const outputs = bias.slice(member * units, (member + 1) * units);
    const start = member * values.length * units;
    for (let i = 0; i < values.length; i++) {
      const row = start + i * units;
      for (let j = 0; j < units; j++) outputs[j] += values[i] * kernel[row + j];
    }
    const isLast = depth === network.layers.length - 1;
    values = isLast ? outputs : outputs.map(ACTIVATIONS[network.activation]);
  });
  return values;
}

// The mixture of every dimension of the target at a row of inputs; all share their weights.
function mixtures(network, row) {
  const inputs = encode(network, standardise(network, row));
  const { members, components: K, dimensions: D, scales } = network;
  const size = D + scales.flat().length;
  const result = Array.from({ length: D }, () => ({ w: [], m: [], s: [] }));
  for (let member = 0; member < members; member++) {
    const outputs = dense(network, member, inputs);
    const logits = outputs.slice(0, K);
    const top = Math.max(...logits);
    const shares = logits.map((logit) => Math.exp(logit - top));
    const total = shares.reduce((sum, share) => sum + share, 0);
    for (let k = 0; k < K; k++) {
      for (let d = 0; d < D; d++) {
        const place = K + size * k;
        const row = scales[d].map((i) => outputs[place + D + i]);
        const diagonal = Math.max(softplus(row.pop()), network.minScale);
        result[d].w.push(shares[k] / total / members);
        result[d].m.push(outputs[place + d]);
        result[d].s.push(Math.hypot(diagonal, ...row));
      }
    }
  }
  return result;
}

// Mixtures at the place of one input in its grid, the other inputs at their medians.
function sliceMixtures({ inputs, components: K, dimensions: D }, feature, place) {
  const { w, m, s } = inputs[feature];
  const each = Array.from({ length: K }, (_, k) => K * place + k);
  return Array.from({ length: D }, (_, d) => ({
    w: each.map((i) => w[i]),
    m: each.map((i) => m[D * i + d]),
    s: each.map((i) => s[D * i + d]),
  }));
}

function readSlices(written) {
  const inputs = written.inputs.map(({ grid, weights, means, stddevs }) => ({
    ...{ grid, w: floats(weights), m: floats(means), s: floats(stddevs) },
  }));
  return { ...written, inputs };
}

function readNetwork(written) {
  const layers = written.layers.map((layer) => ({
    units: layer.units,
    kernel: floats(layer.kernel),
    bias: floats(layer.bias),
  }));
  return { ...written, layers };
}

// The largest differences between the network of this page and what the library computed: of
// parameters, in standard units of y, and of probabilities.
function selfCheck(network, target, references) {
  let parameters = 0;
  let probabilities = 0;
  let numbers = 0;
  for (const reference of references) {
    mixtures(network, reference.row).forEach((p, d) => {
      const unit = (y) => (y - target[d].loc) / target[d].scale;
      const compare = (mine, theirs) => {
        parameters = Math.max(parameters, ...mine.map((value, k) => Math.abs(value - theirs[k])));
        numbers += mine.length;
      };
      const chance = (mine, theirs) => {
        probabilities = Math.max(probabilities, Math.abs(mine - theirs));
        numbers += 1;
      };
      const { weights, means, stddevs, quantiles, region: intervals } = reference.targets[d];
      compare(p.w, weights);
      compare(p.m, means.map(unit));
      compare(p.s, stddevs.map((s) => s / target[d].scale));
      quantiles.forEach(([level, y]) => chance(cdf(p, unit(y)), level));
      const [coverage, ...ends] = intervals;
      chance(mass(p, ends.map((pair) => pair.map(unit))), coverage);
    });
  }
  return { parameters, probabilities, numbers };
}
