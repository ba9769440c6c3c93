"use strict";

// How the networks were trained: accuracy and loss by epoch, where the checkpoint has them.

const TRAINING = [
  { title: "Accuracy while training", y: "accuracy (%)", scale: 100, unit: " %",
    lines: [["accuracy_clean", "clean", { color: "standard", dash: 0 }], ["accuracy_noisy", "under noise", { color: "cc", dash: 1 }]] },
  { title: "Loss while training", y: "training loss", scale: 1, unit: "", lines: [["loss", "loss", { color: "ncl", dash: 0 }]] },
];

function drawTraining(place, epochs, { title, y, scale, unit, lines }) {
  const known = lines.filter(([name]) => epochs.some((one) => one[name] !== undefined));
  if (!known.length) return;
  const values = known.flatMap(([name]) => epochs.map((one) => one[name]).filter((value) => value !== undefined));
  const first = epochs[0].epoch, last = epochs[epochs.length - 1].epoch;
  const chart = new Chart(place, { title, x: "epoch", y });
  chart.begin([first, last > first ? last : first + 1], [0, scale === 100 ? 100 : Math.max(...values) * 1.05 || 1]);
  known.forEach(([name, said, look], place) => {
    const points = epochs.filter((one) => one[name] !== undefined).map((one) => [one.epoch, scale * one[name]]);
    chart.line(points, { ...look, name: said, place });
    chart.dot(points[points.length - 1], { ...look, small: true });
  });
  const said = (one) => known.map(([name, word]) => `${word} ${one[name] === undefined ? "-" : Number((scale * one[name]).toPrecision(4))}${unit}`);
  chart.probe(epochs.map((one) => ({ x: one.epoch, text: [`epoch ${one.epoch}`, ...said(one)].join("\n") })));
}

function startTraining() {
  for (const place of document.querySelectorAll(".training[data-checkpoint]")) {
    const epochs = DATA.training[place.dataset.checkpoint];
    if (epochs) for (const chart of TRAINING) drawTraining(place, epochs, chart);
  }
}
