// Says instants as people do ("5 minutes ago", "in 20 seconds") and keeps that true; the whole
// instant stands where the pointer rests. What is to come (`data-relative="next"`) is due once it
// has come, on a page that does not refresh itself, too. Other scripts that put instants into the
// page send the event `iii:shown`.
(() => {
  "use strict";

  const INTERVAL_MS = 1000;
  const UNITS = [["day", 86400], ["hour", 3600], ["minute", 60]];

  const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto" });

  function past(seconds, isNext) {
    if (isNext) return "due";
    const unit = UNITS.find(([, length]) => seconds >= length);
    if (unit === undefined) return "just now";
    return relative.format(-Math.floor(seconds / unit[1]), unit[0]);
  }

  function future(seconds) {
    const unit = UNITS.find(([, length]) => seconds >= length) ?? ["second", 1];
    return relative.format(Math.round(seconds / unit[1]), unit[0]);
  }

  function show() {
    for (const time of document.querySelectorAll("time[data-relative]")) {
      const seconds = (Date.now() - Date.parse(time.dateTime)) / 1000;
      const text = seconds >= 0 ? past(seconds, time.dataset.relative === "next") : future(-seconds);
      if (time.textContent !== text) time.textContent = text;
    }
  }

  document.addEventListener("iii:shown", show);
  show();
  setInterval(show, INTERVAL_MS);
})();
