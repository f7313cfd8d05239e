"use strict";
// Shows the point that was chosen: the blocks of `nasfuse.report.panel`.
const DRAWN = {
  chart: (block, place) => drawChart(element("figure", {}, place), block.chart, null),
  code: (block, place) => element("pre", { tabindex: 0 }, place, block.text),
  table: (block, place) => {
    const table = newTable(place, block.columns, "scroll cards");
    for (const row of block.rows) {
      const line = element("tr", {}, table);
      row.forEach((cell, index) =>
        element(index ? "td" : "th", index ? { class: "n", "data-label": block.columns[index] } : { scope: "row" }, line, cell));
    }
  },
  bars: (block, place) => {
    const table = newTable(place, []);
    for (const [name, share, text] of block.rows) {
      const line = element("tr", {}, table);
      element("th", { scope: "row" }, line, name);
      element("td", { class: "n" }, line, text);
      element("span", { class: "bar", style: `width:${100 * share}%` }, element("td", { class: "share" }, line));
    }
  },
  pictures: (block, place) => {
    const legend = element("ul", { class: "classes" }, place);
    for (const [name, color] of block.legend) {
      const entry = element("li", {}, legend);
      element("span", { class: "patch", style: `background:${color}` }, entry);
      element("span", {}, entry, name);
    }
    for (const sample of block.samples) {
      const known = data.samples[sample.row];
      const line = element("div", { class: "sample", role: "group", "aria-label": `sample ${sample.row}` }, place);
      for (const [name, png] of Object.entries(known.inputs)) picture(line, name, png, sample.row);
      picture(line, "labels", known.labels, sample.row);
      for (const map of sample.maps) picture(line, map.name, map.png, sample.row);
    }
  },
  matrix: (block, place) => {
    const table = newTable(place, []);
    table.className = "matrix";
    const head = element("tr", {}, table);
    element("th", { scope: "col" }, head, "true \\ predicted");
    const isWide = block.names.join(" ").length > 40; // then names are written upwards
    for (const name of block.names)
      element("span", isWide && name.length > 3 ? { class: "tall" } : {}, element("th", { scope: "col" }, head), name);
    block.counts.forEach((row, index) => {
      const line = element("tr", {}, table);
      const total = Math.max(row.reduce((sum, count) => sum + count, 0), 1);
      element("th", { scope: "row" }, line, block.names[index]);
      row.forEach((count, column) => {
        const cell = element("td", column === index ? { class: "hit" } : {}, line, count || "");
        cell.style.background = `color-mix(in srgb, var(--c${column === index ? 0 : 1}) ${Math.round((60 * count) / total)}%, transparent)`;
      });
    });
  },
};

function picture(place, name, png, row) {
  const figure = element("figure", {}, place);
  element("img", { src: `data:image/png;base64,${png}`, alt: `${name} of sample ${row}` }, figure);
  element("figcaption", {}, figure, name);
}

function newTable(place, columns, kind = "scroll") {
  const table = element("table", {}, element("div", { class: kind, tabindex: 0 }, place));
  if (columns.length) {
    const line = element("tr", {}, table);
    columns.forEach((name, index) => element("th", { scope: "col", title: name, ...(index ? { class: "n" } : {}) }, line, name));
  }
  return table;
}

function choosePoint(id) {
  const place = document.getElementById("panel");
  const point = data.charts.front.series.flatMap((series) => series.points).find((one) => one.id === id);
  place.replaceChildren();
  place.hidden = false;
  element("h3", {}, place, point.text[0]);
  for (const line of point.text.slice(1)) element("p", {}, place, line);
  element("p", { class: "soft" }, place, "The command that exports this point:");
  element("pre", { tabindex: 0, id: "command" }, place, data.export.join(id));
  const blocks = element("div", { class: "blocks" }, place);
  for (const block of data.panels[id] || []) {
    const section = element("section", block.kind === "pictures" ? { class: "all" } : {}, blocks);
    element("h3", {}, section, block.title);
    DRAWN[block.kind](block, section);
  }
  if (!data.panels[id]) element("p", { class: "soft" }, place, "Recipe and curves are kept for points of the front and for hand-made designs.");
  for (const row of document.querySelectorAll("tr[data-point]")) row.classList.toggle("chosen", row.dataset.point === id);
}

for (const button of document.querySelectorAll("button[data-point]"))
  button.addEventListener("click", () => {
    for (const mark of marks) mark(button.dataset.point);
    choosePoint(button.dataset.point);
    document.getElementById("panel").scrollIntoView({ block: "nearest" });
  });
