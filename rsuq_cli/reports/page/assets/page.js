"use strict";

// What the page shows: one reading at one threshold. Everything comes from the counts in the page's data; the figures
// are the ratios that the reports of the database show.

const DATA = JSON.parse(document.getElementById("data").textContent);
const GUARANTEES = {
  standard: { name: "standard, without rejection", color: "standard", dash: 1 },
  cc: { name: "CC, consistent and confident", color: "cc", dash: 2 },
  ncl: { name: "NCL, no confident label change", color: "ncl", dash: 0 },
};
const LEAST_COVERAGE = 50;
const find = (id) => document.getElementById(id);
const state = { reading: 0, position: 0 };

const charts = {
  curves: new Chart(find("charts"), { title: "Certified curves", x: "ℓ₂ radius (pixel units)", y: "inputs certified (%)",
    caption: "Bands are 95 % intervals over the inputs; shaded between standard and NCL is what rejection gains." }),
  scatter: new Chart(find("charts"), { title: "CC against NCL", x: "CC radius (pixel units)", y: "NCL radius (pixel units)", caption: " " }),
  gain: new Chart(find("charts"), { title: "What rejection gains", x: "coverage: inputs answered with certainty (%)", y: "gain of NCL (%)" }),
  cost: new Chart(find("charts"), { title: "What rejection costs", x: "coverage: inputs answered with certainty (%)", y: "cost of CC (%)" }),
  risk: new Chart(find("charts"), { title: "Risk and coverage", x: "share of inputs, most certain votes first (%)", y: "wrong among them (%)",
    caption: "The dot is the decision at θ." }),
};

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

function start() {
  // The curves in numbers stand beside the charts, for those who read them better so.
  const numbers = make(find("charts"), "figure");
  make(numbers, "h3", {}, "Certified curves in numbers");
  make(numbers, "div", { class: "scroll", id: "numbers", tabindex: "0", role: "region", "aria-label": "Certified curves in numbers" });
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
  startMasses();
  startDetection();
  startTraining();
  chooseFirst(0);
}

start();
