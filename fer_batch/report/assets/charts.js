"use strict";
// A video's measures over one time axis, and the comparison of the videos.
(() => {
  const { settings, data, escape, colours, time, value, interval, step } = feCharts;
  const PANELS = [
    { name: "emotions", title: "Apparent expressions", height: 220, min: 0, max: 1, percent: true, ticks: 0.25 },
    { name: "valence", title: "Valence", height: 84, min: -1, max: 1, ticks: 1 },
    { name: "engagement", title: "Engagement", height: 84, min: 0, max: 100, ticks: 50 },
    { name: "face_presence", title: "Face presence", height: 56, min: 0, max: 1, percent: true, ticks: 1 },
    { name: "faces_per_frame", title: "Faces in frames with a face", height: 70, min: 0 },
  ];
  const TITLE = 30, FOOT = 70;

  // The numbers of a video, in seconds and in each measure's own unit.
  function decode(raw) {
    const scaled = (column, scale) => column.map((value) => (value === null ? null : value / scale));
    const values = {};
    for (const [name, columns] of Object.entries(raw.values)) values[name] = columns.map((c) => scaled(c, raw.scales[name]));
    const start = scaled(raw.start, 100), end = scaled(raw.end, 100);
    return { ...raw, start, end, time: start.map((from, i) => (from + end[i]) / 2), values };
  }

  // Emotions shown at first: the three that are strongest on average, and what rises above a quarter somewhere.
  function prominent(series) {
    const mean = (column) => { const known = column.filter((v) => v !== null); return known.length ? known.reduce((a, b) => a + b, 0) / known.length : 0; };
    const by = settings.labels.map((name) => ({ name, mean: mean(series.values[name][0]), most: Math.max(0, ...series.values[name][0]) }));
    const first = [...by].sort((a, b) => b.mean - a.mean).slice(0, 3).map((item) => item.name);
    return new Set(by.filter((item) => first.includes(item.name) || item.most > 0.25).map((item) => item.name));
  }

  // Points of a line, with a break where windows do not follow each other.
  function points(series, column) {
    const found = [];
    series.time.forEach((at, i) => {
      if (i && !series.frames && series.start[i] > series.end[i - 1] + 0.02) found.push([series.end[i - 1], null]);
      found.push([at, column[i]]);
    });
    return found;
  }
  const alone = (list, i) => list[i][1] !== null && (!list[i - 1] || list[i - 1][1] === null) && (!list[i + 1] || list[i + 1][1] === null);

  // The interval around a line, as polygons between breaks; a single point gets a bar.
  function band(series, name, axis, label, colour) {
    const [, low, high] = series.values[name], runs = [];
    let run = [];
    series.time.forEach((at, i) => {
      const follows = !i || series.frames || series.start[i] <= series.end[i - 1] + 0.02;
      if (low[i] === null || !follows) { if (run.length) runs.push(run); run = []; }
      if (low[i] !== null) run.push([at, low[i], high[i]]);
    });
    if (run.length) runs.push(run);
    const shape = (api, item) => {
      const up = item.map((p) => api.coord([p[0], p[2]])), down = item.map((p) => api.coord([p[0], p[1]])).reverse();
      if (item.length > 1) return [...up, ...down];
      const [[x, top], [, bottom]] = [up[0], down[0]];
      return [[x - 1, top], [x + 1, top], [x + 1, bottom], [x - 1, bottom]];
    };
    return {
      type: "custom", name: label, xAxisIndex: axis, yAxisIndex: axis, silent: true, clip: true, z: 1, animation: false,
      data: runs.length ? [[series.time[0], 0]] : [], tooltip: { show: false },
      renderItem: (_, api) => ({
        type: "group",
        children: runs.map((item) => ({ type: "polygon", shape: { points: shape(api, item) }, style: { fill: colour, opacity: 0.2 } })),
      }),
    };
  }

  function line(series, name, axis, label, colour, dash, area) {
    const list = points(series, series.values[name][0]);
    return {
      type: "line", name: label, xAxisIndex: axis, yAxisIndex: axis, data: list, clip: true, animation: false, z: 3, connectNulls: false,
      step: series.frames && area ? "middle" : false, showSymbol: true, symbol: "circle", symbolSize: (_, at) => (alone(list, at.dataIndex) || (list.length < 16 && list[at.dataIndex][1] !== null) ? 6 : 0),
      lineStyle: { color: colour, width: 2, type: dash.length ? dash : "solid" }, itemStyle: { color: colour },
      areaStyle: area ? { color: colour, opacity: 0.15 } : undefined, emphasis: { disabled: true },
    };
  }

  // How far the names at the ends of the lines have to move so that none covers another, in pixels.
  function apart(series, shown, height) {
    const ends = [...shown].map((name) => ({ name, at: (1 - (series.values[name][0].findLast((value) => value !== null) ?? 0)) * height })).sort((a, b) => a.at - b.at);
    let free = -Infinity;
    for (const end of ends) { end.to = Math.max(end.at, free); free = end.to + 13; }
    let most = height;
    for (const end of ends.reverse()) { end.to = Math.min(end.to, most); most = end.to - 13; }
    return Object.fromEntries(ends.map((end) => [end.name, end.to - end.at]));
  }

  function marks(series, panel, ink) {
    return {
      silent: true, itemStyle: { color: ink, opacity: 0.07 },
      label: { show: panel === 0, position: "insideTop", color: ink, fontWeight: 600, opacity: 1 },
      data: series.marks.map((mark, i) => [{ xAxis: mark.start, name: String(i + 1) }, { xAxis: mark.end }]),
    };
  }

  function tip(series, shown) {
    return (params) => {
      const at = params.length ? params[0].axisValue : null;
      if (at === null) return "";
      let i = 0;
      series.time.forEach((middle, j) => { if (Math.abs(middle - at) < Math.abs(series.time[i] - at)) i = j; });
      const row = (name, title) => {
        const [mean, low, high] = series.values[name].map((column) => column[i]);
        const range = low === null ? "" : `<small>${interval(name, low, high)}</small>`;
        return `<tr><th>${escape(title)}</th><td>${value(name, mean)}</td><td>${range}</td></tr>`;
      };
      const when = series.frames ? time(series.time[i]) : `${time(series.start[i])}–${time(series.end[i])}`;
      const rows = settings.labels.filter((name) => shown.has(name)).map((name) => row(name, name));
      for (const panel of PANELS.slice(1)) rows.push(row(panel.name, panel.title));
      return `<table class="tip"><caption>${when}</caption>${rows.join("")}</table>`;
    };
  }

  function videoOption(series, shown, width) {
    const c = colours(), narrow = width < 560, right = narrow ? 12 : 74, empty = series.values.face_presence[0].every((v) => !v);
    const panels = empty ? PANELS.filter((panel) => panel.name === "face_presence") : PANELS;
    const option = {
      aria: { enabled: false }, animation: false, textStyle: { fontFamily: "inherit", color: c.ink }, backgroundColor: "transparent",
      title: [], grid: [], xAxis: [], yAxis: [], series: [], legend: { show: false },
      axisPointer: { link: [{ xAxisIndex: "all" }], lineStyle: { color: c.quiet } },
      tooltip: { trigger: "axis", confine: true, formatter: tip(series, shown), backgroundColor: c.page, borderColor: c.line, textStyle: { color: c.ink, fontSize: 12 }, axisPointer: { type: "line" } },
    };
    const from = Math.min(0, ...series.start) || (series.start[0] > 60 ? series.start[0] : 0);
    const to = Math.max(series.frames ? series.duration || 0 : 0, series.end[series.end.length - 1] || 0) || 1;
    const until = series.frames || !series.duration ? to : Math.min(to, Math.max(series.duration, series.time[series.time.length - 1]));
    let top = 0;
    panels.forEach((panel, axis) => {
      const last = axis === panels.length - 1;
      option.title.push({ text: panel.title, left: 0, top, textStyle: { fontSize: 13, fontWeight: 600, color: c.ink } });
      option.grid.push({ left: 44, right, top: top + TITLE, height: panel.height });
      option.xAxis.push({
        gridIndex: axis, type: "value", min: from, max: until, interval: step(until - from, width - 44 - right), axisLine: { lineStyle: { color: c.line }, onZero: false }, axisTick: { show: last }, splitLine: { show: false },
        axisLabel: { show: last, color: c.quiet, formatter: time, hideOverlap: true, showMaxLabel: false }, axisPointer: { label: { show: false } },
      });
      const most = panel.max ?? Math.max(1, Math.ceil(Math.max(...series.values.faces_per_frame[0])));
      option.yAxis.push({
        gridIndex: axis, type: "value", min: panel.min, max: most, interval: panel.ticks ?? (most > 3 ? Math.ceil(most / 2) : 1),
        axisLabel: { color: c.quiet, formatter: (v) => (panel.percent ? `${Math.round(v * 100)}%` : String(+v.toFixed(1)).replace("-", "−")) }, splitLine: { lineStyle: { color: c.line } }, axisPointer: { show: false },
      });
      const own = [];
      if (panel.name === "emotions") {
        const moved = apart(series, shown, panel.height);
        for (const name of settings.labels) {
          const style = settings.styles[name];
          own.push(line(series, name, axis, name, style[c.shade], style.dash));
          own[own.length - 1].endLabel = { show: !narrow, formatter: name, color: c.ink, fontSize: 11, distance: 6, offset: [0, moved[name] || 0] };
          own.push(band(series, name, axis, name, style[c.shade]));
        }
      } else {
        own.push(line(series, panel.name, axis, panel.title, c.accent, [], panel.name === "face_presence" || panel.name === "faces_per_frame"));
        if (panel.name !== "face_presence") own.push(band(series, panel.name, axis, panel.title, c.accent));
      }
      own.push({ type: "line", name: `moments ${axis}`, xAxisIndex: axis, yAxisIndex: axis, data: [], silent: true, markArea: marks(series, axis, c.ink) });
      option.series.push(...own);
      top += TITLE + panel.height + (last ? 0 : 10);
    });
    option.legend.selected = Object.fromEntries(settings.labels.map((name) => [name, shown.has(name)]));
    option.legend.data = settings.labels;
    if (series.time.length > 24) {
      option.dataZoom = [{ type: "slider", xAxisIndex: "all", filterMode: "none", bottom: 6, height: 18, left: 44, right, showDataShadow: false, labelFormatter: time, textStyle: { color: c.quiet }, borderColor: c.line, brushSelect: false }];
      top += 30;
    }
    return { option, height: top + FOOT - 30 };
  }

  function compareOption(rows, width) {
    const c = colours(), room = Math.min(320, width * 0.38);
    return {
      aria: { enabled: false }, animation: false, textStyle: { fontFamily: "inherit", color: c.ink },
      grid: { left: room + 12, right: 40, top: 8, bottom: 48, outerBoundsMode: "none" },
      xAxis: { type: "value", min: 0, max: 100, name: "Engagement, 0 to 100", nameLocation: "middle", nameGap: 28, nameTextStyle: { color: c.quiet }, axisLabel: { color: c.quiet }, splitLine: { lineStyle: { color: c.line } } },
      yAxis: {
        type: "category", inverse: true, data: rows.map((row) => row.path), axisTick: { show: false }, axisLine: { lineStyle: { color: c.line } },
        axisLabel: { color: c.ink, interval: 0, formatter: (path) => shortened(path, Math.floor(room / 7.4)) },
      },
      tooltip: { confine: true, backgroundColor: c.page, borderColor: c.line, textStyle: { color: c.ink }, formatter: (at) => { const row = rows[at.dataIndex]; return `${escape(row.path)}<br>${row.value.toFixed(0)} (${row.low === null ? settings.unsure : interval("engagement", row.low, row.high)})`; } },
      series: [
        {
          type: "custom", data: rows.flatMap((row, i) => (row.low === null ? [] : [[row.low, row.high, i]])), tooltip: { show: false }, silent: true, encode: { x: [0, 1], y: 2 }, z: 2,
          renderItem: (_, api) => {
            const from = api.coord([api.value(0), api.value(2)]), to = api.coord([api.value(1), api.value(2)]);
            return { type: "rect", shape: { x: from[0], y: from[1] - 5, width: Math.max(2, to[0] - from[0]), height: 10, r: 5 }, style: { fill: c.accent, opacity: 0.3 } };
          },
        },
        {
          type: "scatter", symbolSize: 11, z: 3, label: { show: true, position: "right", distance: 8, formatter: (at) => rows[at.dataIndex].value.toFixed(0), color: c.ink },
          data: rows.map((row, i) => ({
            value: [row.value, i],
            itemStyle: row.low === null ? { color: c.page, borderColor: c.quiet, borderWidth: 2, opacity: 1 } : { color: c.accent, opacity: 1 },
            label: { offset: [row.low === null ? 0 : ((row.high - row.value) / 100) * (width - room - 52), 0] },
          })),
        },
      ],
    };
  }
  const shortened = (path, most) => (path.length <= most ? path : `…${path.slice(path.length - most + 1)}`);

  // The buttons that show and hide emotions; they look as the lines do.
  function legend(element, shown, redraw) {
    const place = element.parentElement.querySelector(".legend");
    if (!place || place.childElementCount) return;
    for (const name of settings.labels) {
      const button = document.createElement("button"), style = settings.styles[name];
      button.type = "button";
      button.textContent = name;
      button.setAttribute("aria-pressed", shown.has(name));
      const space = "http://www.w3.org/2000/svg", picture = document.createElementNS(space, "svg"), stroke = document.createElementNS(space, "line");
      for (const [key, value] of Object.entries({ width: 28, height: 10, "aria-hidden": "true" })) picture.setAttribute(key, value);
      for (const [key, value] of Object.entries({ x1: 0, x2: 28, y1: 5, y2: 5, "stroke-width": 3, "stroke-dasharray": style.dash.join(" ") })) stroke.setAttribute(key, value);
      stroke.style.setProperty("--light", style.light);
      stroke.style.setProperty("--dark", style.dark);
      picture.append(stroke);
      button.prepend(picture);
      button.addEventListener("click", () => {
        if (!shown.delete(name)) shown.add(name);
        button.setAttribute("aria-pressed", shown.has(name));
        redraw();
      });
      place.append(button);
    }
  }

  // A video's numbers as a table, for those who can't see the charts.
  function table(element) {
    const series = decode(data(element)), made = document.createElement("table");
    const names = [...settings.labels, ...PANELS.slice(1).map((panel) => panel.name)];
    const titles = { ...Object.fromEntries(PANELS.map((panel) => [panel.name, panel.title])) };
    made.createCaption().textContent = series.frames ? "Values at each sampled frame" : "Values by window, with 95% intervals";
    const cell = (row, kind, text, scope) => { const item = document.createElement(kind); item.textContent = text; item.className = "number"; if (scope) item.scope = scope; row.append(item); };
    const head = made.createTHead().insertRow();
    for (const text of ["Time", ...names.map((name) => titles[name] || name)]) cell(head, "th", text, "col");
    const body = made.createTBody();
    series.time.forEach((at, i) => {
      const row = body.insertRow();
      cell(row, "th", series.frames ? time(at) : `${time(series.start[i])}–${time(series.end[i])}`, "row");
      for (const name of names) {
        const [mean, low, high] = series.values[name].map((column) => column[i]);
        cell(row, "td", value(name, mean) + (low === null ? "" : ` (${interval(name, low, high)})`));
      }
    });
    return made;
  }

  feCharts.register("video", (element, state, width) => {
    state.series ||= decode(data(element));
    state.shown ||= prominent(state.series);
    legend(element, state.shown, () => feCharts.draw(element));
    return videoOption(state.series, state.shown, width);
  });
  feCharts.register("compare", (element, state, width) => ({ option: compareOption(data(element), width) }));
  feCharts.decode = decode;
  feCharts.registerTable("video", table);
})();
