// Mixtures of normals in one dimension: { w, m, s } are weights, means and standard deviations.
"use strict";

// Complementary error function: DLMF 7.6.2, whose terms are all positive, and 7.9.1 far out.
function erfc(x) {
  if (x < 0) return 2 - erfc(-x);
  if (x < 2) {
    let term = x;
    let sum = x;
    for (let n = 1; term > 1e-17 * sum; n++) {
      term *= (2 * x * x) / (2 * n + 1);
      sum += term;
    }
    return 1 - (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x) * sum;
  }
  let tail = x;
  for (let n = 60; n >= 1; n--) tail = x + n / 2 / tail;
  return Math.exp(-x * x) / (Math.sqrt(Math.PI) * tail);
}

// Root of a continuous function that changes its sign between a and b: Ridders (1979),
// https://doi.org/10.1109/TCS.1979.1084580. The bracket halves at every step.
function solve(f, a, b) {
  let fa = f(a);
  let fb = f(b);
  if (fa === 0) return a;
  if (fb === 0) return b;
  let last = NaN;
  for (let i = 0; i < 200; i++) {
    const mid = a + (b - a) / 2;
    const fm = f(mid);
    if (mid === a || mid === b || fm === 0) return mid;
    const share = fm / fa; // as shares of fa, squares cannot underflow
    const x = mid + ((mid - a) * share) / Math.sqrt(share * share - fb / fa);
    const fx = f(x);
    if (fx === 0 || Math.abs(x - last) < 1e-13 * (1 + Math.abs(x))) return x;
    last = x;
    if (fm < 0 !== fx < 0) [a, fa, b, fb] = [mid, fm, x, fx];
    else if (fa < 0 !== fx < 0) [b, fb] = [x, fx];
    else [a, fa] = [x, fx];
  }
  return last;
}

// Logarithms of the components' densities at their means, kept with the mixture.
function logPeaks(p) {
  p.logPeaks ??= p.w.map((w, k) => Math.log(w / p.s[k]) - 0.5 * Math.log(2 * Math.PI));
  return p.logPeaks;
}

function logTerm(p, k, y) {
  const z = (y - p.m[k]) / p.s[k];
  return logPeaks(p)[k] - 0.5 * z * z;
}

// Density of component k, its weight included.
const part = (p, k, y) => Math.exp(logTerm(p, k, y));

function density(p, y) {
  let sum = 0;
  for (let k = 0; k < p.w.length; k++) {
    const z = (y - p.m[k]) / p.s[k];
    if (z * z < 1400) sum += (p.w[k] / p.s[k]) * Math.exp(-0.5 * z * z);
  }
  return sum / Math.sqrt(2 * Math.PI);
}

// log p and its slope, with the sums scaled by the largest term.
function logDensityAndSlope(p, y) {
  let top = -Infinity;
  for (let k = 0; k < p.w.length; k++) top = Math.max(top, logTerm(p, k, y));
  let sum = 0;
  let slope = 0;
  for (let k = 0; k < p.w.length; k++) {
    const term = logTerm(p, k, y) - top;
    if (term < -745) continue; // its exponential is 0
    const share = Math.exp(term);
    sum += share;
    slope += (share * (p.m[k] - y)) / (p.s[k] * p.s[k]);
  }
  return [top + Math.log(sum), slope / sum];
}

const logDensity = (p, y) => logDensityAndSlope(p, y)[0];

function cdf(p, y) {
  let sum = 0;
  for (let k = 0; k < p.w.length; k++) {
    sum += 0.5 * p.w[k] * erfc((p.m[k] - y) / (p.s[k] * Math.SQRT2));
  }
  return sum;
}

const mean = (p) => p.w.reduce((sum, w, k) => sum + w * p.m[k], 0);

function stddev(p) {
  const centre = mean(p);
  return Math.sqrt(p.w.reduce((sum, w, k) => sum + w * (p.s[k] ** 2 + (p.m[k] - centre) ** 2), 0));
}

// Ends of an interval outside of which there is nothing that a number could show.
function support(p, reach = 38) {
  return [
    Math.min(...p.m.map((m, k) => m - reach * p.s[k])),
    Math.max(...p.m.map((m, k) => m + reach * p.s[k])),
  ];
}

const quantile = (p, level) => solve((y) => cdf(p, y) - level, ...support(p));

// Places (ascending) close enough together to meet each component several times.
function finePlaces(p, low, high, perStddev) {
  const places = [low, high];
  for (let k = 0; k < p.w.length; k++) {
    for (let j = -4 * perStddev; j < 4 * perStddev; j++) {
      const y = p.m[k] + ((j + 0.5) / perStddev) * p.s[k];
      if (y > low && y < high) places.push(y);
    }
  }
  return places.sort((a, b) => a - b);
}

// Modes and the antimodes between them, in turn and ascending. All lie between the outermost means.
function criticalPoints(p) {
  p.criticalPoints ??= findCriticalPoints(p);
  return p.criticalPoints;
}

function findCriticalPoints(p) {
  const low = Math.min(...p.m) - 0.1 * Math.min(...p.s);
  const high = Math.max(...p.m) + 0.1 * Math.min(...p.s);
  const slope = (y) => logDensityAndSlope(p, y)[1];
  const found = [];
  let before = low;
  let rising = true;
  for (const y of finePlaces(p, low, high, 10)) {
    if (slope(y) > 0 !== rising) {
      found.push(solve(slope, before, y));
      rising = !rising;
    }
    before = y;
  }
  return found;
}

// Modes, the highest first.
function modes(p) {
  const found = criticalPoints(p).filter((_, i) => i % 2 === 0);
  return found.sort((a, b) => logDensity(p, b) - logDensity(p, a));
}

// Intervals of the smallest set of this probability, {y: log p(y) >= threshold}.
function region(p, coverage) {
  const points = criticalPoints(p);
  const heights = points.map((y) => logDensity(p, y));
  const top = Math.max(...heights);
  const [first, last] = support(p);
  const above = (threshold) => {
    const intervals = [];
    const end = (mode, i) => {
      if (i >= 0 && i < points.length && heights[i] >= threshold) return points[i];
      const limit = i < 0 ? first : i < points.length ? points[i] : last;
      return solve((y) => logDensity(p, y) - threshold, limit, mode);
    };
    for (let i = 0; i < points.length; i += 2) {
      if (heights[i] < threshold) continue;
      const [low, high] = [end(points[i], i - 1), end(points[i], i + 1)];
      const previous = intervals[intervals.length - 1];
      // An interval that reaches its valley goes on into the next one.
      if (previous && previous[1] === low) previous[1] = high;
      else intervals.push([low, high]);
    }
    return intervals;
  };
  const short = (depth) => mass(p, above(top - 0.5 * depth * depth)) - coverage;
  let deepest = 2;
  while (short(deepest) < 0) deepest *= 2;
  return above(top - 0.5 * solve(short, 0, deepest) ** 2);
}

const mass = (p, intervals) =>
  intervals.reduce((sum, [low, high]) => sum + cdf(p, high) - cdf(p, low), 0);
