// What a plot's points say: under the pointer, at a touch, and by the arrow keys.

(function plots() {
  const tip = document.getElementById("tip");
  const STEPS = { ArrowRight: 1, ArrowLeft: -1, ArrowUp: 1, ArrowDown: -1 };
  let lit = [];

  // The browser's own tooltips come late, and never on a touch screen.
  for (const title of document.querySelectorAll("svg.plot title")) {
    title.parentElement.said = title.textContent;
    title.remove();
  }
  for (const plot of document.querySelectorAll("svg.plot")) plot.tabIndex = 0;

  function across(circle) {
    return circle.cx.baseVal.value;
  }

  // Of each line the point that is nearest to `x`, as far as it is about as near as the nearest of all.
  function nearest(plot, x) {
    const lines = new Map();
    for (const circle of plot.querySelectorAll("circle")) {
      const away = Math.abs(across(circle) - x);
      const colour = circle.getAttribute("fill");
      if (!lines.has(colour) || away < lines.get(colour).away) lines.set(colour, { away, circle });
    }
    const close = Math.min(...[...lines.values()].map((one) => one.away));
    return [...lines.values()].filter((one) => one.away <= close + 6).map((one) => one.circle);
  }

  function hide() {
    for (const shape of lit) shape.classList.remove("on");
    lit = [];
    tip.hidden = true;
  }

  function show(shapes, x, y) {
    hide();
    lit = shapes;
    if (!lit.length) return;
    for (const shape of lit) shape.classList.add("on");
    tip.textContent = lit.map((shape) => shape.said).join("\n");
    tip.hidden = false;
    const box = tip.getBoundingClientRect();
    const left = Math.min(x + 14, innerWidth - box.width - 8);
    const top = y - box.height - 12;
    tip.style.left = Math.max(8, left) + "px";
    tip.style.top = (top < 8 ? y + 18 : top) + "px";
  }

  function plotOf(event) {
    return event.target.closest ? event.target.closest("svg.plot") : null;
  }

  function point(event) {
    const plot = plotOf(event);
    if (!plot) hide();
    else if (plot.querySelector("circle")) {
      const there = new DOMPoint(event.clientX, 0).matrixTransform(plot.getScreenCTM().inverse());
      show(nearest(plot, there.x), event.clientX, event.clientY);
    } else show(event.target.said ? [event.target] : [], event.clientX, event.clientY);
  }

  // The places of a plot, from left to right: the points of its lines one after another, or its bars and bands.
  function places(plot) {
    const xs = [...new Set([...plot.querySelectorAll("circle")].map(across))].sort((a, b) => a - b);
    if (xs.length) return xs.map((x) => nearest(plot, x));
    return [...plot.querySelectorAll("rect, path")].filter((shape) => shape.said).map((shape) => [shape]);
  }

  function step(event) {
    const plot = plotOf(event);
    if (event.key === "Escape") hide();
    if (!plot || !(event.key in STEPS)) return;
    event.preventDefault();
    const all = places(plot);
    const from = plot.place === undefined ? (STEPS[event.key] > 0 ? -1 : all.length) : plot.place;
    plot.place = Math.min(all.length - 1, Math.max(0, from + STEPS[event.key]));
    const box = all[plot.place][0].getBoundingClientRect();
    show(all[plot.place], box.left + box.width / 2, box.top);
  }

  document.addEventListener("pointermove", point);
  document.addEventListener("pointerdown", point);
  document.addEventListener("keydown", step);
  document.addEventListener("focusout", hide);
  document.addEventListener("scroll", hide, { passive: true });
})();
