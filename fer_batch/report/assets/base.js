"use strict";
// What all charts share: the page's data, text, colours, and one drawing function for every kind of chart.
// `feCharts.register(kind, option)` adds a kind; `option(element, state, width)` returns an ECharts option and a height,
// or null where it drew the chart itself. `feCharts.registerTable(kind, table)` adds the table of its numbers.
// `feCharts.draw(element)` draws the chart of an element, `feCharts.table(element)` makes its table.
const feCharts = (() => {
  const settings = JSON.parse(document.getElementById("settings").textContent);
  const kinds = {}, tables = {}, drawn = new Map();
  const STEPS = [0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400];
  const step = (seconds, width) => STEPS.find((item) => (seconds / item) * 90 < width) || STEPS[STEPS.length - 1];

  const data = (element) => JSON.parse(document.getElementById(element.dataset.from).textContent);
  const escape = (text) => String(text).replace(/[&<>"']/g, (sign) => `&#${sign.charCodeAt(0)};`);
  const colours = () => {
    const style = getComputedStyle(document.documentElement);
    const read = (name) => style.getPropertyValue(name).trim();
    return { ink: read("--ink"), quiet: read("--quiet"), line: read("--line"), page: read("--card"), accent: read("--accent"), shade: read("--shade") };
  };
  const time = (seconds) => {
    const tenths = Math.round(seconds * 10), whole = Math.floor(tenths / 10), two = (n) => String(n).padStart(2, "0");
    const hours = Math.floor(whole / 3600), minutes = Math.floor(whole / 60) % 60;
    const text = hours ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`;
    return tenths % 10 ? `${text}.${tenths % 10}` : text;
  };
  const value = (name, number) => {
    if (number === null) return "–";
    if (name === "valence") return (number < 0 ? "−" : "+") + Math.abs(number).toFixed(2);
    if (name === "engagement") return number.toFixed(0);
    if (name === "faces_per_frame") return number.toFixed(1);
    return `${Math.round(number * 100)}%`;
  };

  const interval = (name, low, high) => (name === "valence" ? `${value(name, low)} to ${value(name, high)}` : `${value(name, low).replace("%", "")}–${value(name, high)}`);
  const title = (name) => settings.titles[name] || name.charAt(0).toUpperCase() + name.slice(1);

  function draw(element, width) {
    const state = drawn.get(element) || {};
    drawn.set(element, state);
    const wide = width || element.clientWidth, made = kinds[element.dataset.kind](element, state, wide);
    if (!made) return;
    const { option, height } = made;
    if (height) element.style.height = `${height}px`;
    state.chart ||= echarts.init(element, null, { renderer: "svg" });
    state.chart.resize({ width: wide, height: height || element.clientHeight });
    state.chart.setOption(option, { notMerge: true });
    if (option.dataZoom) {
      state.chart.off("datazoom");
      state.chart.on("datazoom", () => {
        const { startValue, endValue } = state.chart.getOption().dataZoom[0];
        state.chart.setOption({ xAxis: option.xAxis.map(() => ({ interval: step(endValue - startValue, wide - 120) })) });
      });
    }
  }

  return {
    settings, data, escape, colours, time, value, interval, step, title, draw,
    register: (kind, option) => { kinds[kind] = option; },
    registerTable: (kind, table) => { tables[kind] = table; },
    table: (element) => tables[element.dataset.kind](element),
    redraw: (width) => { for (const element of drawn.keys()) if (element.clientWidth || width) draw(element, width); },
  };
})();
