"use strict";

// One reading at one threshold: its counts unpacked, the ratios that the reports of the database show, and tiles of them.

// Tables arrive as differences from one threshold to the next.
function unpacked(reading) {
  if (reading.unpacked) return reading.unpacked;
  const height = reading.thresholds.length;
  const table = (differences, width) => {
    const result = [];
    let row = new Array(width).fill(0);
    for (let at = 0; at < height; at++) {
      // One row alone stands for all of them.
      const from = differences.length === width ? 0 : at * width;
      row = at && differences.length === width ? row : row.map((value, i) => value + differences[from + i]);
      result.push(row);
    }
    return result;
  };
  const reached = {};
  for (const [name, differences] of Object.entries(reading.reached)) reached[name] = table(differences, reading.radii.length);
  const points = reading.points.index.length;
  return (reading.unpacked = {
    reached, errors: table(reading.errors, reading.coverages.length),
    cc: table(reading.points.cc, points), ncl: table(reading.points.ncl, points),
  });
}

function figures(reading, at) {
  const { inputs } = reading, share = (name) => reading[name][at] / inputs;
  const standard = reading.acr_standard[at], compared = standard > 0 && reading.rejects;
  return {
    coverage: share("answered"), clean_accuracy: share("standard_correct"), accuracy: share("correct"),
    accuracy_answered: reading.answered[at] ? reading.correct[at] / reading.answered[at] : null,
    acr_standard: standard, acr_cc: reading.rejects ? reading.acr_cc[at] : null, acr_ncl: reading.rejects ? reading.acr_ncl[at] : null,
    gain: compared ? reading.acr_ncl[at] / standard - 1 : null, cc_cost: compared ? 1 - reading.acr_cc[at] / standard : null,
    undecided: share("undecided"), at_ceiling: share("at_ceiling"), aurc: reading.aurc[at],
  };
}

const TILES = [
  ["coverage", "coverage %", percentText, "answered"],
  ["clean_accuracy", "accuracy, no rejection %", percentText, "standard_correct"],
  ["accuracy", "right and certain %", percentText, "correct"],
  ["accuracy_answered", "right among answered %", percentText, null],
  ["acr_standard", "ACR standard", averageText, null], ["acr_cc", "ACR CC", averageText, null], ["acr_ncl", "ACR NCL", averageText, null],
  ["gain", "gain of NCL %", percentText, null], ["cc_cost", "cost of CC %", percentText, null],
  ["undecided", "undecided %", percentText, "undecided"], ["at_ceiling", "at the ceiling %", percentText, "at_ceiling"],
  ["aurc", "AURC %", (value) => (value * 100).toFixed(2), null],
];

function drawTiles(reading, at) {
  const list = find("tiles"), values = figures(reading, at);
  list.replaceChildren();
  for (const [name, title, text, counted] of TILES) {
    const tile = make(list, "div");
    make(tile, "dt", {}, title);
    const shown = make(tile, "dd", { "data-figure": name, "data-value": String(values[name]) }, values[name] === null ? "-" : text(values[name], 2));
    const interval = counted && wilson(reading[counted][at], reading.inputs);
    make(shown, "small", {}, interval ? `${percentText(interval[0], 2)} to ${percentText(interval[1], 2)}` : "");
  }
}
