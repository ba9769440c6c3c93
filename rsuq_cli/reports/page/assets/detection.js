"use strict";

// Scores of inputs from elsewhere: histograms, ROC curves, and what is guaranteed by radius.

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

function drawPromise(promise) {
  const chart = charts.promise, stops = [];
  const radii = promise.sets.flatMap((set) => set.points.map((point) => point.radius));
  chart.begin([0, Math.max(...radii) || 1], [0, 100]);
  promise.sets.forEach((set, number) => {
    const color = `line-${number % 7}`;
    for (const [side, dash, name] of [["one", 0, set.name], ["both", 2, `${set.name}, both sides moved`]]) {
      const known = set.points.filter((point) => point[side] !== null);
      // Up to the next radius that was computed, what is guaranteed there is guaranteed, too: never more.
      const steps = known.flatMap(({ radius, [side]: value }, i) => (i ? [[known[i - 1].radius, 100 * value], [radius, 100 * value]] : [[radius, 100 * value]]));
      chart.line(steps, { color, dash, name, place: number });
      for (const point of known) chart.dot([point.radius, 100 * point[side]], { color, small: true });
    }
    for (const point of set.points) stops.push({ x: point.radius, y: 100 * point.one, text: `${set.name}, r = ${point.radius}\n${point.text}` });
  });
  chart.probe(stops.sort((a, b) => a.x - b.x));
}

function startScores() {
  find("scores").hidden = false;
  const place = find("score-charts"), select = find("score");
  charts.histogram = new Chart(place, { title: "Scores", x: "score, larger: more foreign", y: "inputs (%)" });
  charts.curve = new Chart(place, { title: "ROC", x: "inside inputs flagged (%)", y: "outside inputs flagged (%)" });
  DATA.scores.forEach((score, number) => make(select, "option", { value: number }, score.name));
  select.addEventListener("change", () => drawForeign(DATA.scores[Number(select.value)]));
  drawForeign(DATA.scores[0]);
}

function startPromises() {
  find("promises").hidden = false;
  const select = find("promise");
  charts.promise = new Chart(find("promise-charts"), { title: "Guaranteed AUROC", x: "ℓ₂ radius of the attacker (pixel units)", y: "AUROC at least (%)",
    caption: "Solid: every input from elsewhere is moved. Dotted: the network's own inputs, too. Between the radii that were computed, the line is at what the next larger one guarantees." });
  DATA.promises.forEach((promise, number) => make(select, "option", { value: number }, promise.name));
  select.addEventListener("change", () => drawPromise(DATA.promises[Number(select.value)]));
  drawPromise(DATA.promises[0]);
}

function startDetection() {
  if (DATA.scores.length) startScores();
  if (DATA.promises.length) startPromises();
}
