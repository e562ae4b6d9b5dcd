"use strict";
// What the reader does: switch the theme, sort and search tables, open a video, print.
(() => {
  const root = document.documentElement;
  const dark = () => (root.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";

  const button = document.getElementById("theme");
  const label = () => { button.textContent = dark() ? "Light" : "Dark"; button.setAttribute("aria-label", `Switch to ${dark() ? "light" : "dark"} colours`); };
  button.hidden = false;
  label();
  button.addEventListener("click", () => {
    root.dataset.theme = dark() ? "light" : "dark";
    try { localStorage.setItem("fer-batch-theme", root.dataset.theme); } catch { /* It holds for this visit. */ }
    label();
    feCharts.redraw();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { label(); feCharts.redraw(); });

  // Charts are made when they come into view; a closed video never does.
  const charts = document.querySelectorAll(".chart");
  const watcher = new IntersectionObserver((seen) => {
    for (const item of seen) if (item.isIntersecting) { watcher.unobserve(item.target); feCharts.draw(item.target); }
  }, { rootMargin: "400px" });
  charts.forEach((chart) => watcher.observe(chart));
  let waiting = null;
  addEventListener("resize", () => { clearTimeout(waiting); waiting = setTimeout(() => feCharts.redraw(), 150); });

  // A link to a video opens it.
  function openTarget() {
    const target = location.hash.startsWith("#video-") && document.getElementById(location.hash.slice(1));
    if (!target) return;
    target.open = true;
    target.scrollIntoView();
    target.querySelector("summary").focus({ preventScroll: true });
  }
  addEventListener("hashchange", openTarget);
  document.querySelectorAll('a[href^="#video-"]').forEach((link) => link.addEventListener("click", () => setTimeout(openTarget)));
  openTarget();

  document.querySelectorAll("details.data[data-of]").forEach((details) => {
    details.addEventListener("toggle", () => {
      const place = details.querySelector(".scroll");
      if (details.open && !place.childElementCount) place.append(feCharts.table(document.getElementById(details.dataset.of)));
    });
  });

  // Numbers by size, text by letters; what is unknown comes last either way.
  const letters = new Intl.Collator(undefined, { numeric: true });
  document.addEventListener("click", (event) => {
    const button = event.target.closest("table.sorted thead button");
    if (!button) return;
    const head = button.closest("th"), body = button.closest("table").tBodies[0], numbers = head.classList.contains("number");
    const rising = head.getAttribute("aria-sort") === "none" ? !numbers : head.getAttribute("aria-sort") === "descending";
    for (const other of head.parentElement.children) other.setAttribute("aria-sort", "none");
    head.setAttribute("aria-sort", rising ? "ascending" : "descending");
    const sign = rising ? 1 : -1;
    const rows = [...body.rows].map((row) => ({ row, key: row.cells[head.cellIndex].dataset.sort }));
    rows.sort((a, b) => {
      if (!a.key || !b.key) return (a.key ? 0 : 1) - (b.key ? 0 : 1);
      return sign * (numbers ? a.key - b.key : letters.compare(a.key, b.key));
    });
    body.append(...rows.map((item) => item.row));
  });

  document.querySelectorAll("[data-table]").forEach((find) => find.addEventListener("input", () => {
    const wanted = find.value.toLowerCase(), rows = [...document.getElementById(find.dataset.table).tBodies[0].rows];
    for (const row of rows) row.hidden = !row.cells[0].textContent.toLowerCase().includes(wanted);
    find.closest(".find").querySelector("[role=status]").textContent = wanted ? `${rows.filter((row) => !row.hidden).length} of ${rows.length}` : "";
  }));

  // Paper is light and narrower; a few videos are opened for it, hundreds are not.
  const MOST_PRINTED = 12, PAPER = 680;
  let before = null;
  addEventListener("beforeprint", () => {
    if (before) return;
    const videos = [...document.querySelectorAll("details.video")];
    before = { theme: root.dataset.theme, opened: videos.length <= MOST_PRINTED ? videos.filter((item) => !item.open) : [] };
    root.dataset.theme = "light";
    for (const item of before.opened) item.open = true;
    charts.forEach((chart) => { if (!chart.closest("details:not([open])")) feCharts.draw(chart, PAPER); });
  });
  addEventListener("afterprint", () => {
    if (!before) return;
    if (before.theme) root.dataset.theme = before.theme; else delete root.dataset.theme;
    for (const item of before.opened) item.open = false;
    before = null;
    feCharts.redraw();
  });
})();
