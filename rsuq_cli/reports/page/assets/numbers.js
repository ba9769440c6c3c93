"use strict";

// Numbers as words: radii rounded down, shares in percent, and the interval that stands with them.

// Rounded down, as a radius is printed everywhere.
function radiusText(radius) {
  if (radius < 0.001) return "0.000";
  const [whole, part = ""] = String(radius).split(".");
  return `${whole}.${(part + "000").slice(0, 3)}`;
}

// An average guarantees nothing about any one input: to the nearest digit.
function averageText(radius) {
  return radius.toFixed(4);
}

// As Python rounds, ties to even: the same digits as in the table.
function percentText(share, digits = 1) {
  if (share === null || Number.isNaN(share)) return "-";
  const last = share * 100 * 10 ** digits;
  return (Math.abs(last % 1) === 0.5 ? (2 * Math.round(last / 2)) / 10 ** digits : share * 100).toFixed(digits);
}

// Wilson's 95 % interval of a share of the inputs.
function wilson(count, total) {
  const z2 = 1.959963984540054 ** 2, share = count / total, scale = 1 + z2 / total;
  const centre = (share + z2 / (2 * total)) / scale;
  const half = Math.sqrt(((share * (1 - share)) / total) * z2 + (z2 / (2 * total)) ** 2) / scale;
  return [count === 0 ? 0 : Math.max(0, centre - half), count === total ? 1 : Math.min(1, centre + half)];
}

function thresholdText(theta) {
  return theta === null ? "none" : String(Number(theta.toPrecision(4)));
}
