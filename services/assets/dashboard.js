// What a page needs a script for: times in the viewer's zone, plots, shortcuts, and parts that stay up to date. Every
// page works without it.
"use strict";

(() => {
  const root = document.documentElement;

  // Times. The server writes UTC; here they are shown in the viewer's zone, as long as before, with UTC on hover.
  const format = new Intl.DateTimeFormat("en-GB", {
    day: "2-digit", month: "short", hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23",
  });
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const spans = [[86400e3, 172800e3, "d"], [3600e3, 7200e3, "h"], [60e3, 120e3, "min"], [1e3, 0, "s"]];

  // Rounded down, as by the server; what changes each second has whole ones.
  function span(ms) {
    const [unit, , name] = spans.find(([, from]) => ms >= from) ?? spans.at(-1);
    return `${Math.max(0, Math.floor(ms / unit))} ${name}`;
  }

  function local(at) {
    const part = Object.fromEntries(format.formatToParts(at).map(({ type, value }) => [type, value]));
    return `${part.day} ${part.month} ${part.hour}:${part.minute}:${part.second}`;
  }

  function tell(time) {
    const at = new Date(time.dateTime);
    const passed = () => span(Date.now() - at);
    const as = (name) => time.classList.contains(name);
    const text = as("ago") ? `${passed()} ago` : as("age") ? passed() : as("clock") ? local(at).slice(-8) : local(at);
    if (time.textContent !== text) time.textContent = text;
    if (!time.dataset.told) {
      time.dataset.told = zone;
      time.title = `${time.title} (shown in ${zone})`;
    }
  }

  function times(within) {
    within.querySelectorAll("time[datetime]").forEach(tell);
  }

  setInterval(() => document.querySelectorAll("time.ago, time.age").forEach(tell), 1000);
  // What a form shows before it is sent comes later.
  document.addEventListener("htmx:afterSwap", (event) => times(event.detail.target));


  // Plots. Their data is in data-plot; the canvas stays when the data changes.
  const plots = new WeakMap();
  const HEIGHT = 180;

  let paper = false;

  // A canvas does not know light-dark(): an element is asked what it comes to. On paper that is light.
  function computed(name) {
    const probe = document.createElement("i");
    if (paper) probe.style.colorScheme = "light";
    probe.style.color = `var(${name})`;
    document.body.append(probe);
    const value = getComputedStyle(probe).color;
    probe.remove();
    return value;
  }

  // Ticks as people read them: whole numbers of what is counted, in groups of three digits.
  const STEPS = [1, 2, 5].flatMap((step) => [...Array(9)].map((_, power) => step * 10 ** power)).sort((a, b) => a - b);
  const PARTS = [0.1, 0.2, 0.5];
  const grouped = (value) => `${value}`.replace(/\B(?=(\d{3})+$)/g, "\u202f");

  function draw(holder) {
    const { axis: counted, unit, whole, series, data } = JSON.parse(holder.dataset.plot);
    const before = plots.get(holder);
    if (before) return before.setData(data);
    const canvas = holder.querySelector(".canvas");
    const font = `12px ${getComputedStyle(document.body).fontFamily}`;
    const axis = { stroke: computed("--quiet"), grid: { stroke: computed("--line"), width: 1 }, ticks: { show: false }, font, labelFont: font, labelSize: 18, labelGap: 2 };
    // Where nobody points into the plot, the legend tells of the newest minute.
    const told = (plot, line, at) => plot.data[line][at ?? plot.data[line].length - 1];
    const clock = (_, at) => at.map((s) => local(new Date(s * 1e3)).slice(-8, -3));
    const made = new uPlot({
      width: canvas.clientWidth, height: HEIGHT, pxAlign: false,
      cursor: { y: false, points: { size: 5 } },
      scales: { y: { range: (_, low, high) => [Math.min(0, low ?? 0), Math.max(1, (high ?? 1) * 1.1)] } },
      axes: [
        { ...axis, size: 24, space: 56, values: clock, label: `time, ${zone}` },
        { ...axis, size: 44, space: 28, incrs: whole ? STEPS : [...PARTS, ...STEPS], values: (_, at) => at.map(grouped), label: counted },
      ],
      series: [
        { label: "at", value: (plot, _, line, at) => local(new Date(told(plot, line, at) * 1e3)).slice(-8, -3) },
        ...series.map(({ name, colour: its }) => ({
          label: name, stroke: computed(its), width: 1.5,
          // Minutes without anything leave gaps: what stands alone between two of them is a point.
          points: { show: data.some((line) => line.includes(null)), size: 4 },
          value: (plot, _, line, at) => (told(plot, line, at) == null ? "–" : `${grouped(told(plot, line, at))}${unit}`),
        })),
      ],
    }, data, canvas);
    plots.set(holder, made);
    new ResizeObserver(() => made.setSize({ width: canvas.clientWidth, height: HEIGHT })).observe(canvas);
  }

  function redraw() {
    document.querySelectorAll("[data-plot]").forEach((holder) => {
      plots.get(holder)?.destroy();
      plots.delete(holder);
      draw(holder);
    });
  }
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);

  // What is drawn keeps its colours: it is drawn anew before it is printed, and after.
  function printing(begins) {
    if (paper === begins) return;
    paper = begins;
    redraw();
  }
  addEventListener("beforeprint", () => printing(true));
  addEventListener("afterprint", () => printing(false));
  matchMedia("print").addEventListener("change", ({ matches }) => printing(matches));

  // Parts. They are changed in place, so that focus, selection, what is open and what is scrolled stay.
  const callbacks = {
    beforeNodeMorphed(old, fresh) {
      if (old.nodeType !== Node.ELEMENT_NODE) return true;
      if (old.matches("[data-plot]") && fresh.dataset?.plot) {
        old.dataset.plot = fresh.dataset.plot;
        draw(old);
        return false;
      }
      // A form of the page's own buttons, with what was typed or loaded into it, is as good as its fresh one.
      if (old.matches("#actions details")) return false;
      if (old.tagName === "DETAILS" && fresh.tagName === "DETAILS") fresh.open = old.open;
      if (old.tagName === "TIME" && fresh.tagName === "TIME" && old.dateTime === fresh.dateTime) return false;
      if (old.tagName === "TIME") delete old.dataset.told;
      return true;
    },
    // An open form stays until it is closed, whatever has become of what it is about.
    beforeNodeRemoved: (node) => !(node.nodeType === Node.ELEMENT_NODE && node.matches("#actions .one:has(> details[open])")),
    afterNodeAdded(node) {
      if (node.nodeType === Node.ELEMENT_NODE && node.matches("tr[id], li[id]")) node.classList.add("fresh");
    },
  };

  // A part that has become lower keeps its height, so that what stands below it does not move.
  function keepHeight(part) {
    if (part.querySelector("details[open]")) return;
    // No whole number of pixels, as offsetHeight is: what is below would move by what is missing to one.
    const { height } = part.getBoundingClientRect();
    part.style.minHeight = `${Math.max(height, parseFloat(part.style.minHeight) || 0)}px`;
  }
  addEventListener("resize", () => document.querySelectorAll("section > [id]").forEach((part) => { part.style.minHeight = ""; }));

  // What one has chosen, open or in focus, and else what stands first in the window, stays where it is, whatever becomes
  // longer above it. What is in focus inside of the part itself goes with its row.
  function anchor(part) {
    const main = document.getElementById("main");
    const { isCollapsed, anchorNode } = getSelection();
    const focused = document.activeElement;
    const seen = (element) => {
      const { top, bottom } = element.getBoundingClientRect();
      return bottom > 0 && top < innerHeight;
    };
    const held = [
      isCollapsed ? null : anchorNode?.parentElement,
      ...main.querySelectorAll("details[open]"),
      part.contains(focused) || focused === main ? null : focused,
      ...(scrollY > 0 ? main.querySelectorAll("section h2, section li, section tr") : []),
    ];
    return held.find((element) => element && element !== main && main.contains(element) && seen(element));
  }

  // Lists whose newest stands first.
  const LISTS = ":is(.timeline, .decided)";

  // What comes on top of such a list would push down what one reads there: it waits until it is asked for, unless the
  // list is not in the window.
  function waits(part, html) {
    const list = part.querySelector(LISTS);
    const line = part.querySelector(".news");
    if (!list || !line || list.getBoundingClientRect().top >= innerHeight) return false;
    const fresh = new DOMParser().parseFromString(html, "text/html").querySelectorAll(`${LISTS} > li`);
    const news = [...fresh].filter((row) => !document.getElementById(row.id)).length;
    if (!news) return false;
    const button = line.querySelector("button") ?? line.appendChild(document.createElement("button"));
    const what = line.dataset.of ?? "event";
    button.textContent = news === 1 ? `Show 1 new ${what}` : `Show ${news} new ${what}s`;
    button.onclick = () => {
      put(part, html);
      const first = part.querySelector(`${LISTS} > li`);
      first?.setAttribute("tabindex", "-1");
      first?.focus({ preventScroll: true });
    };
    return true;
  }

  // Rows that have fixed places get other words: what was in focus goes with its row, and a row that is new is shown.
  function rows(part) {
    const known = new Set([...part.querySelectorAll("tr[data-sync]")].map((row) => row.dataset.sync));
    const focused = part.contains(document.activeElement) && document.activeElement.closest("tr[data-sync]");
    const sync = focused && focused.dataset.sync;
    const nth = focused && [...focused.querySelectorAll("a")].indexOf(document.activeElement);
    return () => {
      for (const row of part.querySelectorAll("tr[data-sync]")) {
        if (known.size && !known.has(row.dataset.sync)) {
          row.getBoundingClientRect(); // So that the animation begins anew.
          row.classList.add("fresh");
        }
        if (row.dataset.sync === sync) row.querySelectorAll("a")[nth]?.focus({ preventScroll: true });
      }
    };
  }

  // Live parts are the same for all who look: their forms get the token of this session as soon as they stand here.
  function tokens(part) {
    const token = document.querySelector('.who input[name="csrf_token"]')?.value ?? "";
    part.querySelectorAll('input[name="csrf_token"]').forEach((field) => { field.value ||= token; });
  }

  function put(part, html) {
    const still = anchor(part);
    const settled = rows(part);
    const top = still?.getBoundingClientRect().top;
    keepHeight(part);
    Idiomorph.morph(part, html, { morphStyle: "innerHTML", callbacks });
    settled();
    tokens(part);
    times(part);
    part.querySelectorAll("[data-plot]").forEach((holder) => { if (!plots.has(holder)) draw(holder); });
    htmx.process(part);
    if (still?.isConnected) scrollBy({ top: still.getBoundingClientRect().top - top, behavior: "instant" });
  }

  // A link that leads to an action of the page opens it.
  function openAction() {
    const action = document.getElementById(location.hash.slice(1))?.querySelector(":scope > details.action");
    if (action) action.open = true;
  }
  addEventListener("load", openAction);
  addEventListener("hashchange", openAction);

  let actions;
  document.addEventListener("toggle", (event) => {
    const part = event.target.closest("#actions");
    if (part && actions && !event.target.open) put(part, actions);
  }, true);

  function change({ id, html }) {
    const part = document.getElementById(id);
    if (id === "actions") actions = html;
    if (part && !waits(part, html)) put(part, html);
  }

  // The stream. A hidden page gives it up: a browser has few connections to one host.
  const topic = document.querySelector("main[data-live]")?.dataset.live;
  const light = document.getElementById("live");
  let source;

  function say(state, text) {
    if (!light || (light.dataset.state === state && light.textContent === text)) return;
    light.dataset.state = state;
    light.textContent = text;
  }

  function listen() {
    if (!topic || source || document.hidden) return;
    source = new EventSource(`/live?topic=${encodeURIComponent(topic)}`);
    source.addEventListener("open", () => say("on", "live"));
    source.addEventListener("part", (event) => change(JSON.parse(event.data)));
    // The stream goes on while the service itself cannot read: then nothing that is shown can be trusted to be the newest.
    source.addEventListener("stale", (event) => say("off", `not live since ${local(new Date(event.data)).slice(-8)}`));
    source.addEventListener("current", () => say("on", "live"));
    source.addEventListener("signed-out", over);
    source.addEventListener("error", () => {
      if (source?.readyState === EventSource.CLOSED) over();
      else say("off", "reconnecting");
    });
  }

  // Closed for good, which says nothing of why: the session has ended, here or in another tab, or there are too many who look. Then it
  // is tried once more a while later.
  async function over() {
    source?.close();
    source = undefined;
    say("off", "not live");
    const status = await fetch("/api/channels/me", { cache: "no-store" }).then((answer) => answer.status, () => 0);
    if (source) return;
    if (status === 401) return lead("signed out: ", `/sign-in?return_to=${encodeURIComponent(location.pathname + location.search)}`, "sign in again");
    setTimeout(listen, 30000);
  }

  function lead(words, href, text) {
    if (!light) return;
    const [told, way] = [document.createElement("span"), document.createElement("a")];
    Object.assign(way, { href, textContent: text });
    told.append(words, way);
    light.dataset.state = "off";
    light.replaceChildren(told);
  }

  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) return listen();
    source?.close();
    source = undefined;
  });
  addEventListener("pagehide", () => source?.close());

  // Shortcuts: / searches, g and a letter goes somewhere, Escape leaves: a form that one has opened is closed, and its button has the focus.
  const places = { o: "/", t: "/targets", l: "/listings", a: "/audit", d: "/dead-letters" };
  let going = 0;
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const field = event.target.closest?.("input, select, textarea");
    if (event.key === "Escape" && !event.isComposing) {
      // The form that one is in, or one that is open while nothing has the focus.
      const opened = "details.action[open]";
      const form = event.target.closest?.(opened) ?? (event.target === document.body && document.querySelector(opened));
      if (!form) return (field ?? document.activeElement)?.blur();
      form.querySelector("summary").focus();
      form.open = false;
      return;
    }
    if (field) return;
    if (event.key === "/") {
      event.preventDefault();
      document.getElementById("search")?.focus();
    } else if (event.key === "g") {
      going = Date.now();
    } else if (Date.now() - going < 1500 && places[event.key] && document.querySelector(`nav a[href="${places[event.key]}"]`)) {
      location.assign(places[event.key]);
    }
  });

  document.addEventListener("DOMContentLoaded", () => {
    times(document);
    // On a phone the places are wider than the window.
    document.querySelector("nav a[aria-current]")?.scrollIntoView({ block: "nearest", inline: "nearest" });
    document.querySelectorAll("[data-plot]").forEach(draw);
    listen();
  });
})();
