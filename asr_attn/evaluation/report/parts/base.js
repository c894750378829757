// Elements, numbers and what the page is about.

function element(tag, attributes, ...children) {
  const svg = ["svg", "path", "line", "text", "g", "circle", "rect", "title"].includes(tag);
  const made = svg
    ? document.createElementNS("http://www.w3.org/2000/svg", tag)
    : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else made.setAttribute(name, value === true ? "" : value);
  }
  for (const child of children.flat(3)) if (child !== null && child !== undefined) made.append(child);
  return made;
}

const read = id => JSON.parse(document.getElementById(id).textContent);
const report = read("data");
const subjects = report.subjects, rows = report.rows;
const two = subjects.length === 2;

const percent = (share, digits = 2) =>
  share === null || share === undefined ? "–" : (100 * share).toFixed(digits) + " %";
const number = (value, digits) =>
  value === null || value === undefined ? "–" : Number(value).toFixed(digits);
const between = ends => (ends ? percent(ends[0]) + " to " + percent(ends[1]) : "–");
const colour = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const section = id => document.getElementById(id);
const say = text => { section("status").textContent = text; };

function table(head, body, numeric = []) {
  const cells = (row, tag) => row.map((cell, i) =>
    element(tag, { class: numeric.includes(i) ? "number" : null, scope: tag === "th" ? "col" : null }, cell));
  return element("div", { class: "scroll" }, element("table", null,
    element("thead", null, element("tr", null, cells(head, "th"))),
    element("tbody", null, body.map(row => element("tr", null, cells(row, "td"))))));
}

// A heading in the colour of a recogniser, where there are two.
const nameOf = k => element(two ? "h3" : "span", { class: "name-" + k }, two ? subjects[k].name : "");

// The same for each recogniser, side by side.
const sideBySide = make => element("div", { class: "columns" },
  subjects.map((subject, k) => element("div", null, nameOf(k), make(subject, k))));
