"use strict";

// What changes with the threshold, drawn: certified curves, single inputs, gain and cost, risk.

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
  const some = index.length < reading.inputs ? `${index.length} of ${reading.inputs} inputs, spread evenly. ` : "";
  chart.caption.textContent = `${some}Dots are inputs of the right class, crosses of a wrong one; radii are rounded down.`;
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
