// Runs before the first paint, so that a chosen theme never flashes the other one.  A classic script, because
// modules wait for the document.  The choice is the only thing that outlives the tab.
(function () {
  try {
    const theme = localStorage.getItem("inferd.theme");
    if (theme === "dark" || theme === "light") document.documentElement.dataset.theme = theme;
  } catch {
    // Storage may be forbidden: the system's theme it is.
  }
})();
