// Keeps the live part of a page fresh: fetches it every two seconds while the tab is visible, on
// each change of the search at once, and says so when the engine does not answer.
(() => {
  "use strict";

  const INTERVAL_MS = 2000;
  const TIMEOUT_MS = 5000;
  const TYPING_PAUSE_MS = 150;

  const part = document.querySelector("[data-live]");
  const status = document.querySelector("[data-live-status]");
  const alertBox = document.querySelector("[data-live-alert]");
  const alertText = document.querySelector("[data-live-alert-text]");
  const search = document.querySelector("[data-live-search]");

  let timer = 0;
  let round = 0;
  let shown = null;
  let answeredAt = status.dataset.state === "live" ? new Date() : null;

  function partUrl() {
    const url = new URL(location.href);
    url.searchParams.set("part", "1");
    return url;
  }

  // Rows must not be taken away from somebody who is copying them.
  function isBeingRead() {
    const selection = getSelection();
    return selection !== null && !selection.isCollapsed && part.contains(selection.anchorNode);
  }

  function show(html) {
    if (html === shown || isBeingRead()) return;
    const focused = part.contains(document.activeElement) ? document.activeElement : null;
    const href = focused === null ? null : focused.getAttribute("href");
    part.innerHTML = html;
    shown = html;
    if (href !== null) {
      const same = [...part.querySelectorAll("a")].find((link) => link.getAttribute("href") === href);
      if (same !== undefined) same.focus({ preventScroll: true });
    }
    document.dispatchEvent(new Event("iii:shown"));
  }

  function setState(state, text) {
    if (status.dataset.state !== state) status.dataset.state = state;
    if (status.textContent !== text) status.textContent = text;
  }

  function answered(html) {
    answeredAt = new Date();
    alertBox.hidden = true;
    part.classList.remove("iii-stale");
    setState("live", "Live");
    show(html);
  }

  function away(text) {
    setState("away", "Engine away");
    alertText.textContent =
      answeredAt === null ? text : `${text} Below is what was known at ${answeredAt.toLocaleTimeString()}.`;
    alertBox.hidden = false;
    part.classList.toggle("iii-stale", answeredAt !== null);
  }

  function loggedOut() {
    setState("away", "Logged out");
    const link = document.createElement("a");
    link.href = location.href;
    link.textContent = "Log in again";
    alertText.replaceChildren("You are not logged in any more. ", link);
    alertBox.hidden = false;
  }

  async function refresh() {
    clearTimeout(timer);
    const mine = ++round;
    if (document.hidden) return;
    try {
      const response = await fetch(partUrl(), {
        headers: { "X-Requested-With": "fetch" },
        signal: AbortSignal.timeout(TIMEOUT_MS),
      });
      const html = await response.text();
      if (mine !== round) return; // a newer question has been asked meanwhile
      if (response.redirected) return loggedOut();
      if (response.ok) {
        answered(html);
      } else if (response.status === 503 && answeredAt === null) {
        show(html);
      } else {
        away(response.status === 503 ? "The engine does not answer." : `The console answers ${response.status}.`);
      }
    } catch {
      if (mine !== round) return;
      away("The engine cannot be reached.");
    }
    timer = setTimeout(refresh, INTERVAL_MS);
  }

  function searchAgain() {
    const url = new URL(location.href);
    const wanted = new FormData(search);
    for (const name of ["q", "internal"]) {
      const value = (wanted.get(name) ?? "").trim();
      if (value === "") url.searchParams.delete(name);
      else url.searchParams.set(name, value);
    }
    history.replaceState(null, "", url);
    refresh();
  }

  if (search !== null) {
    search.addEventListener("input", () => {
      clearTimeout(timer);
      timer = setTimeout(searchAgain, TYPING_PAUSE_MS);
    });
    search.addEventListener("submit", (event) => {
      event.preventDefault();
      searchAgain();
    });
    document.addEventListener("keydown", (event) => {
      if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey) return;
      if (event.target.closest("input, textarea, select, [contenteditable]")) return;
      event.preventDefault();
      search.elements.q.focus();
    });
  }
  document.addEventListener("visibilitychange", refresh);
  timer = setTimeout(refresh, INTERVAL_MS);
})();
