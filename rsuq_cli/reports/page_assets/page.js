"use strict";

// What the page shows: one reading at one threshold. Everything comes from the counts in the page's data; the figures
// are the ratios that the reports of the database show.

const DATA = JSON.parse(document.getElementById("data").textContent);
const GUARANTEES = {
  standard: { name: "standard, without rejection", color: "standard", dash: 1 },
  cc: { name: "CC, stays right and certain", color: "cc", dash: 2 },
  ncl: { name: "NCL, never confidently wrong", color: "ncl", dash: 0 },
};
const LEAST_COVERAGE = 50;
const find = (id) => document.getElementById(id);
const state = { reading: 0, position: 0 };

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

const charts = {
  curves: new Chart(find("charts"), { title: "Certified curves", x: "ℓ₂ radius (pixel units)", y: "inputs certified (%)",
    caption: "Bands are 95 % intervals over the inputs; shaded between standard and NCL is what rejection gains." }),
  scatter: new Chart(find("charts"), { title: "CC against NCL", x: "CC radius (pixel units)", y: "NCL radius (pixel units)",
    caption: "Dots are inputs of the right class, crosses of a wrong one; radii are rounded down." }),
  gain: new Chart(find("charts"), { title: "What rejection gains", x: "coverage: inputs answered with certainty (%)", y: "gain of NCL (%)" }),
  cost: new Chart(find("charts"), { title: "What rejection costs", x: "coverage: inputs answered with certainty (%)", y: "cost of CC (%)" }),
  risk: new Chart(find("charts"), { title: "Risk and coverage", x: "share of inputs, most certain votes first (%)", y: "wrong among them (%)",
    caption: "The dot is the decision at θ." }),
};

function drawCurves(reading, at) {
  const chart = charts.curves, { reached } = unpacked(reading), { radii, inputs } = reading;
  const share = (name) => radii.map((radius, i) => [radius, (100 * reached[name][at][i]) / inputs]);
  chart.begin([0, radii[radii.length - 1]], [0, 100]);
  const names = Object.keys(GUARANTEES).filter((name) => name in reached);
  if (reading.rejects) chart.area(share("standard"), share("ncl"), { class: "gained" });
  for (const name of names) {
    const ends = radii.map((radius, i) => wilson(reached[name][at][i], inputs).map((end) => [radius, 100 * end]));
    chart.area(ends.map((pair) => pair[0]), ends.map((pair) => pair[1]), { class: "band", fill: `var(--${GUARANTEES[name].color})` });
  }
  for (const name of names) chart.line(share(name), GUARANTEES[name]);
  const said = (name, i) => {
    const [low, high] = wilson(reached[name][at][i], inputs);
    return `${name === "standard" ? "standard" : name.toUpperCase()} ${percentText(reached[name][at][i] / inputs)} % [${percentText(low)}, ${percentText(high)}]`;
  };
  chart.probe(radii.map((radius, i) => ({ x: radius, text: [`radius ${radius.toFixed(3)}`, ...names.map((name) => said(name, i))].join("\n") })));
  drawNumbers(reading, names, said);
}

function drawNumbers(reading, names, said) {
  const place = find("numbers");
  place.replaceChildren();
  const table = make(place, "table"), head = make(make(table, "thead"), "tr"), body = make(table, "tbody");
  for (const title of ["radius", ...names]) make(head, "th", { scope: "col" }, title === "radius" || title === "standard" ? title : title.toUpperCase());
  for (const i of reading.asked) {
    const row = make(body, "tr");
    make(row, "td", {}, String(reading.radii[i]));
    for (const name of names) make(row, "td", { "data-count": unpacked(reading).reached[name][state.position][i] }, said(name, i).replace(/^\S+ /, ""));
  }
}

