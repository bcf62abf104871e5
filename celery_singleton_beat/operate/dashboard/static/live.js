// Keeps the parts of a page that are marked data-live as they are on the server.
// Without scripts every page works the same; it is then read again by hand.
"use strict";
(() => {
  const body = document.body;
  const status = document.getElementById("live-status");
  const toggle = document.getElementById("live-switch");
  const pollEvery = 15000;
  if (!status || !toggle || body.dataset.state === "login" || !window.EventSource) return;

  let source = null;
  let timer = null;
  let reading = false;
  let again = false;
  let held = false;

  const say = (text, kind = "good") => {
    status.dataset.kind = kind;
    if (status.textContent !== text) status.textContent = text;
  };

  // What has the focus is found again by what it is.
  const keyOf = (element) => {
    if (!element || element === body) return null;
    if (element.id) return `#${CSS.escape(element.id)}`;
    const href = element.getAttribute("href");
    if (href) return `a[href="${CSS.escape(href)}"]`;
    const label = element.getAttribute("aria-label");
    if (label) return `[aria-label="${CSS.escape(label)}"]`;
    const owner = element.closest("[id]");
    return owner ? `#${CSS.escape(owner.id)} ${element.tagName.toLowerCase()}` : null;
  };

  // Whoever is about to do something is not disturbed.
  const isInUse = (region) =>
    region.querySelector("details[open] form") !== null ||
    (region.contains(document.activeElement) &&
      document.activeElement.matches("input, select, textarea"));

  const replace = (region, fresh) => {
    if (region.outerHTML === fresh.outerHTML || isInUse(region)) return;
    const active = document.activeElement;
    const focused = region.contains(active) ? keyOf(active) : null;
    const place = focused ? [...region.querySelectorAll(focused)].indexOf(active) : 0;
    const scrolled = [...region.querySelectorAll(".scroll")].map((part) => part.scrollLeft);
    const next = document.importNode(fresh, true);
    region.replaceWith(next);
    next.querySelectorAll(".scroll").forEach((part, index) => {
      part.scrollLeft = scrolled[index] || 0;
    });
    if (focused) {
      const same = next.querySelectorAll(focused);
      const found = next.matches(focused) ? next : same[place] || same[0];
      if (found) found.focus({ preventScroll: true });
    }
  };

  const show = (text) => {
    const fresh = new DOMParser().parseFromString(text, "text/html");
    if (fresh.body.dataset.state !== body.dataset.state) {
      window.location.reload();
      return;
    }
    for (const region of document.querySelectorAll("[data-live]")) {
      const found = fresh.getElementById(region.id);
      if (found) replace(region, found);
    }
    if (document.title !== fresh.title) document.title = fresh.title;
  };

  const read = async () => {
    if (reading) {
      again = true;
      return;
    }
    reading = true;
    try {
      const answer = await fetch(window.location.href, { headers: { Accept: "text/html" } });
      const text = await answer.text();
      if (held) return; // somebody held it still while the answer was on its way
      if (answer.redirected) window.location.reload();
      else if (answer.ok || answer.status === 503) show(text);
      if (answer.ok) say("Live");
    } catch {
      if (!held) say("No connection", "bad");
    } finally {
      reading = false;
      if (again && !held) {
        again = false;
        read();
      }
    }
  };

  const poll = () => {
    if (timer === null) timer = window.setInterval(read, pollEvery);
  };

  const stop = () => {
    if (source) source.close();
    source = null;
    if (timer !== null) window.clearInterval(timer);
    timer = null;
  };

  const start = () => {
    source = new EventSource(body.dataset.liveSource);
    source.addEventListener("open", () => say("Live"));
    source.addEventListener("change", read);
    source.addEventListener("tick", read);
    source.addEventListener("away", () => {
      say("The store does not answer", "bad");
      if (body.dataset.state !== "away") read();
    });
    source.addEventListener("error", () => {
      if (source && source.readyState === EventSource.CLOSED) {
        // As many look as may: this page reads for itself, less often.
        say("Live, every 15 s");
        poll();
      } else {
        say("No connection", "bad");
      }
    });
  };

  const hold = () => {
    held = !held;
    toggle.setAttribute("aria-pressed", String(held));
    if (held) {
      stop();
      say("Held still", "held");
    } else {
      start();
      read();
    }
  };

  toggle.hidden = false;
  toggle.addEventListener("click", hold);
  document.addEventListener("visibilitychange", () => {
    if (held) return;
    stop();
    if (!document.hidden) {
      start();
      read();
    }
  });
  window.addEventListener("pagehide", stop);
  if (!document.hidden) start();
})();
