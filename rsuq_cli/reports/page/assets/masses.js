"use strict";

// The masses behind the radii, as empirical distribution functions: of one scoring, and p of every run beside the others.

const MASSES = {
  p_own: { name: "p, votes for the label", color: "standard", dash: 1 },
  q_own: { name: "q, certain votes for it", color: "cc", dash: 2 },
  q_not_wrong: { name: "1 − certain votes for others", color: "ncl", dash: 0 },
};

function steps(curve) {
  const points = [[0, 0]];
  for (const [mass, share] of [...curve, [1, 1]]) points.push([mass, points[points.length - 1][1]], [mass, 100 * share]);
  return points;
}

function atMost(curve, mass) {
  return curve.reduce((share, [at, here]) => (at <= mass + 1e-9 ? here : share), 0);
}

function massChart(title, caption) {
  return new Chart(find("mass-charts"), { title, x: "mass of the true label", y: "inputs with at most this mass (%)", caption });
}

function drawMasses(chart, lines, caption) {
  chart.caption.textContent = caption;
  chart.begin([0, 1], [0, 100]);
  chart.line([[0.5, 0], [0.5, 100]], { color: "faint", dash: 2 });
  lines.forEach(([curve, look], place) => chart.line(steps(curve), { ...look, place }));
  chart.probe(Array.from({ length: 101 }, (_, i) => ({
    x: i / 100,
    text: [`mass ${(i / 100).toFixed(2)}`, ...lines.map(([curve, { name }]) => `${percentText(atMost(curve, i / 100))} % at most: ${name}`)].join("\n"),
  })));
}

function startMasses() {
  const select = find("mass"), every = DATA.masses;
  every.forEach((one, number) => make(select, "option", { value: number }, one.name));
  const alone = massChart("Masses of one scoring", " ");
  const draw = () => {
    const one = every[Number(select.value)];
    const what = one.proven ? "Lower bounds: what the radii of the log prove at its n and α." : "Estimates: shares of the votes.";
    drawMasses(alone, Object.entries(one.curves).map(([name, curve]) => [curve, MASSES[name]]),
      `${what} Left of the upright line there is no majority and no radius; the further right and down a curve, the better.`);
  };
  select.addEventListener("change", draw);
  draw();
  // p depends on the run alone, not on what is read of it.
  const runs = every.filter((one, at) => every.findIndex((other) => other.run === one.run) === at);
  if (runs.length < 2) return;
  const some = runs.slice(0, DASHES.length);
  const mixed = some.some((one) => one.proven) && some.some((one) => !one.proven);
  drawMasses(massChart("p of every run", " "),
    some.map((one, number) => [one.curves.p_own, { name: one.network, color: `line-${number % 7}`, dash: number % DASHES.length }]),
    `The votes for the label, without rejection.${mixed ? " Lower bounds of imported logs stand beside estimates of runs sampled here: a bound lies to the left of its estimate." : ""}${
      runs.length > some.length ? ` The first ${some.length} of ${runs.length} runs.` : ""}`);
}
