// What scripts add to a report's figures: values beside the pointer, a legend that hides series, the keyboard's way
// through the values. A chart library would need a network or a megabyte; this page is one file without either, can be
// read without scripts, and its figures are the same SVG that stands alone in the folder and on GitHub.
(() => {
  "use strict";

  const text = (x) => String(Number(x.toPrecision(5)));
  const unit = (x, u) => (u ? `${text(x)} ${u}` : text(x));

  /** The values of a figure: those of each `data-points`, in the order of the document. */
  const valuesOf = (svg) => {
    const all = [];
    for (const group of svg.querySelectorAll("[data-points]")) {
      for (const [x, y, lo, hi, seeds, left, top] of JSON.parse(group.dataset.points)) {
        const { series, kind = "", at } = group.dataset;
        all.push({ series, kind, at, x, y, lo, hi, seeds, left, top });
      }
    }
    return all;
  };

  /** What is said of a value: series, place, value with unit, interval, seeds. */
  const told = (svg, p) => {
    const d = svg.dataset;
    if (d.words) {
      return `${p.series}\n${JSON.parse(d.columns)[p.x]}: ${JSON.parse(d.words)[p.y]}`;
    }
    const lines = [p.series];
    if (p.at) lines.push(p.at);
    else if (p.x !== null) lines.push(`${d.x}: ${unit(p.x, d.xUnit)}`);
    lines.push(`${d.y}: ${unit(p.y, d.yUnit)}`);
    const more = [];
    if (p.lo !== null) more.push(`95 %: ${text(p.lo)} to ${text(p.hi)}`);
    if (p.seeds !== null) more.push(`${p.seeds} ${p.seeds === 1 ? d.counted.replace(/s$/, "") : d.counted}`);
    if (more.length) lines.push(more.join(", "));
    return lines.join("\n");
  };

  /** The same of a value that lies beneath another one, in a line. */
  const briefly = (svg, p) => {
    if (svg.dataset.words) return "";
    const interval = p.lo === null ? "" : ` (${text(p.lo)} to ${text(p.hi)})`;
    return `${p.series}: ${text(p.y)}${interval}`;
  };

  const near = (a, b, far) => (a.left - b.left) ** 2 + (a.top - b.top) ** 2 <= far ** 2;

  const upgrade = (svg) => {
    const values = valuesOf(svg);
    const plot = svg.parentElement;
    const gone = { series: new Set(), kind: new Set() };
    const seen = (p) => !gone.series.has(p.series) && !gone.kind.has(p.kind);
    // As an image its parts would not be there for a screen reader.
    svg.setAttribute("role", "group");
    svg.querySelectorAll("title").forEach((t) => t.remove());

    const tip = document.createElement("div");
    tip.className = "tip";
    tip.hidden = true;
    tip.setAttribute("aria-hidden", "true");
    plot.append(tip);
    const ring = document.createElementNS("http://www.w3.org/2000/svg", "circle");
    const name = svg.getAttribute("aria-label") || "figure";
    const attributes = { class: "ring", r: 28, tabindex: 0, role: "slider", "aria-label": `Values: ${name}` };
    for (const [key, value] of Object.entries(attributes)) ring.setAttribute(key, value);
    ring.style.opacity = 0;
    if (values.length) svg.append(ring);
    let current = values[0];

    const scale = () => svg.getBoundingClientRect().width / svg.viewBox.baseVal.width;
    const show = (p) => {
      current = p;
      const k = scale();
      ring.setAttribute("cx", p.left);
      ring.setAttribute("cy", p.top);
      ring.style.opacity = 1;
      ring.setAttribute("aria-valuemin", 0);
      ring.setAttribute("aria-valuemax", values.length - 1);
      ring.setAttribute("aria-valuenow", values.indexOf(p));
      ring.setAttribute("aria-valuetext", told(svg, p).replaceAll("\n", ", "));
      const others = values.filter((o) => o !== p && seen(o) && near(o, p, 8 / k)).slice(0, 5);
      tip.textContent = [told(svg, p), ...others.map((o) => briefly(svg, o))].join("\n");
      tip.hidden = false;
      // Beside the value, on the side that has room, inside of what is scrolled to.
      const [x, y] = [p.left * k, p.top * k];
      const from = plot.scrollLeft;
      const side = x - from > plot.clientWidth / 2 ? x - tip.offsetWidth - 14 : x + 14;
      tip.style.left = `${Math.max(from, Math.min(side, from + plot.clientWidth - tip.offsetWidth))}px`;
      tip.style.top = `${Math.max(0, Math.min(y - tip.offsetHeight - 8, plot.clientHeight - tip.offsetHeight))}px`;
    };
    const hide = () => {
      if (document.activeElement === ring) return show(current);
      ring.style.opacity = 0;
      tip.hidden = true;
    };
    const nearest = (event) => {
      const box = svg.getBoundingClientRect();
      const k = scale();
      const [x, y] = [(event.clientX - box.left) / k, (event.clientY - box.top) / k];
      let [best, least] = [null, (28 / k) ** 2];
      for (const p of values) {
        const away = (p.left - x) ** 2 + (p.top - y) ** 2;
        if (away <= least && seen(p)) [best, least] = [p, away];
      }
      return best;
    };
    const point = (event) => {
      const p = nearest(event);
      if (p) show(p);
      else hide();
    };
    svg.addEventListener("pointermove", point);
    svg.addEventListener("pointerdown", point);
    svg.addEventListener("pointerleave", hide);

    // Left and right along a series, up and down from one to the next.
    const lines = new Map();
    for (const p of values) {
      const key = `${p.series}\n${p.kind === "bound" ? "bound" : ""}`;
      lines.set(key, [...(lines.get(key) || []), p]);
    }
    const step = (along, across) => {
      const there = [...lines.values()].filter((line) => seen(line[0]));
      if (!there.length) return;
      const own = Math.max(0, there.findIndex((line) => line.includes(current)));
      const place = Math.max(0, there[own].indexOf(current));
      const line = there[(own + across + there.length) % there.length];
      if (across) {
        // The next series where this one was, or as near as it comes.
        const far = (p) => Math.abs(p.left - current.left);
        show(line.reduce((a, b) => (far(b) < far(a) ? b : a)));
      } else {
        show(line[Math.max(0, Math.min(line.length - 1, place + along))]);
      }
    };
    const keys = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1],
      Home: [-1e9, 0], End: [1e9, 0] };
    ring.addEventListener("keydown", (event) => {
      if (event.key === "Escape") return ring.blur();
      if (!keys[event.key]) return;
      event.preventDefault();
      step(...keys[event.key]);
    });
    ring.addEventListener("focus", () => (seen(current) ? show(current) : step(0, 0)));
    ring.addEventListener("blur", hide);

    for (const key of svg.querySelectorAll(".key")) {
      const which = "series" in key.dataset ? "series" : "kind";
      const called = key.dataset[which];
      key.setAttribute("role", "button");
      key.setAttribute("tabindex", "0");
      key.setAttribute("aria-pressed", "true");
      key.setAttribute("aria-label", `show ${key.textContent.trim()}`);
      const toggle = () => {
        const off = !gone[which].has(called);
        gone[which][off ? "add" : "delete"](called);
        key.setAttribute("aria-pressed", String(!off));
        key.classList.toggle("off", off);
        for (const part of svg.querySelectorAll("g[data-series]:not(.key)")) {
          const { series, kind = "" } = part.dataset;
          part.style.display = seen({ series, kind }) ? "" : "none";
        }
        if (!seen(current)) hide();
      };
      key.addEventListener("click", toggle);
      key.addEventListener("keydown", (event) => {
        if (event.key !== "Enter" && event.key !== " ") return;
        event.preventDefault();
        toggle();
      });
    }
  };
  document.querySelectorAll("figure svg").forEach(upgrade);

  // A link into a fold opens it; in print all are open.
  const reveal = () => {
    let at = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    const target = at;
    for (; at; at = at.parentElement) if (at.tagName === "DETAILS") at.open = true;
    if (target) target.scrollIntoView();
  };
  addEventListener("hashchange", reveal);
  reveal();
  let closed = [];
  addEventListener("beforeprint", () => {
    closed = [...document.querySelectorAll("details:not([open])")];
    closed.forEach((d) => (d.open = true));
  });
  addEventListener("afterprint", () => closed.forEach((d) => (d.open = false)));
})();
