"use strict";
// Heat strips on a canvas: a row per respondent or video, time across, the measure as a colour; missing time is hatched.
(() => {
  const { settings, data, colours, time, value, step, title } = feCharts;
  // Viridis; and for values on both sides of 0 purple to orange (ColorBrewer PuOr). Both are safe for colour-blind readers.
  const RISING = ["#440154", "#482878", "#3e4989", "#31688e", "#26828e", "#1f9e89", "#35b779", "#6ece58", "#b5de2b", "#fde725"];
  const BOTH = ["#542788", "#998ec3", "#d8daeb", "#f7f7f7", "#fee0b6", "#f1a340", "#b35806"];
  const MISSING = 255, FOOT = 52, LANE = 13;

  function scale(stops) {
    const rgb = stops.map((text) => [1, 3, 5].map((i) => parseInt(text.slice(i, i + 2), 16)));
    return Array.from({ length: 101 }, (_, i) => {
      const at = (i / 100) * (rgb.length - 1), first = Math.min(rgb.length - 2, Math.floor(at)), share = at - first;
      return `rgb(${rgb[first].map((part, k) => Math.round(part + share * (rgb[first + 1][k] - part))).join(" ")})`;
    });
  }
  const COLOURS = { rising: scale(RISING), both: scale(BOTH) };

  function decode(raw) {
    const levels = {};
    const of = (name) => (levels[name] ||= Uint8Array.from(atob(raw.values[name]), (sign) => sign.charCodeAt(0)));
    const start = raw.start.map((number) => number / 100), columns = start.length;
    return {
      ...raw, start,
      at: (name, row, column) => {
        const level = raw.values[name] ? of(name)[row * columns + column] : MISSING, [low, high] = raw.ranges[name] || [0, 1];
        return level === MISSING ? null : low + (level / raw.levels) * (high - low);
      },
    };
  }

  // Segments in order, each in the first lane that is free when it begins, so that names of overlapping ones lie below
  // each other.
  function lanes(segments, from, to) {
    const ends = [];
    return [...segments].sort((a, b) => a.start - b.start).filter((mark) => mark.end > from && mark.start < to).map((mark) => {
      let lane = ends.findIndex((end) => end <= mark.start + 1e-6);
      if (lane < 0) lane = ends.length;
      ends[lane] = mark.end;
      return { ...mark, lane };
    });
  }

  // The strips of an element's section, or null; the curve chart draws respondents from them.
  const known = new Map();
  feCharts.strips = (element) => {
    const from = element.closest(".audience")?.querySelector('.chart[data-kind="strips"]');
    if (!from) return null;
    if (!known.has(from)) known.set(from, decode(data(from)));
    return known.get(from);
  };

  // Rows to draw: a name, a group or null, and cells with start, end and value (null: missing).
  function audienceRows(element, strips, name) {
    const rows = strips.rows.map((label, row) => ({ label, row, cells: strips.start.map((start, i) => ({ start, end: start + strips.width, value: strips.at(name, row, i) })) }));
    for (const row of rows) {
      const seen = row.cells.filter((cell) => cell.value !== null);
      row.mean = seen.length ? seen.reduce((sum, cell) => sum + cell.value, 0) / seen.length : -Infinity;
    }
    const sort = element.closest(".audience").querySelector('[name="sort"]').value;
    if (sort === "name") return rows.map((row) => ({ ...row, group: null }));
    if (sort === "mean") return rows.sort((a, b) => b.mean - a.mean).map((row) => ({ ...row, group: null }));
    const factor = sort.slice("factor ".length), group = (row) => strips.groups[factor][row.row] ?? `no ${factor}`;
    return rows.map((row) => ({ ...row, group: group(row) })).sort((a, b) => (a.group < b.group ? -1 : a.group > b.group ? 1 : b.mean - a.mean));
  }

  function videoRows(element, state) {
    state.videos ||= [...document.querySelectorAll('details.video .chart[data-kind="video"]')].slice(0, Number(element.dataset.most)).map((chart) => ({ label: chart.closest("details").querySelector("h3").textContent, series: feCharts.decode(data(chart)) }));
    const names = element.dataset.rows ? settings.labels : [state.name];
    const share = document.querySelector('[name="strips-time"]')?.value === "share";
    const rows = state.videos.flatMap(({ label, series }) => names.map((name) => {
      const end = Math.max(series.duration || 0, series.end[series.end.length - 1] || 0) || 1, unit = share ? end / 100 : 1;
      const cells = series.start.map((start, i) => {
        const next = series.frames ? series.start[i + 1] ?? end : series.end[i];
        return { start: start / unit, end: Math.max(next, start) / unit, value: series.values[name][0][i] };
      });
      return { label: element.dataset.rows ? name : label, group: null, cells, missing: end / unit };
    }));
    return { rows, share };
  }

  function hatch(context, c) {
    const tile = document.createElement("canvas");
    tile.width = tile.height = 6;
    const pen = tile.getContext("2d");
    pen.fillStyle = c.page;
    pen.fillRect(0, 0, 6, 6);
    pen.strokeStyle = c.quiet;
    pen.globalAlpha = 0.45;
    pen.beginPath();
    pen.moveTo(-1, 7); pen.lineTo(7, -1); pen.moveTo(-1, 1); pen.lineTo(1, -1); pen.moveTo(5, 7); pen.lineTo(7, 5);
    pen.stroke();
    return context.createPattern(tile, "repeat");
  }

  // The range of the colours: from the 2nd to the 98th percentile, about 0 for valence.
  function domain(rows, name) {
    const seen = rows.flatMap((row) => row.cells.map((cell) => cell.value)).filter((number) => number !== null).sort((a, b) => a - b);
    if (!seen.length) return null;
    const at = (share) => seen[Math.min(seen.length - 1, Math.floor(share * seen.length))];
    let [low, high] = [at(0.02), at(0.98)];
    if (name === "valence") { high = Math.max(Math.abs(low), Math.abs(high), 0.02); low = -high; }
    if (high - low < 1e-6) high = low + (name === "engagement" ? 1 : 0.01);
    return [low, high];
  }

  function draw(element, state, width) {
    const c = colours(), section = element.closest(".audience"), single = element.dataset.rows;
    state.name = single ? "happy" : (section ? section.querySelector('[name="measure"]') : document.querySelector('[name="strips-measure"]')).value;
    let name = state.name, share = false, rows;
    const strips = feCharts.strips(element);
    if (section) {
      if (!strips.values[name]) name = "expressiveness";
      rows = audienceRows(element, strips, name);
    } else ({ rows, share } = videoRows(element, state));
    const groups = new Set(rows.map((row) => row.group)).size, gap = rows.some((row) => row.group !== null) ? 20 : 0;
    const tall = Math.max(2, Math.min(single ? 22 : 20, Math.floor(560 / rows.length))), named = tall >= 11, font = getComputedStyle(element).fontFamily;
    const from = Math.min(...rows.map((row) => row.cells[0]?.start ?? 0)), to = Math.max(...rows.map((row) => Math.max(row.missing || 0, row.cells[row.cells.length - 1]?.end ?? 1)));
    const marks = section ? lanes(data(section.querySelector('.chart[data-kind="curve"]')).segments, from, to) : [];
    const left = named ? Math.min(190, Math.round(width * 0.28)) : 6, right = 10, head = marks.length ? LANE * (1 + Math.max(...marks.map((mark) => mark.lane))) + 5 : 4, height = head + rows.length * tall + gap * groups + FOOT + (width < 480 ? 20 : 0);
    const x = (seconds) => left + ((Math.min(to, Math.max(from, seconds)) - from) / (to - from || 1)) * (width - left - right);

    let canvas = element.querySelector("canvas");
    if (!canvas) {
      canvas = document.createElement("canvas");
      state.tip = document.createElement("div");
      state.tip.className = "tip floating";
      state.tip.hidden = true;
      element.append(canvas, state.tip);
      canvas.addEventListener("mousemove", (event) => point(state, event));
      canvas.addEventListener("mouseleave", () => { state.tip.hidden = true; });
    }
    const ratio = Math.max(2, window.devicePixelRatio || 1);
    canvas.width = width * ratio;
    canvas.height = height * ratio;
    canvas.style.width = `${width}px`;
    canvas.style.height = element.style.height = `${height}px`;
    const pen = canvas.getContext("2d");
    pen.scale(ratio, ratio);
    const missing = hatch(pen, c), range = domain(rows, name), shades = name === "valence" ? COLOURS.both : COLOURS.rising;
    const text = (words, at, y, align = "left", ink = c.quiet, size = 11, weight = 400) => { pen.font = `${weight} ${size}px ${font}`; pen.fillStyle = ink; pen.textAlign = align; pen.textBaseline = "middle"; pen.fillText(words, at, y); };
    const fitted = (words, room) => { pen.font = `400 11px ${font}`; let cut = words; while (cut && pen.measureText(cut).width > room) cut = cut.slice(0, -1); return cut === words ? words : cut.length > 2 ? `${cut.slice(0, -1)}…` : ""; };
    const fittedEnd = (words, room) => { pen.font = `400 11px ${font}`; let cut = words; while (cut && pen.measureText(cut).width > room) cut = cut.slice(1); return cut === words ? words : `…${cut.slice(1)}`; };

    let y = head, group = null;
    state.rows = [];
    for (const row of rows) {
      if (row.group !== group) { text(fitted(row.group, width - left), left, y + gap - 9, "left", c.ink, 11.5, 600); y += gap; group = row.group; }
      pen.fillStyle = missing;
      pen.fillRect(left, y, (row.missing ? x(row.missing) : width - right) - left, tall - (tall > 5 ? 1 : 0));
      for (const cell of row.cells) {
        if (cell.value === null) continue;
        const begin = Math.floor(x(cell.start)), end = Math.max(begin + 1, Math.ceil(x(cell.end)));
        const at = (cell.value - range[0]) / (range[1] - range[0]);
        pen.fillStyle = shades[Math.round(100 * Math.min(1, Math.max(0, at)))];
        pen.fillRect(begin, y, Math.min(end, width - right) - begin, tall - (tall > 5 ? 1 : 0));
      }
      if (named) text(fittedEnd(row.label, left - 14), left - 8, y + tall / 2, "right", c.ink);
      state.rows.push({ ...row, top: y, bottom: y + tall, name: single ? row.label : name });
      y += tall;
    }
    pen.strokeStyle = c.ink;
    for (const mark of marks) {
      pen.globalAlpha = 0.45;
      for (const at of [mark.start, mark.end]) if (at > from && at < to) { pen.beginPath(); pen.moveTo(Math.round(x(at)) + 0.5, head); pen.lineTo(Math.round(x(at)) + 0.5, y); pen.stroke(); }
      pen.globalAlpha = 1;
      const begin = x(mark.start);
      text(fitted(mark.name, x(mark.end) - begin - 4), begin + 2, LANE * (mark.lane + 0.5) + 2);
    }
    const ticks = share ? 25 : step(to - from, width - left - right);
    for (let at = Math.ceil(from / ticks) * ticks; at <= to + 1e-9; at += ticks) if (share || at < to - ticks * 0.3 || at === from) text(share ? `${at}%` : time(at), x(at), y + 12, at <= from ? "left" : share && at === 100 ? "right" : "center");
    state.x = { left, right: width - right, from, to, share };
    const wide = Math.min(150, width * 0.3), below = y + 36, legend = left < 60 || width < 480 ? 6 : left;
    if (range) {
      for (let i = 0; i < wide; i++) { pen.fillStyle = shades[Math.round((100 * i) / wide)]; pen.fillRect(legend + i, below - 6, 1.5, 12); }
      const label = single ? "expressions" : title(name).toLowerCase();
      text(`${value(name, range[0])} to ${value(name, range[1])}${width > 480 ? `, ${label}` : ""}`, legend + wide + 8, below);
    }
    const words = "no face found", room = pen.measureText(words).width;
    pen.fillStyle = missing;
    const start = width < 480 ? legend : width - right - room - 30, line = width < 480 ? below + 20 : below;
    pen.fillRect(start, line - 6, 22, 12);
    text(words, start + 30, line);
    return null;
  }

  function point(state, event) {
    const box = event.target.getBoundingClientRect(), at = event.clientX - box.left, y = event.clientY - box.top, { left, right, from, to, share } = state.x;
    const row = state.rows.find((item) => y >= item.top && y < item.bottom), seconds = from + ((at - left) / (right - left)) * (to - from);
    state.tip.hidden = !row || at < left || at > right;
    if (state.tip.hidden) return;
    const cell = row.cells.find((item) => seconds >= item.start && seconds < item.end);
    state.tip.textContent = `${row.label} · ${share ? `${Math.round(seconds)}%` : time(Math.round(seconds))} · ${cell && cell.value !== null ? `${title(row.name).toLowerCase()} ${value(row.name, cell.value)}` : "no face found"}`;
    state.tip.style.left = `${Math.min(Math.max(0, at + 14), box.width - state.tip.offsetWidth - 4)}px`;
    state.tip.style.top = `${y + 16}px`;
  }

  feCharts.register("strips", draw);
  document.querySelectorAll('[name="strips-measure"], [name="strips-time"]').forEach((control) => control.addEventListener("change", () => feCharts.draw(document.getElementById("strips"))));
})();
