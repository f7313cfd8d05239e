"use strict";
// Draws the charts of `nasfuse.report.chart` as SVG. Texts are only ever set as text, never as markup.
const SVG = "http://www.w3.org/2000/svg";
let charts = 0;

function node(name, attributes, parent, text) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  if (parent) parent.append(made);
  return made;
}

function element(name, attributes, parent, text) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  if (parent) parent.append(made);
  return made;
}

function short(value, digits) {
  const size = Math.abs(value);
  if (size === 0) return "0";
  const unit = [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"]].find(([least]) => size >= least);
  if (unit) return Number((value / unit[0]).toPrecision(digits)) + unit[1];
  return size < 1e-4 ? Number(value.toPrecision(digits)).toExponential() : String(Number(value.toPrecision(digits)));
}

// The labels of ticks, with as many digits as tell them apart.
function labelled(ticks) {
  let texts = [];
  for (let digits = 4; digits < 13 && new Set(texts).size < ticks.length; digits++) texts = ticks.map((value) => short(value, digits));
  return ticks.map((value, index) => [value, texts[index]]);
}

const pen = document.createElement("canvas").getContext("2d");

function widthOf(text, weight = 400) {
  pen.font = `${weight} 12px system-ui, sans-serif`; // as of texts in charts, see style.css
  return Math.ceil(pen.measureText(text).width);
}

// An axis: its limits, the place of a value from 0 to 1, and ticks.
function scale(axis, values) {
  const map = axis.is_log ? Math.log10 : (value) => value;
  const usable = (value) => Number.isFinite(value) && (!axis.is_log || value > 0);
  const known = values.filter(usable).map(map);
  let [low, high] = axis.limits ? axis.limits.map(map) : [Math.min(...known), Math.max(...known)];
  if (!Number.isFinite(low) || !Number.isFinite(high)) [low, high] = [0, 1];
  const room = low === high ? Math.max(Math.abs(low) * 0.1, 0.1) : axis.limits ? 0 : 0.04 * (high - low);
  [low, high] = [low - room, high + room];
  const at = (value) => (map(value) - low) / (high - low);
  const shows = (value) => usable(value) && at(value) >= -1e-9 && at(value) <= 1 + 1e-9;
  return { at, shows, ticks: axis.is_log ? logTicks(low, high) : ticks(low, high) };
}

function ticks(low, high) {
  const rough = (high - low) / 5, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((candidate) => candidate >= rough);
  const found = [];
  for (let number = Math.ceil(low / step); number * step <= high; number++) found.push(Number((number * step).toPrecision(12)));
  return found;
}

function logTicks(low, high) {
  const factors = high - low > 2.5 ? [1] : high - low > 1.2 ? [1, 3] : [1, 2, 5];
  const found = [];
  for (let power = Math.floor(low); power <= high; power++)
    for (const factor of factors) {
      const value = factor * 10 ** power;
      if (Math.log10(value) >= low && Math.log10(value) <= high) found.push(value);
    }
  return found.length > 1 ? found : ticks(10 ** low, 10 ** high); // of so narrow a range, which is almost linear
}

const OUTLINES = {
  diamond: (r) => `M0 ${-1.3 * r}L${1.3 * r} 0L0 ${1.3 * r}L${-1.3 * r} 0Z`,
  square: (r) => `M${-r} ${-r}H${r}V${r}H${-r}Z`,
  triangle: (r) => `M0 ${-1.2 * r}L${1.15 * r} ${r}H${-1.15 * r}Z`,
  star: (r) => "M" + [...Array(10).keys()].map((k) => {
    const length = (k % 2 ? 0.55 : 1.4) * r, angle = (k * Math.PI) / 5;
    return `${length * Math.sin(angle)} ${-length * Math.cos(angle)}`;
  }).join("L") + "Z",
  cross: (r) => `M${-r} ${-r}L${r} ${r}M${-r} ${r}L${r} ${-r}`,
};
const RADII = { dot: 2.5, ring: 3.5, circle: 5, diamond: 4.5, square: 4.5, triangle: 5, star: 5, cross: 4 };

function marker(kind, color, parent) {
  const radius = RADII[kind];
  const open = kind === "ring" || kind === "cross";
  const look = { fill: open ? "none" : color, stroke: open ? color : "var(--page)", "stroke-width": open ? 1.5 : 1 };
  if (kind in OUTLINES) return node("path", { d: OUTLINES[kind](radius), ...look }, parent);
  return node("circle", { r: radius, ...look }, parent);
}

function swatch(series, parent) {
  const svg = node("svg", { width: 30, height: 14, "aria-hidden": "true" }, parent);
  const color = `var(--c${series.color})`;
  if (series.line) node("path", { d: "M1 7H29", stroke: color, "stroke-width": 2, "stroke-dasharray": series.dash }, svg);
  if (series.mark) marker(series.mark, color, node("g", { transform: "translate(15 7)" }, svg));
}

// Draws `chart` into `figure`, again whenever its width changes. `choose(id)` is called for a point that is clicked.
function drawChart(figure, chart, choose) {
  const number = ++charts;
  const shown = chart.series.map((series) => series.is_shown);
  const legend = element("div", { class: "legend" }, figure);
  const named = [...chart.series.entries()];
  if (choose) named.reverse(); // what is drawn on top first
  if (named.length > 1) named.forEach(([index, series]) => {
    const button = element("button", { type: "button", "aria-pressed": shown[index] }, legend);
    swatch(series, button);
    element("span", {}, button, series.name);
    button.addEventListener("click", () => {
      shown[index] = !shown[index];
      button.setAttribute("aria-pressed", shown[index]);
      draw();
    });
  });
  const svg = node("svg", { role: choose ? "group" : "img", "aria-labelledby": `title${number} text${number}` }, figure);
  const tip = element("div", { class: "tip", hidden: "" }, figure);
  const caption = figure.querySelector("figcaption");
  if (caption) figure.append(caption); // below the chart
  let near = [], chosen = null;

  function draw() {
    const width = Math.max(figure.clientWidth, 240), height = Math.round(Math.min(Math.max(width * 0.55, choose ? 300 : 220), choose ? 480 : 300));
    svg.replaceChildren();
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    svg.setAttribute("height", height);
    node("title", { id: `title${number}` }, svg, chart.title);
    node("desc", { id: `text${number}` }, svg, chart.description);
    const points = chart.series.flatMap((series) => series.points);
    const bars = points.flatMap((point) => (point.sd ? [point.y - point.sd, point.y + point.sd] : [point.y]));
    const across = scale(chart.x, points.map((point) => point.x)), up = scale(chart.y, bars);
    const widest = Math.max(0, ...labelled(up.ticks).map(([, text]) => widthOf(text)));
    const box = { left: 29 + widest, right: width - 14, top: 14, bottom: height - 44 };
    const x = (value) => box.left + across.at(value) * (box.right - box.left);
    const y = (value) => box.bottom - up.at(value) * (box.bottom - box.top);
    axes(box, width, height, x, y, across, up);
    near = [];
    chart.series.forEach((series, index) => shown[index] && drawSeries(series, box, x, y, across, up));
    const placed = [];
    for (const label of chart.labels) {
      if (!across.shows(label.x) || !up.shows(label.y)) continue;
      const [left, top] = [x(label.x), y(label.y)];
      node("circle", { cx: left, cy: top, r: 9, fill: "none", stroke: "var(--ink)", "stroke-width": 1.5 }, svg);
      const long = widthOf(label.text, 600);
      const beside = left > (box.left + box.right) / 2 ? left - 12 - long : left + 12;
      const place = { x: Math.max(0, Math.min(beside, width - long)), y: top + (top < box.top + 30 ? 18 : -10) };
      const right = place.x + long + 8; // with a gap
      while (placed.some((other) => Math.abs(other.y - place.y) < 20 && other.x < right && place.x < other.right)) place.y += 20;
      placed.push({ ...place, right });
      node("text", { ...place, class: "label" }, svg, label.text);
    }
  }

  function axes(box, width, height, x, y, across, up) {
    let free = 0; // left end of the place that no label takes yet
    for (const [value, text] of labelled(across.ticks)) {
      node("path", { d: `M${x(value)} ${box.top}V${box.bottom}`, class: "grid" }, svg);
      const long = widthOf(text);
      const left = Math.min(x(value) - long / 2, width - long - 1);
      if (left < free) continue;
      node("text", { x: left, y: box.bottom + 19 }, svg, text);
      free = left + long + 6;
    }
    for (const [value, text] of labelled(up.ticks)) {
      node("path", { d: `M${box.left} ${y(value)}H${box.right}`, class: "grid" }, svg);
      node("text", { x: box.left - 7, y: y(value) + 4, "text-anchor": "end" }, svg, text);
    }
    node("path", { d: `M${box.left} ${box.top}V${box.bottom}H${box.right}`, class: "axis", fill: "none" }, svg);
    node("text", { x: (box.left + box.right) / 2, y: height - 7, "text-anchor": "middle" }, svg, chart.x.title);
    const middle = (box.top + box.bottom) / 2;
    node("text", { transform: `translate(13 ${middle}) rotate(-90)`, "text-anchor": "middle" }, svg, chart.y.title);
  }

  function drawSeries(series, box, x, y, across, up) {
    const color = `var(--c${series.color})`;
    const group = node("g", {}, svg);
    const usable = series.points.filter((point) => across.shows(point.x) && Number.isFinite(point.y));
    if (series.line && usable.length) {
      const clipped = (value) => Math.min(Math.max(y(value), box.top), box.bottom);
      let path = `M${x(usable[0].x)} ${clipped(usable[0].y)}`;
      for (const point of usable.slice(1))
        path += point.starts ? `M${x(point.x)} ${clipped(point.y)}` : series.line === "step" ? `H${x(point.x)}V${clipped(point.y)}` : `L${x(point.x)} ${clipped(point.y)}`;
      node("path", { d: path, fill: "none", stroke: color, "stroke-width": 2, "stroke-dasharray": series.dash }, group);
    }
    const places = [];
    for (const point of usable) {
      if (!up.shows(point.y)) continue;
      const place = { left: x(point.x), top: y(point.y), point };
      if (point.text.length) near.push(place);
      if (!series.mark) continue;
      if (point.sd) {
        const ends = [point.y - point.sd, point.y + point.sd].map((value) => Math.min(Math.max(y(value), box.top), box.bottom));
        node("path", { d: `M${place.left} ${ends[0]}V${ends[1]}`, stroke: color }, group);
      }
      const spot = node("g", { transform: `translate(${place.left} ${place.top})` }, group);
      marker(series.mark, color, spot);
      if (!choose || point.id === null) continue;
      const isFirst = places.length === 0;
      for (const [key, value] of Object.entries({ role: "button", tabindex: isFirst ? 0 : -1, "aria-label": point.text.join(", "), "data-id": point.id }))
        spot.setAttribute(key, value);
      if (point.id === chosen) node("circle", { r: 8, fill: "none", stroke: "var(--ink)", "stroke-width": 2, "stroke-dasharray": "3 2" }, spot);
      places.push(spot);
      spot.addEventListener("focus", () => show(place));
      spot.addEventListener("blur", hide);
      spot.addEventListener("keydown", (event) => {
        const step = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 }[event.key];
        const next = step && places[places.indexOf(spot) + step];
        if (next) next.focus();
        if (event.key === "Enter" || event.key === " ") pick(point.id);
        if (next || event.key === "Enter" || event.key === " ") event.preventDefault();
      });
    }
  }

  function show(place) {
    tip.textContent = place.point.text.join("\n");
    tip.hidden = false;
    const left = Math.min(place.left + 14, figure.clientWidth - tip.offsetWidth);
    tip.style.left = `${Math.max(left, 0)}px`;
    tip.style.top = `${svg.getBoundingClientRect().top - figure.getBoundingClientRect().top + place.top + 16}px`;
  }

  function hide() { tip.hidden = true; }

  function nearest(event) {
    const frame = svg.getBoundingClientRect();
    const [left, top] = [event.clientX - frame.left, event.clientY - frame.top];
    let best = null, least = 24;
    for (const place of near) { // later series are drawn above earlier ones
      const distance = Math.hypot(place.left - left, place.top - top);
      if (distance <= least) [best, least] = [place, distance];
    }
    return best;
  }

  function pick(id) {
    mark(id);
    choose(id);
  }

  function mark(id) {
    const focused = document.activeElement && document.activeElement.dataset.id;
    chosen = id;
    draw();
    if (focused === id) [...svg.querySelectorAll("[data-id]")].find((one) => one.dataset.id === id)?.focus();
  }

  svg.addEventListener("pointermove", (event) => {
    const place = nearest(event);
    if (place) show(place); else hide();
    svg.style.cursor = place && choose && place.point.id !== null ? "pointer" : "";
  });
  svg.addEventListener("pointerleave", hide);
  svg.addEventListener("click", (event) => {
    const place = nearest(event);
    if (place && choose && place.point.id !== null) pick(place.point.id);
  });
  let last = 0;
  new ResizeObserver(() => {
    if (figure.clientWidth !== last) { last = figure.clientWidth; draw(); }
  }).observe(figure);
  return mark;
}
