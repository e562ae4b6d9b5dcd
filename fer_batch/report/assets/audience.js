"use strict";
// The audience: curves of a stimulus with intervals, bands and segments, and the forest plot of contrasts.
(() => {
  const { settings, data, escape, colours, time, value, interval, step, title } = feCharts;
  const ENDS = { interval: [1, 2], band: [3, 4] };
  const PERCENT = (name) => name !== "valence" && name !== "engagement";
  const chosen = (element, name) => element.closest(".audience").querySelector(`[name="${name}"]`);
  const style = (index, shade) => {
    const of = settings.groups[index % settings.groups.length];
    return { colour: of[shade], dash: of.dash.length ? of.dash : "solid" };
  };
  const difference = (name, number) => {
    if (number === null) return "–";
    const size = Math.abs(name === "valence" || name === "engagement" ? number : 100 * number);
    const text = size.toFixed(name === "valence" ? 2 : size < 9.95 ? 1 : 0);
    return (number < 0 && Number(text) ? "−" : "+") + text;
  };
  const probability = (p) => (p === null ? "–" : p < 0.001 ? "< 0.001" : p.toFixed(3));

  function decodeCurves(raw) {
    const scaled = (column, scale) => column && column.map((number) => (number === null ? null : number / scale));
    return raw.curves.map((curve) => ({
      ...curve,
      start: scaled(curve.start, 100),
      middle: curve.start.map((start) => start / 100 + curve.width / 2),
      values: Object.fromEntries(Object.entries(curve.values).map(([name, columns]) => [name, columns.map((column) => scaled(column, curve.scales[name]))])),
    }));
  }

  // The areas between two columns, as polygons between gaps.
  function area(curve, low, high, axis, colour, opacity) {
    const runs = [];
    let run = null;
    curve.middle.forEach((at, i) => {
      if (!low || low[i] === null) { run = null; return; }
      if (!run) runs.push(run = []);
      run.push([at, low[i], high[i]]);
    });
    return {
      type: "custom", xAxisIndex: axis, yAxisIndex: axis, silent: true, clip: true, z: 1, animation: false, tooltip: { show: false },
      data: runs.length ? [[curve.middle[0], 0]] : [],
      renderItem: (_, api) => ({
        type: "group",
        children: runs.map((points) => ({
          type: "polygon", style: { fill: colour, opacity },
          shape: { points: [...points.map((p) => api.coord([p[0], p[2]])), ...points.map((p) => api.coord([p[0], p[1]])).reverse()] },
        })),
      }),
    };
  }

  // Each respondent's curve as a thin line.
  function lines(strips, name, colourOf) {
    const paths = strips.rows.map((_, row) => {
      const found = [];
      let path = null;
      strips.start.forEach((start, i) => {
        const number = strips.at(name, row, i);
        if (number === null) { path = null; return; }
        if (!path) found.push(path = []);
        path.push([start + strips.width / 2, number]);
      });
      return { found, colour: colourOf(row) };
    });
    return {
      type: "custom", xAxisIndex: 0, yAxisIndex: 0, silent: true, clip: true, z: 2, animation: false, tooltip: { show: false }, data: [[strips.start[0], 0]],
      renderItem: (_, api) => ({
        type: "group",
        children: paths.flatMap(({ found, colour }) => found.map((path) => ({
          type: "polyline", shape: { points: path.map((p) => api.coord(p)) }, style: { stroke: colour, fill: null, lineWidth: 1, opacity: strips.rows.length > 40 ? 0.18 : 0.4 },
        }))),
      }),
    };
  }

  // Segments as shaded areas; labels of overlapping ones lie in rows below each other, and names are cut to fit.
  function segments(raw, from, to, width, c) {
    const ends = [];
    return [...raw.segments].sort((a, b) => a.start - b.start).filter((segment) => segment.end > from && segment.start < to).map((segment, i) => {
      const start = Math.max(segment.start, from), end = Math.min(segment.end, to);
      const room = Math.floor((((end - start) / (to - from)) * width - 8) / 6.6);
      let row = ends.findIndex((last) => last <= start + 1e-6);
      if (row < 0) row = ends.length;
      ends[row] = end;
      const name = segment.name.length <= room ? segment.name : room > 3 ? `${segment.name.slice(0, room - 1)}…` : "";
      const rest = segment.name === "baseline";
      return [
        { xAxis: start, name, itemStyle: { color: rest ? c.accent : c.ink, opacity: rest ? 0.12 : i % 2 ? 0.09 : 0.045 }, label: { show: Boolean(name), position: "insideTopLeft", distance: 4, offset: [0, 15 * row], color: c.quiet, fontSize: 11, opacity: 1 } },
        { xAxis: end },
      ];
    });
  }

  // The step of 1, 2 or 5 times a power of ten at or above a number.
  function nice(number) {
    const power = Math.pow(10, Math.floor(Math.log10(number)));
    return power * [1, 2, 5, 10].find((factor) => factor * power >= number * 0.999);
  }

  function bounds(numbers, name) {
    const known = numbers.filter((number) => number !== null && number !== undefined);
    if (!known.length) return name === "engagement" ? [0, 100, 20] : [0, 1, 0.2];
    let [low, high] = [known.reduce((a, b) => Math.min(a, b)), known.reduce((a, b) => Math.max(a, b))];
    if (PERCENT(name)) low = 0;
    const room = (high - low || 0.1) * 0.04, unit = nice((high - low + 2 * room) / 5);
    const [least, most] = name === "valence" ? [-1, 1] : [0, name === "engagement" ? 100 : 1];
    low = Math.max(least, Math.floor((low - (PERCENT(name) ? 0 : room)) / unit) * unit);
    return [low, Math.min(most, Math.ceil((high + room) / unit) * unit), unit];
  }

  function tip(curves, name, factor, raw) {
    return (params) => {
      if (!params.length) return "";
      const at = params[0].axisValue;
      const first = curves[0], i = Math.max(0, first.start.findLastIndex((start) => start <= at));
      const rows = curves.map((curve) => {
        const columns = curve.values[name].map((column) => (column ? column[i] ?? null : null));
        const range = columns[1] === null ? "" : `<small>${interval(name, columns[1], columns[2])}</small>`;
        const wide = columns[3] === null ? "" : `<small>${interval(name, columns[3], columns[4])}</small>`;
        return `<tr><th>${escape(factor ? curve.value : title(name))}</th><td>${value(name, columns[0])}</td><td>${range}</td><td>${wide}</td><td>${curve.respondents[i]}</td></tr>`;
      });
      const names = raw.segments.filter((segment) => at >= segment.start && at < segment.end).map((segment) => escape(segment.name));
      const caption = `${time(first.start[i])}–${time(first.start[i] + first.width)}${names.length ? ` · ${names.join(", ")}` : ""}`;
      return `<table class="tip"><caption>${caption}</caption><tr><th></th><td>mean</td><td>interval</td><td>band</td><td>respondents</td></tr>${rows.join("")}</table>`;
    };
  }

  function curveOption(element, state, width) {
    const raw = state.raw ||= data(element), c = colours(), all = state.curves ||= decodeCurves(raw);
    const name = chosen(element, "measure").value, factor = chosen(element, "factor")?.value || null, shading = chosen(element, "shading").value;
    const curves = all.filter((curve) => curve.factor === factor), strips = feCharts.strips(element);
    const narrow = width < 560, left = 46, right = narrow ? 10 : 24, top = factor ? 40 : 10, height = narrow ? 220 : 300, plot = width - left - right;
    const from = Math.min(...curves.map((curve) => curve.start[0])), to = Math.max(...curves.map((curve) => curve.start[curve.start.length - 1] + curve.width));
    const colour = (index) => (factor ? style(index, c.shade) : { colour: c.accent, dash: "solid" });
    const shown = shading === "auto" ? (factor ? (curves.length > 2 ? [] : ["interval"]) : ["band", "interval"]) : shading === "both" ? ["band", "interval"] : [shading].filter((kind) => ENDS[kind]);
    const respondents = strips && chosen(element, "lines")?.checked;
    const reference = raw.reference.values[name] ?? null;
    const numbers = curves.flatMap((curve) => [curve.values[name][0], ...shown.flatMap((kind) => ENDS[kind].map((end) => curve.values[name][end]))].flatMap((column) => column || []));
    if (respondents) strips.rows.forEach((_, row) => strips.start.forEach((_, i) => numbers.push(strips.at(name, row, i))));
    const [min, max, unit] = bounds([...numbers, reference], name), series = [];
    curves.forEach((curve, index) => {
      const { colour: ink, dash } = colour(index), [mean] = curve.values[name];
      for (const kind of shown) series.push(area(curve, curve.values[name][ENDS[kind][0]], curve.values[name][ENDS[kind][1]], 0, ink, kind === "band" ? 0.13 : 0.24));
      series.push({ type: "line", name: factor ? curve.value : title(name), xAxisIndex: 0, yAxisIndex: 0, z: 4, animation: false, showSymbol: curve.middle.length < 3, symbolSize: 5, connectNulls: false, data: curve.middle.map((at, i) => [at, mean ? mean[i] : null]), lineStyle: { color: ink, width: 2.2, type: dash }, itemStyle: { color: ink }, emphasis: { disabled: true } });
      series.push({ type: "line", name: `n ${index}`, xAxisIndex: 1, yAxisIndex: 1, step: "middle", showSymbol: false, animation: false, data: curve.middle.map((at, i) => [at, curve.respondents[i]]), lineStyle: { color: ink, width: 1.5, type: dash }, areaStyle: factor ? undefined : { color: ink, opacity: 0.15 }, emphasis: { disabled: true }, tooltip: { show: false } });
    });
    if (respondents) {
      const values = factor ? curves.map((curve) => curve.value) : [], of = factor ? strips.groups[factor] : null;
      series.push(lines(strips, name, (row) => (factor ? style(Math.max(0, values.indexOf(of[row])), c.shade).colour : c.quiet)));
    }
    series.push({
      type: "line", name: "segments", xAxisIndex: 0, yAxisIndex: 0, data: [], silent: true, z: 0, animation: false,
      markArea: { silent: true, data: segments(raw, from, to, plot, c) },
      markLine: reference === null ? undefined : { silent: true, symbol: "none", animation: false, lineStyle: { color: c.quiet, type: [4, 4], width: 1 }, label: { formatter: raw.reference.name, position: "insideEndBottom", color: c.quiet, fontSize: 11 }, data: [{ yAxis: reference }] },
    });
    const moments = factor ? [] : raw.moments[name] || [];
    series.push({
      type: "custom", xAxisIndex: 0, yAxisIndex: 0, silent: true, clip: true, z: 5, animation: false, tooltip: { show: false }, data: moments.map((span) => [span.start, span.end]), encode: { x: [0, 1] },
      renderItem: (_, api) => {
        const [x, y] = api.coord([api.value(0), min]), [end] = api.coord([api.value(1), min]);
        return { type: "rect", shape: { x, y: y - 5, width: Math.max(2, end - x), height: 5 }, style: { fill: c.accent } };
      },
    });
    const axis = (index, last) => ({ gridIndex: index, type: "value", min: from, max: to, interval: step(to - from, plot), axisLine: { lineStyle: { color: c.line }, onZero: false }, axisTick: { show: last }, splitLine: { show: false }, axisLabel: { show: last, color: c.quiet, formatter: time, hideOverlap: true, showMaxLabel: false }, axisPointer: { label: { show: false } } });
    const most = Math.max(1, ...curves.flatMap((curve) => curve.respondents));
    return {
      height: top + height + 20 + 48 + 62 + 10,
      option: {
        aria: { enabled: false }, animation: false, textStyle: { fontFamily: "inherit", color: c.ink }, backgroundColor: "transparent",
        legend: { show: Boolean(factor), type: "scroll", top: 0, left: left - 6, data: factor ? curves.map((curve) => curve.value) : [], textStyle: { color: c.ink }, itemWidth: 34, inactiveColor: c.line, pageTextStyle: { color: c.quiet } },
        title: [{ text: "Respondents with a face", left: 0, top: top + height + 10, textStyle: { fontSize: 12, fontWeight: 600, color: c.quiet } }],
        grid: [{ left, right, top, height }, { left, right, top: top + height + 34, height: 44 }],
        xAxis: [axis(0, false), axis(1, true)],
        yAxis: [
          { gridIndex: 0, type: "value", min, max, interval: unit, axisLabel: { color: c.quiet, showMinLabel: true, formatter: (v) => (PERCENT(name) ? `${Math.round(v * 100)}%` : String(+v.toFixed(2)).replace("-", "−")) }, splitLine: { lineStyle: { color: c.line } }, axisPointer: { show: false } },
          { gridIndex: 1, type: "value", min: 0, max: most, interval: most, axisLabel: { color: c.quiet, formatter: (v) => String(Math.round(v)) }, splitLine: { lineStyle: { color: c.line } }, axisPointer: { show: false } },
        ],
        axisPointer: { link: [{ xAxisIndex: "all" }], lineStyle: { color: c.quiet } },
        tooltip: { trigger: "axis", confine: true, formatter: tip(curves, name, factor, raw), backgroundColor: c.page, borderColor: c.line, textStyle: { color: c.ink, fontSize: 12 } },
        series,
        dataZoom: curves[0].middle.length > 40 ? [{ type: "slider", xAxisIndex: "all", filterMode: "none", bottom: 6, height: 18, left, right, showDataShadow: false, labelFormatter: time, textStyle: { color: c.quiet }, borderColor: c.line, brushSelect: false }] : undefined,
      },
    };
  }

  const measureOf = (element) => chosen(element, "measure").value + (chosen(element, "compare")?.value === "change" ? "_change" : "");
  const versus = (row) => `${row.value_a} − ${row.value_b}`;

  function forestOption(element, state, width) {
    const c = colours(), all = state.raw ||= data(element), measure = measureOf(element), name = measure.replace("_change", "");
    const rows = all.filter((row) => row.measure === measure && row.difference !== null);
    const several = new Set(rows.map(versus)).size > 1, narrow = width < 560, room = Math.min(300, width * (narrow ? 0.42 : 0.3)), right = narrow ? 12 : 190;
    const label = (row) => (several || !row.segment ? `${row.segment || "whole stimulus"}: ${versus(row)}` : row.segment);
    const far = Math.max(0, ...rows.flatMap((row) => [row.difference, row.difference_low ?? 0, row.difference_high ?? 0].map(Math.abs))) || 1;
    const unit = nice(far / 2.5), most = Math.ceil((far * 1.02) / unit) * unit, font = getComputedStyle(element).fontFamily;
    const sure = (row) => row.p_adjusted !== null && row.p_adjusted < settings.alpha;
    const cut = (text, length) => (text.length <= length ? text : `${text.slice(0, length - 1)}…`);
    const range = (row) => (row.difference_low === null ? settings.few : `${difference(name, row.difference_low)} to ${difference(name, row.difference_high)}`);
    return {
      height: 64 + 30 * Math.max(1, rows.length),
      option: {
        aria: { enabled: false }, animation: false, textStyle: { fontFamily: "inherit", color: c.ink },
        title: rows.length ? [] : [{ text: "No contrast of this measure", left: "center", top: 12, textStyle: { color: c.quiet, fontSize: 13, fontWeight: 400 } }],
        grid: { left: room + 12, right, top: 6, bottom: 52, outerBoundsMode: "none" },
        xAxis: { show: rows.length > 0, type: "value", min: -most, max: most, interval: unit, name: `Difference in ${title(name).toLowerCase()}${measure === name ? "" : ", change"}${PERCENT(name) ? (narrow ? " (points)" : " (percentage points)") : ""}`, nameLocation: "middle", nameGap: 28, nameTextStyle: { color: c.quiet, width: width - room - right - 10, overflow: "truncate" }, axisLabel: { color: c.quiet, hideOverlap: true, formatter: (v) => (v === 0 ? "0" : difference(name, v)) }, splitLine: { lineStyle: { color: c.line } } },
        yAxis: { type: "category", inverse: true, data: rows.map(label), axisTick: { show: false }, axisLine: { onZero: true, lineStyle: { color: c.quiet } }, axisLabel: { show: false } },
        tooltip: { confine: true, backgroundColor: c.page, borderColor: c.line, textStyle: { color: c.ink, fontSize: 12 }, formatter: (at) => { const row = rows[at.dataIndex]; return row ? `${escape(row.segment || "whole stimulus")}<br>${escape(row.factor)}: ${escape(versus(row))}<br>${difference(name, row.difference)} (${range(row)})<br>Hedges' g ${row.hedges_g === null ? "–" : row.hedges_g.toFixed(2)}, adjusted p ${probability(row.p_adjusted)}<br>${row.respondents_a} and ${row.respondents_b} respondents, ${row.paired ? "paired" : "Welch"}` : ""; } },
        series: [
          {
            type: "custom", data: rows.map((row, i) => [row.difference_low, row.difference_high, i]), silent: true, tooltip: { show: false }, encode: { x: [0, 1], y: 2 }, z: 2,
            renderItem: (params, api) => {
              const row = rows[params.dataIndex], [x0, y] = api.coord([-most, params.dataIndex]), [x1] = api.coord([most, params.dataIndex]);
              const text = (x, words, align, ink) => ({ type: "text", x, y, style: { text: words, textAlign: align, textVerticalAlign: "middle", fill: ink, fontSize: 12, fontFamily: font } });
              const children = [text(0, cut(label(row), Math.floor(room / 6.6)), "left", c.ink)];
              if (!narrow) children.push(text(x1 + 14, `${difference(name, row.difference)} (${range(row)})${sure(row) ? " *" : ""}`, "left", sure(row) ? c.ink : c.quiet));
              if (row.difference_low !== null) {
                const [low] = api.coord([row.difference_low, params.dataIndex]), [high] = api.coord([row.difference_high, params.dataIndex]);
                const line = (a, b) => ({ type: "line", shape: { x1: a[0], y1: a[1], x2: b[0], y2: b[1] }, style: { stroke: c.accent, lineWidth: 2.4, opacity: sure(row) ? 1 : 0.55 } });
                children.push(line([low, y], [high, y]), line([low, y - 5], [low, y + 5]), line([high, y - 5], [high, y + 5]));
              }
              return { type: "group", children, x: 0, info: x0 };
            },
          },
          { type: "scatter", symbol: "rect", symbolSize: 11, z: 3, data: rows.map((row, i) => ({ value: [row.difference, i], itemStyle: { color: sure(row) ? c.accent : c.page, borderColor: c.accent, borderWidth: 2, opacity: 1 } })) },
        ],
      },
    };
  }

  function contrastTable(element) {
    const table = document.createElement("table");
    table.className = "sorted";
    table.createCaption().textContent = "All contrasts; press a heading to sort";
    const columns = [["Segment", "text"], ["Measure", "text"], ["Difference of", "text"], ["Difference", "number"], ["Interval", "number"], ["Hedges’ g", "number"], ["p", "number"], ["Adjusted p", "number"], ["Respondents", "number"], ["Test", "text"]];
    const head = table.createTHead().insertRow();
    for (const [text, kind] of columns) {
      const cell = document.createElement("th"), button = document.createElement("button");
      cell.scope = "col";
      cell.className = kind;
      cell.setAttribute("aria-sort", "none");
      button.type = "button";
      button.textContent = text;
      cell.append(button);
      head.append(cell);
    }
    const body = table.createTBody();
    for (const row of data(element)) {
      const line = body.insertRow(), name = row.measure.replace("_change", "");
      const cells = [
        [row.segment || "whole stimulus"], [title(name) + (name === row.measure ? "" : ", change")], [`${row.factor}: ${versus(row)}`], [difference(name, row.difference), row.difference],
        [row.difference_low === null ? settings.few : `${difference(name, row.difference_low)} to ${difference(name, row.difference_high)}`, row.difference_low],
        [row.hedges_g === null ? "–" : row.hedges_g.toFixed(2).replace("-", "−"), row.hedges_g], [probability(row.p), row.p], [probability(row.p_adjusted), row.p_adjusted], [`${row.respondents_a}, ${row.respondents_b}`, row.respondents_a], [row.paired ? "paired" : "Welch"],
      ];
      cells.forEach(([text, key], i) => {
        const cell = line.insertCell();
        cell.className = columns[i][1];
        cell.textContent = text;
        cell.dataset.sort = key === undefined ? text : key ?? "";
      });
    }
    return table;
  }

  feCharts.register("curve", curveOption);
  feCharts.register("forest", forestOption);
  feCharts.registerTable("forest", contrastTable);
  document.querySelectorAll(".audience").forEach((section) => section.addEventListener("change", (event) => {
    if (event.target.matches("select, input[type=checkbox]")) section.querySelectorAll(".chart").forEach((chart) => { if (chart.childElementCount) feCharts.draw(chart); });
  }));
})();
