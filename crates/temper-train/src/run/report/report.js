// Values at the pointer. The charts are complete without this script.
for (const chart of document.querySelectorAll("svg.chart")) {
  const series = JSON.parse(chart.dataset.series);
  const figure = chart.parentElement;
  const element = (name, attributes) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const key in attributes) made.setAttribute(key, attributes[key]);
    return made;
  };
  const overlay = element("g", { visibility: "hidden" });
  const line = element("line", { y1: chart.dataset.top, y2: chart.dataset.bottom, stroke: "var(--muted)" });
  overlay.append(line);
  const dots = series.map((one) => {
    const fill = `var(--${one.colour})`;
    const dot = element("circle", { r: 4.5, fill, stroke: "var(--ground)", "stroke-width": 1.5 });
    overlay.append(dot);
    return dot;
  });
  chart.append(overlay);
  const tip = document.createElement("div");
  tip.className = "tip";
  tip.hidden = true;
  figure.append(tip);

  const show = (event) => {
    const frame = chart.getBoundingClientRect();
    const scale = chart.viewBox.baseVal.width / frame.width;
    const x = (event.clientX - frame.left) * scale;
    const nearest = series.map((one) =>
      one.points.reduce((best, point) => (Math.abs(point[2] - x) < Math.abs(best[2] - x) ? point : best)),
    );
    const anchor = nearest.reduce((best, point) => (Math.abs(point[2] - x) < Math.abs(best[2] - x) ? point : best));
    line.setAttribute("x1", anchor[2]);
    line.setAttribute("x2", anchor[2]);
    nearest.forEach((point, index) => {
      dots[index].setAttribute("cx", point[2]);
      dots[index].setAttribute("cy", point[3]);
    });
    const words = nearest.map((point, index) => {
      const name = series.length > 1 ? `${series[index].name} ` : "";
      return `${name}${point[1]} (step ${point[0]})`;
    });
    tip.replaceChildren(...words.flatMap((word, index) => (index ? [document.createElement("br"), word] : [word])));
    tip.hidden = false;
    overlay.setAttribute("visibility", "visible");
    const left = anchor[2] / scale + 12;
    const before = left + tip.offsetWidth > frame.width;
    tip.style.left = `${Math.max(0, before ? left - tip.offsetWidth - 24 : left)}px`;
    tip.style.top = `${chart.dataset.top / scale}px`;
  };
  const hide = () => {
    tip.hidden = true;
    overlay.setAttribute("visibility", "hidden");
  };
  chart.addEventListener("pointermove", show);
  chart.addEventListener("pointerdown", show);
  chart.addEventListener("pointerleave", hide);
}
