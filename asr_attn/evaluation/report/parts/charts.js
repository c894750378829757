// Charts as SVG: they follow the theme by themselves.

const WIDE = 420, HIGH = 190, LEFT = 46, RIGHT = 8, TOP = 10, BOTTOM = 26;

// Round numbers from low to high.
function ticks(low, high) {
  const rough = (high - low) / 4 || 1, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map(f => f * power).find(s => s >= rough);
  const found = [];
  for (let t = Math.ceil(low / step - 1e-9) * step; t <= high + step * 1e-6; t += step)
    found.push(Math.abs(t) < step * 1e-6 ? 0 : t);
  return found;
}

function frame(title, [x0, x1], [y0, y1], formatY, labelX, formatX = String) {
  const x = v => LEFT + (v - x0) / (x1 - x0 || 1) * (WIDE - LEFT - RIGHT);
  const y = v => HIGH - BOTTOM - (v - y0) / (y1 - y0 || 1) * (HIGH - TOP - BOTTOM);
  const svg = element("svg", { class: "chart", viewBox: `0 0 ${WIDE} ${HIGH}`, role: "img", "aria-label": title });
  for (const t of ticks(y0, y1)) {
    svg.append(element("line", { class: "axis", x1: LEFT, x2: WIDE - RIGHT, y1: y(t), y2: y(t) }));
    svg.append(element("text", { x: LEFT - 5, y: y(t) + 4, "text-anchor": "end" }, formatY(t)));
  }
  for (const t of ticks(x0, x1))
    svg.append(element("text", { x: x(t), y: HIGH - BOTTOM + 14, "text-anchor": "middle" }, formatX(Number(t.toFixed(6)))));
  svg.append(element("text", { x: WIDE - RIGHT, y: HIGH - 1, "text-anchor": "end" }, labelX));
  return { svg, x, y };
}

// Lines of [x, y] points; a series has a name, a colour (a CSS variable) and, if wanted, dashes.
function lineChart(title, series, formatY, labelX) {
  const shown = series.filter(s => s.points.length);
  if (!shown.length) return null;
  const all = shown.flatMap(s => s.points);
  const xs = all.map(p => p[0]), ys = all.map(p => p[1]);
  const low = Math.min(0, ...ys), high = Math.max(...ys, low + 1e-9);
  const { svg, x, y } = frame(title, [Math.min(...xs), Math.max(...xs)], [low, high], formatY, labelX);
  for (const { name, points, colour, dashes } of shown) {
    const path = points.map(([a, b], i) => `${i ? "L" : "M"}${x(a).toFixed(1)} ${y(b).toFixed(1)}`).join("");
    svg.append(element("path", { class: "curve", d: path, stroke: `var(${colour})`, "stroke-dasharray": dashes }));
    for (const [a, b] of points)
      svg.append(element("circle", { cx: x(a), cy: y(b), r: points.length > 60 ? 1.5 : 3, fill: `var(${colour})` },
        element("title", null, `${name}, ${labelX} ${a}: ${formatY(b)}`)));
  }
  const legend = shown.map(s => element("span", { style: `color: var(${s.colour})` }, (s.dashes ? "╌ " : "― ") + s.name + "  "));
  return element("figure", { style: "margin: 0.25rem 0" }, element("figcaption", null, title), svg,
    element("div", null, legend));
}

// Accuracy of words by their confidence, against the diagonal.
function reliabilityChart(subject, k) {
  const bins = subject.figures.confidence.bins, whole = v => Math.round(100 * v) + " %";
  const { svg, x, y } = frame("Share of right words by confidence", [0, 1], [0, 1], whole, "confidence", whole);
  svg.append(element("line", { class: "axis", x1: x(0), y1: y(0), x2: x(1), y2: y(1), "stroke-dasharray": "4 3" }));
  const stroke = `var(--${"ab"[k]})`;
  const path = bins.map((b, i) => `${i ? "L" : "M"}${x(b.confidence)} ${y(b.accuracy)}`).join("");
  svg.append(element("path", { class: "curve", d: path, stroke }));
  for (const b of bins)
    svg.append(element("circle", { cx: x(b.confidence), cy: y(b.accuracy), r: 4, fill: stroke },
      element("title", null, `${b.count} words with a confidence of ${percent(b.low, 1)} to ${percent(b.high, 1)}: ${percent(b.accuracy, 1)} right`)));
  return svg;
}

// A bar with its interval; `most` is the length of the whole.
function bar(rate, ends, most, k) {
  const at = v => Math.max(0, Math.min(100, 100 * v / (most || 1)));
  const parts = [element("i", { style: `width: ${at(rate)}%` })];
  if (ends) parts.push(element("u", { style: `left: ${at(ends[0])}%; width: ${Math.max(at(ends[1]) - at(ends[0]), 0.5)}%` }));
  return element("div", { class: "bar name-" + k, "aria-hidden": "true" }, parts);
}