function drawScatter(reading, at) {
  const chart = charts.scatter, { cc, ncl } = unpacked(reading), { index, label, unit } = reading.points;
  chart.figure.hidden = !reading.rejects;
  if (!reading.rejects) return;
  const largest = reading.radii[reading.radii.length - 1] * 1.03;
  chart.begin([0, largest], [0, largest]);
  chart.line([[0, 0], [largest, largest]], { color: "faint", dash: 1 });
  const stops = index.map((input, i) => {
    // A wrong class is stored as −1 − radius.
    const value = ncl[at][i], right = value >= 0, x = cc[at][i] * unit, y = (right ? value : -1 - value) * unit;
    const px = chart.x(x), py = chart.y(y);
    if (right) make(chart.svg, "circle", { class: "right", cx: px, cy: py, r: 3.2 });
    else make(chart.svg, "path", { class: "wrong", d: `M${px - 4} ${py - 4}l8 8m0-8l-8 8` });
    const name = className(reading, label[i]);
    return { x, y, text: `input ${input}, label ${name}${right ? "" : ", wrong class"}\nCC ${radiusText(x)}  NCL ${radiusText(y)}` };
  });
  chart.probe(stops.sort((a, b) => a.x - b.x));
}

// Readings that may be compared: those of the same data set and noise.
function comparable(reading) {
  return DATA.readings.filter((other) => other.rejects && other.dataset === reading.dataset && other.sigma === reading.sigma);
}

function drawTrade(chart, figure, reading, at) {
  chart.figure.hidden = !reading.rejects;
  if (!reading.rejects) return;
  const lines = comparable(reading).map((other, number) => {
    const points = other.thresholds.map((theta, i) => {
      const values = figures(other, i);
      return { x: 100 * values.coverage, y: values[figure] === null ? NaN : 100 * values[figure], theta, values, other };
    });
    return { other, number, points: points.filter((p) => p.x >= LEAST_COVERAGE && Number.isFinite(p.y)) };
  });
  const every = lines.flatMap((line) => line.points), heights = every.map((point) => point.y);
  chart.begin([LEAST_COVERAGE, 100], [Math.min(0, ...heights), Math.max(1, ...heights) * 1.05]);
  const few = lines.length <= DASHES.length;
  for (const { other, number, points } of lines.sort((a, b) => (a.other === reading) - (b.other === reading))) {
    const current = other === reading, name = few || current ? other.name : null;
    const look = few ? { color: `line-${number % 7}`, dash: number % DASHES.length } : { color: current ? "ncl" : "plain" };
    chart.line(points.map((p) => [p.x, p.y]), { ...look, strong: current, name, place: number });
    const here = current && points.find((p) => p.theta === reading.thresholds[at]);
    if (here) chart.dot([here.x, here.y], look);
  }
  chart.probe(every.sort((a, b) => a.x - b.x).map((p) => ({
    x: p.x, y: p.y,
    text: `${p.other.name}, θ = ${thresholdText(p.theta)}\ncoverage ${percentText(p.values.coverage)} %\ngain ${percentText(p.values.gain)} %, cost ${percentText(p.values.cc_cost)} %`,
  })));
}

function drawRisk(reading, at) {
  const chart = charts.risk, { errors } = unpacked(reading), values = figures(reading, at);
  const among = reading.coverages.map((share) => Math.max(1, Math.ceil(share * reading.inputs - 1e-9)));
  // Errors count in tenths: those of tied inputs come in fractions.
  const points = reading.coverages.map((share, i) => [100 * share, (10 * errors[at][i]) / among[i]]);
  const risk = values.accuracy_answered === null ? 0 : 100 * (1 - values.accuracy_answered);
  chart.begin([0, 100], [0, Math.max(1, risk, ...points.map((point) => point[1])) * 1.05]);
  chart.line(points, { color: "line-0", strong: true });
  if (values.accuracy_answered !== null) chart.dot([100 * values.coverage, risk], { color: "ncl" });
  chart.probe(points.map(([x, y]) => ({ x, text: `the ${x.toFixed(0)} % most certain\n${y.toFixed(1)} % of them wrong` })));
}

function className(reading, number) {
  const names = DATA.runs[reading.run].class_names;
  return names && names[number] !== undefined ? names[number] : String(number);
}

