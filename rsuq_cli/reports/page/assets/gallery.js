"use strict";

// Single inputs worth looking at, at the stored threshold that is nearest.

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
    if (shown.length >= DATA.most_exhibits) make(list, "li", { class: "none" }, `Others may have been left out: ${shown.length} are shown.`);
  }
}
