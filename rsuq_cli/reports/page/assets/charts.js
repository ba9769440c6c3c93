"use strict";

// A chart: axes with ticks, what is drawn into them, and a probe that follows the pointer or the arrow keys.
// Every chart has the same shape, so that charts side by side can be compared.

const SVG = document.querySelector("svg").namespaceURI;
const SHAPE = { width: 480, height: 320, left: 46, right: 12, top: 10, bottom: 40 };
const DASHES = ["", "7 3", "2 3", "7 3 2 3", "4 2 1 2 1 2", "11 3", "3 4"];

function make(parent, name, attributes = {}, text = null) {
  const svg = parent.namespaceURI === SVG || name === "svg";
  const made = svg ? document.createElementNS(SVG, name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  // Text is only ever set as text: what a user named can hold no markup.
  if (text !== null) made.textContent = text;
  parent.append(made);
  return made;
}

function niceTicks([low, high], about = 5) {
  const rough = (high - low) / about || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= rough * 0.999);
  const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  const ticks = [];
  for (let at = Math.ceil(low / step - 1e-9); at * step <= high + step * 1e-9; at++) ticks.push([at * step, (at * step).toFixed(digits)]);
  return ticks;
}

class Chart {
  constructor(parent, { title, x, y, caption }) {
    this.figure = make(parent, "figure");
    make(this.figure, "h3", {}, title);
    this.svg = make(this.figure, "svg", {
      viewBox: `0 0 ${SHAPE.width} ${SHAPE.height}`, tabindex: "0", role: "img", "aria-label": `${title}: ${y} over ${x}. Arrow keys read it out.`,
    });
    this.legend = make(this.figure, "ul", { class: "legend" });
    this.caption = caption ? make(this.figure, "figcaption", {}, caption) : null;
    this.labels = { x, y };
    this.stops = [];
    this.at = -1;
    this.svg.addEventListener("pointermove", (event) => this.follow(this.nearest(event)));
    this.svg.addEventListener("pointerleave", () => this.follow(-1));
    this.svg.addEventListener("blur", () => this.follow(-1));
    this.svg.addEventListener("keydown", (event) => this.key(event));
  }

  begin(xRange, yRange) {
    Object.assign(this, { xRange, yRange, stops: [], at: -1 });
    this.svg.replaceChildren();
    this.legend.replaceChildren();
    const { width, height, left, right, top, bottom } = SHAPE;
    for (const [value, text] of niceTicks(xRange)) {
      make(this.svg, "line", { class: "grid-line", x1: this.x(value), x2: this.x(value), y1: top, y2: height - bottom });
      make(this.svg, "text", { x: this.x(value), y: height - bottom + 15, "text-anchor": "middle" }, text);
    }
    for (const [value, text] of niceTicks(yRange)) {
      make(this.svg, "line", { class: "grid-line", x1: left, x2: width - right, y1: this.y(value), y2: this.y(value) });
      make(this.svg, "text", { x: left - 5, y: this.y(value) + 4, "text-anchor": "end" }, text);
    }
    make(this.svg, "text", { x: (left + width - right) / 2, y: height - 6, "text-anchor": "middle" }, this.labels.x);
    make(this.svg, "text", { x: 0, y: 0, transform: `translate(11 ${(top + height - bottom) / 2}) rotate(-90)`, "text-anchor": "middle" }, this.labels.y);
    make(this.svg, "rect", { class: "frame", x: left, y: top, width: width - left - right, height: height - top - bottom });
  }

  x(value) {
    const [low, high] = this.xRange;
    return SHAPE.left + ((value - low) / (high - low)) * (SHAPE.width - SHAPE.left - SHAPE.right);
  }

  y(value) {
    const [low, high] = this.yRange;
    return SHAPE.height - SHAPE.bottom - ((value - low) / (high - low)) * (SHAPE.height - SHAPE.top - SHAPE.bottom);
  }

  path(points) {
    return points.map(([x, y], i) => `${i ? "L" : "M"}${this.x(x).toFixed(1)} ${this.y(y).toFixed(1)}`).join("");
  }

  line(points, { color, dash = 0, strong = false, name = null, place = 0 }) {
    if (!points.length) return;
    const look = { class: `line${strong ? " strong" : ""}`, stroke: `var(--${color})`, "stroke-dasharray": DASHES[dash] };
    make(this.svg, "path", { ...look, d: this.path(points) });
    if (name === null) return;
    const item = make(this.legend, "li", { style: `order: ${place}` });
    make(make(item, "svg", { viewBox: "0 0 35 12", "aria-hidden": "true" }), "line", { ...look, x1: 0, x2: 35, y1: 6, y2: 6 });
    item.append(name);
  }

  area(low, high, attributes) {
    make(this.svg, "path", { d: `${this.path([...low, ...high.slice().reverse()])}Z`, ...attributes });
  }

  dot([x, y], { color, small = false }) {
    make(this.svg, "circle", { cx: this.x(x), cy: this.y(y), r: small ? 3.5 : 6, fill: `var(--${color})`, stroke: "var(--page)", "stroke-width": small ? 1 : 2 });
  }

  probe(stops) {
    this.stops = stops;
  }

  nearest(event) {
    const box = this.svg.getBoundingClientRect();
    const px = ((event.clientX - box.left) / box.width) * SHAPE.width, py = ((event.clientY - box.top) / box.height) * SHAPE.height;
    const away = (stop) => (this.x(stop.x) - px) ** 2 + (stop.y === undefined ? 0 : (this.y(stop.y) - py) ** 2);
    let best = -1;
    this.stops.forEach((stop, i) => { if (best < 0 || away(stop) < away(this.stops[best])) best = i; });
    return best;
  }

  key(event) {
    const move = { ArrowRight: 1, ArrowLeft: -1, PageUp: 10, PageDown: -10 }[event.key];
    if (event.key === "Escape") this.follow(-1);
    if (!move || !this.stops.length) return;
    event.preventDefault();
    this.follow(Math.min(this.stops.length - 1, Math.max(0, this.at + move)));
  }

  follow(at) {
    this.at = at;
    for (const old of this.svg.querySelectorAll(".follow")) old.remove();
    const tip = document.getElementById("probe"), stop = this.stops[at];
    tip.hidden = !stop;
    if (!stop) return;
    const x = this.x(stop.x), y = stop.y === undefined ? SHAPE.top : this.y(stop.y);
    if (stop.y === undefined) make(this.svg, "line", { class: "follow", x1: x, x2: x, y1: SHAPE.top, y2: SHAPE.height - SHAPE.bottom });
    else make(this.svg, "circle", { class: "follow", cx: x, cy: y, r: 8, fill: "none" });
    tip.textContent = stop.text;
    const box = this.svg.getBoundingClientRect(), scale = box.width / SHAPE.width;
    const left = box.left + x * scale + 14, room = document.documentElement.clientWidth - 8;
    tip.style.left = `${window.scrollX + (left + tip.offsetWidth > room ? Math.max(4, left - tip.offsetWidth - 28) : left)}px`;
    tip.style.top = `${window.scrollY + box.top + y * scale + 8}px`;
  }
}