function thresholdText(theta) {
  return theta === null ? "none" : String(Number(theta.toPrecision(4)));
}

function drawGallery(reading, at) {
  const { stored } = reading;
  const nearest = stored.reduce((best, one) => (Math.abs(one.position - at) < Math.abs(best.position - at) ? one : best));
  const theta = reading.thresholds[nearest.position];
  find("gallery-at").textContent = `${reading.name}, at the stored threshold${theta === null ? "" : ` θ = ${thresholdText(theta)}`} (scoring ${nearest.scoring}). ${DATA.runs[reading.run].images}`;
  for (const kind of ["widest", "wrong"]) {
    const list = find(kind), shown = DATA.galleries[nearest.scoring][kind];
    list.replaceChildren();
    if (!shown.length) make(list, "li", { class: "none" }, "none");
    for (const one of shown) {
      const item = make(list, "li"), name = className(reading, one.class_index);
      const source = DATA.images[`${DATA.runs[reading.run].subset}#${one.input_index}`];
      if (source) make(item, "img", { src: source, alt: `input ${one.input_index}`, loading: "lazy" });
      make(item, "strong", {}, `input ${one.input_index}`);
      make(item, "div", {}, `label ${className(reading, one.label)}`);
      make(item, "div", {}, `class ${name}, ${one.decision}`);
      for (const [guarantee, title] of [["cc", "CC"], ["standard", "standard"], ["ncl", "NCL"]]) {
        make(item, "div", {}, `${title} ${radiusText(one[`radius_${guarantee}`])}`);
      }
    }
  }
}

function draw() {
  const reading = DATA.readings[state.reading], at = state.position;
  const slider = find("threshold"), theta = reading.thresholds[at], calibrated = reading.calibrated[at];
  const kept = reading.stored.some((one) => one.position === at);
  const text = theta === null ? "no threshold: nothing is rejected"
    : `θ = ${thresholdText(theta)}${calibrated === null ? "" : `, calibrated for ${percentText(calibrated)} %`}${kept ? ", stored" : ""}`;
  slider.setAttribute("aria-valuetext", text);
  find("standing").textContent = text;
  find("figures-title").textContent = `Figures: ${reading.name}`;
  drawTiles(reading, at);
  drawCurves(reading, at);
  drawScatter(reading, at);
  drawTrade(charts.gain, "gain", reading, at);
  drawTrade(charts.cost, "cc_cost", reading, at);
  drawRisk(reading, at);
  drawGallery(reading, at);
  find("probe").hidden = true;
  for (const row of document.querySelectorAll("tr[data-scoring]")) {
    if (reading.stored.some((one) => one.position === at && String(one.scoring) === row.dataset.scoring)) row.setAttribute("aria-current", "true");
    else row.removeAttribute("aria-current");
  }
}

function choose(number, position) {
  const reading = DATA.readings[number], slider = find("threshold");
  Object.assign(state, { reading: number, position });
  find("reading").value = String(number);
  slider.max = String(reading.thresholds.length - 1);
  slider.value = String(position);
  slider.disabled = reading.thresholds.length < 2;
  find("stored").replaceChildren();
  find("jumps").replaceChildren();
  for (const one of reading.stored) {
    make(find("stored"), "option", { value: one.position });
    if (slider.disabled) continue;
    const jump = make(find("jumps"), "button", { type: "button" }, `θ = ${thresholdText(reading.thresholds[one.position])}`);
    jump.addEventListener("click", () => choose(number, one.position));
  }
  draw();
}

function chooseFirst(number) {
  const { stored } = DATA.readings[number];
  choose(number, stored.reduce((first, one) => (one.scoring < first.scoring ? one : first)).position);
}

function chooseScoring(scoring) {
  DATA.readings.forEach((reading, number) => {
    for (const one of reading.stored) if (String(one.scoring) === scoring) choose(number, one.position);
  });
}

