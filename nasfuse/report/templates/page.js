"use strict";
// What every page has: its data, the switch between light and dark, and its charts.
const data = JSON.parse(document.getElementById("data").textContent);

document.getElementById("theme").addEventListener("click", () => {
  const root = document.documentElement;
  const isDark = root.style.colorScheme ? root.style.colorScheme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.style.colorScheme = isDark ? "light" : "dark";
});

const marks = [];
for (const figure of document.querySelectorAll("figure[data-chart]")) {
  const chosen = figure.hasAttribute("data-chooses") ? choosePoint : null;
  const mark = drawChart(figure, data.charts[figure.dataset.chart], chosen);
  if (chosen) marks.push(mark);
}
