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

// Every figure is a ratio of sums, or of two figures before it; the formulas are the reports', and come with the data.
function figures(reading, at) {
  const values = { inputs: reading.inputs };
  for (const [name, sums] of Object.entries(reading.sums)) values[name] = sums[at];
  for (const { name, part, whole, times, plus, of_rejection } of DATA.figures) {
    const known = values[part] !== null && values[whole] > 0 && (reading.rejects || !of_rejection);
    values[name] = known ? times * (values[part] / values[whole]) + plus : null;
  }
  return { ...values, aurc: reading.aurc[at] };
}

function drawTiles(reading, at) {
  const list = find("tiles"), values = figures(reading, at);
  list.replaceChildren();
  const tile = (name, title, text, interval) => {
    const place = make(list, "div"), value = values[name];
    make(place, "dt", {}, title);
    const shown = make(place, "dd", { "data-figure": name, "data-value": String(value) }, text);
    make(shown, "small", {}, interval ? `${percentText(interval[0], 2)} to ${percentText(interval[1], 2)}` : "");
  };
  for (const { name, tile: title, is_radius, counts, part } of DATA.figures.filter((one) => one.tile !== null && !(one.where_known && values[one.name] === null)).sort((a, b) => a.place - b.place)) {
    const text = values[name] === null ? "-" : is_radius ? averageText(values[name]) : percentText(values[name], 2);
    tile(name, title, text, counts ? wilson(values[part], reading.inputs) : null);
  }
  tile("aurc", "AURC %", (values.aurc * 100).toFixed(2), null);
}