function drawForeign(score) {
  const { histogram, curve } = charts;
  const bars = score.edges.slice(0, -1).map((low, i) => [low, score.edges[i + 1], score.inside[i]]);
  const top = Math.max(...score.inside, ...score.outside.flatMap((set) => set.shares));
  histogram.begin([score.edges[0], score.edges[score.edges.length - 1]], [0, 105 * top]);
  const steps = (shares) => shares.flatMap((share, i) => [[score.edges[i], 100 * share], [score.edges[i + 1], 100 * share]]);
  for (const [low, high, share] of bars) {
    make(histogram.svg, "rect", { class: "bars", x: histogram.x(low), y: histogram.y(100 * share), width: histogram.x(high) - histogram.x(low), height: histogram.y(0) - histogram.y(100 * share) });
  }
  histogram.line(steps(score.inside), { color: "plain", name: `${score.dataset}, inside` });
  curve.begin([0, 100], [0, 100]);
  curve.line([[0, 0], [100, 100]], { color: "plain", dash: 2 });
  const stops = [];
  score.outside.forEach((set, number) => {
    const look = { color: `line-${number % 7}`, dash: number % DASHES.length };
    histogram.line(steps(set.shares), { ...look, name: set.name });
    curve.line(set.roc.map(([x, y]) => [100 * x, 100 * y]), { ...look, name: `${set.name}, AUROC ${set.auroc.toFixed(3)}` });
    for (const [x, y] of set.roc) stops.push({ x: 100 * x, y: 100 * y, text: `${set.name}\n${percentText(y)} % found\n${percentText(x)} % of inside flagged` });
  });
  curve.probe(stops.sort((a, b) => a.x - b.x));
  histogram.probe(bars.map(([low, high, share], i) => ({
    x: (low + high) / 2,
    text: [`${low.toPrecision(3)} to ${high.toPrecision(3)}`, `inside ${percentText(share)} %`, ...score.outside.map((set) => `${set.name} ${percentText(set.shares[i])} %`)].join("\n"),
  })));
}

function startForeign() {
  if (!DATA.scores.length) return;
  find("foreign").hidden = find("foreign-link").hidden = false;
  const place = find("foreign-charts"), select = find("score");
  charts.histogram = new Chart(place, { title: "Scores", x: "score, larger: more foreign", y: "inputs (%)" });
  charts.curve = new Chart(place, { title: "ROC", x: "inside inputs flagged (%)", y: "outside inputs flagged (%)" });
  DATA.scores.forEach((score, number) => make(select, "option", { value: number }, score.name));
  select.addEventListener("change", () => drawForeign(DATA.scores[Number(select.value)]));
  drawForeign(DATA.scores[0]);
}

function start() {
  // The curves in numbers stand beside the charts, for those who read them better so.
  const numbers = make(find("charts"), "figure");
  make(numbers, "h3", {}, "Certified curves in numbers");
  make(numbers, "div", { class: "scroll", id: "numbers" });
  make(numbers, "figcaption", {}, "Percent of the inputs, with 95 % intervals; --radii chooses the radii.");
  const select = find("reading");
  DATA.readings.forEach((reading, number) => make(select, "option", { value: number }, reading.name));
  select.addEventListener("change", () => chooseFirst(Number(select.value)));
  find("threshold").addEventListener("input", (event) => { state.position = Number(event.target.value); draw(); });
  find("controls").addEventListener("submit", (event) => event.preventDefault());
  for (const button of document.querySelectorAll("button[data-scoring]")) {
    button.addEventListener("click", () => { chooseScoring(button.dataset.scoring); find("figures").scrollIntoView(); });
  }
  find("theme").addEventListener("click", () => {
    const root = document.documentElement, dark = matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = (root.dataset.theme || (dark ? "dark" : "light")) === "dark" ? "light" : "dark";
  });
  // On paper nothing can be opened any more.
  addEventListener("beforeprint", () => { for (const one of document.querySelectorAll("details")) one.open = true; });
  startForeign();
  chooseFirst(0);
}

start();
