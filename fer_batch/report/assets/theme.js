"use strict";
// Before anything is drawn, or a dark page would flash white.
(() => {
  let chosen = null;
  try { chosen = localStorage.getItem("fer-batch-theme"); } catch { /* Some browsers keep nothing for files. */ }
  if (chosen === "dark" || chosen === "light") document.documentElement.dataset.theme = chosen;
})();
