// Shows what a cron expression means while it is typed: in words, with its next times, or what is
// wrong with it. The console's own reader of expressions answers, so this knows none of its rules.
(() => {
  "use strict";

  const TYPING_PAUSE_MS = 200;
  const TIMEOUT_MS = 5000;

  const preview = document.querySelector("[data-preview]");
  const form = preview.closest("form");
  const fields = [form.elements.expression, form.elements.timezone];

  let timer = 0;
  let round = 0;

  function element(name, className, text) {
    const made = document.createElement(name);
    made.className = className;
    made.textContent = text;
    return made;
  }

  function line(run) {
    const made = document.createElement("li");
    const time = element("time", "", run.local || run.shown_utc);
    made.append(time);
    if (run.local) made.append(element("span", "iii-note", run.shown_utc));
    const away = element("time", "iii-away", "");
    away.dateTime = run.utc;
    away.dataset.relative = "next";
    made.append(away);
    return made;
  }

  function show(answer) {
    if ("error" in answer) {
      const problem = element("p", "iii-preview-error", "");
      const icon = element("span", "material-symbols-outlined", "error");
      icon.setAttribute("aria-hidden", "true");
      problem.append(icon, element("span", "", `${answer.error}.`));
      preview.replaceChildren(problem);
      return;
    }
    const runs = document.createElement("ol");
    runs.className = "iii-runs";
    runs.append(...answer.runs.map(line));
    const none = element("p", "iii-none", "It is never due again.");
    preview.replaceChildren(
      element("p", "iii-words", answer.description),
      answer.runs.length === 0 ? none : runs,
    );
    document.dispatchEvent(new Event("iii:shown"));
  }

  async function ask() {
    const mine = ++round;
    const [expression, timezone] = fields.map((field) => field.value.trim());
    if (expression === "") {
      preview.replaceChildren(element("p", "iii-none", preview.dataset.empty));
      return;
    }
    const url = new URL(preview.dataset.preview, location.href);
    url.searchParams.set("expression", expression);
    url.searchParams.set("timezone", timezone);
    let answer;
    try {
      const response = await fetch(url, {
        headers: { Accept: "application/json" },
        signal: AbortSignal.timeout(TIMEOUT_MS),
      });
      answer = response.ok && !response.redirected
        ? await response.json()
        : { error: "The console does not answer; whether you are logged in shows when you save" };
    } catch {
      answer = { error: "The console cannot be reached" };
    }
    if (mine === round) show(answer);
  }

  for (const field of fields) {
    field.addEventListener("input", () => {
      clearTimeout(timer);
      timer = setTimeout(ask, TYPING_PAUSE_MS);
    });
  }
  ask();
})();
