"use strict";

// A study: for each network gain over cost and gain over coverage, one line a source, with what oracles would gain.

const DATA = JSON.parse(document.getElementById("data").textContent);
const find = (id) => document.getElementById(id);
const looks = (number) => ({ color: `line-${number % 7}`, dash: number % DASHES.length, place: number });

function said(name, [coverage, cost, gain]) {
  return `${name}\ncoverage ${percentText(coverage)} %\ngain ${percentText(gain)} %, cost ${percentText(cost)} %`;
}

function drawLines(chart, network, at, far) {
  const every = network.lines.flatMap((line) => line.points.map((point) => ({ line, point, x: 100 * at(point), y: 100 * point[2] })));
  const xs = every.map((one) => one.x), ys = [...every.map((one) => one.y), ...far];
  chart.begin(chart.over === "coverage" ? [50, 100] : [Math.min(0, ...xs), Math.max(1, ...xs) * 1.03], [Math.min(0, ...ys), Math.max(1, ...ys) * 1.05]);
  network.lines.forEach((line, number) => {
    chart.line(line.points.map((point) => [100 * at(point), 100 * point[2]]), { ...looks(number), name: line.name });
    for (const point of line.points) if (point[3]) chart.dot([100 * at(point), 100 * point[2]], { ...looks(number), small: true });
  });
  return every.sort((a, b) => a.x - b.x).map(({ line, point, x, y }) => ({ x, y, text: said(line.name, point) }));
}

function drawNetwork(network) {
  make(find("study-charts"), "h3", {}, network.name);
  const grid = make(find("study-charts"), "div", { class: "grid" });
  const left = network.left_out ? ` ${network.left_out} more sources are in the tables.` : "";
  const cost = new Chart(grid, { title: "Gain over cost", x: "cost of CC (%)", y: "gain of NCL (%)", caption:
    `One line a source, from coverage 1 at the left down to a half; dots are the coverages of the study. Up and to the left is better. Dotted: the gain at coverage ${network.reference} if only dissenters were rejected, at random, which costs nothing.${left}` });
  const reference = network.oracles.find((one) => one.calibrated === network.reference);
  const stops = drawLines(cost, network, (point) => point[1], reference ? [100 * reference.random] : []);
  if (reference) {
    cost.line([[cost.xRange[0], 100 * reference.random], [cost.xRange[1], 100 * reference.random]], { color: "faint", dash: 2, name: "oracle, at random", place: 98 });
  }
  cost.probe(stops);
  const coverage = new Chart(grid, { title: "Gain over coverage, and what is possible", x: "coverage: noise samples answered (%)", y: "gain of NCL (%)", caption:
    "Oracles reject as many samples as the best source, and only dissenters of inputs whose class is right: at random, or those of the easiest inputs first." });
  coverage.over = "coverage";
  const inside = network.oracles.filter((one) => one.coverage >= 0.5);
  const more = drawLines(coverage, network, (point) => point[0], inside.flatMap((one) => [100 * one.random, 100 * one.easiest]));
  [["random", "oracle, at random", 2], ["easiest", "oracle, easiest first", 1]].forEach(([name, title, dash], place) => {
    coverage.line(inside.map((one) => [100 * one.coverage, 100 * one[name]]), { color: "faint", dash, name: title, place: 98 + place });
    for (const one of inside) more.push({ x: 100 * one.coverage, y: 100 * one[name], text: `${title}\ncoverage ${percentText(one.coverage)} %\ngain ${percentText(one[name])} %` });
  });
  coverage.probe(more.sort((a, b) => a.x - b.x));
}

for (const network of DATA) if (network.lines.length) drawNetwork(network);
find("theme").addEventListener("click", () => {
  const root = document.documentElement, dark = matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = (root.dataset.theme || (dark ? "dark" : "light")) === "dark" ? "light" : "dark";
});
