// The table of utterances: sorted, searched, filtered, a page at a time.

const PAGE = 50;
const view = { sort: null, falling: false, page: 0, query: "", filter: "all", pair: null, shown: [], open: null };

const value = (row, k, key) => row.of[k][key];
const columns = [
  { key: "id", name: "utterance", of: row => row.id },
  ...(rows.some(row => row.speaker) ? [{ key: "speaker", name: "speaker", of: row => row.speaker ?? "" }] : []),
  { key: "seconds", name: "seconds", of: row => row.seconds, show: row => row.seconds.toFixed(1) },
  ...subjects.flatMap((_, k) => [
    { key: "errors" + k, name: "errors", k, of: row => value(row, k, "errors"), show: row => `${value(row, k, "errors")} of ${value(row, k, "words")}` },
    { key: "surprise" + k, name: "surprise", k, hint: "bits: how far the most surprising word is from its confidence", of: row => value(row, k, "surprise"), show: row => value(row, k, "surprise").toFixed(1) },
    ...(two ? [] : [{ key: "confidence0", name: "confidence", k, of: row => value(row, k, "confidence") ?? -1, show: row => percent(value(row, k, "confidence"), 0) }]),
    { key: "entropy" + k, name: "entropy", k, hint: "of attention: 0 is sharp, 1 is spread over everything", of: row => value(row, k, "entropy"), show: row => value(row, k, "entropy").toFixed(2) },
  ]),
];

const filters = {
  all: ["all utterances", () => true],
  heard: ["those to hear and to look into", row => row.why],
  errors: ["with errors", row => row.of.some(c => c.errors)],
  surprising: ["with surprises (over 1 bit)", row => row.of.some(c => c.surprise > 1)],
  doubted: ["with doubts", row => row.of.some(c => c.doubts)],
  astray: ["whose attention has not aligned", row => row.of.some(c => !c.aligned)],
  ...(two ? {
    better: [`where ${subjects[1].name} has fewer errors`, row => row.of[1].errors < row.of[0].errors],
    worse: [`where ${subjects[1].name} has more errors`, row => row.of[1].errors > row.of[0].errors],
  } : {}),
};

const said = row => row.of[0].pairs.filter(p => p[0] !== "i").map(p => p[1]).join(" ");
const written = (row, k) => row.of[k].pairs.filter(p => p[0] !== "d").map(p => p[2] ?? p[1]).join(" ");

function matches(row) {
  if (!filters[view.filter][1](row)) return false;
  const p = view.pair;
  if (p && !row.of[p.k].pairs.some(([kind, a, b]) => kind === p.kind && (kind === "i" ? b === p.other : a === p.said && (kind === "d" || b === p.other)))) return false;
  if (!view.query) return true;
  const text = [row.id, row.speaker ?? "", said(row), ...subjects.map((_, k) => written(row, k))].join("\n").toLowerCase();
  return text.includes(view.query.toLowerCase());
}

// Choose the rows anew; the table begins at its first page.
function refresh() {
  view.shown = rows.map((_, i) => i).filter(i => matches(rows[i]));
  const column = columns.find(c => c.key === view.sort);
  if (column) {
    const sign = view.falling ? -1 : 1;
    view.shown.sort((i, j) => {
      const a = column.of(rows[i]), b = column.of(rows[j]);
      return sign * (a < b ? -1 : a > b ? 1 : 0) || i - j;
    });
  }
  view.page = 0;
  drawRows();
}

function sortBy(key, falling) {
  Object.assign(view, { sort: key, falling });
  refresh();
}

function showPair(pair) {
  Object.assign(view, { pair, filter: "all", query: "" });
  section("search").value = "";
  section("filter").value = "all";
  refresh();
}

function drawTable() {
  const search = element("input", { id: "search", type: "search", placeholder: "words, speaker or name",
    "aria-label": "Search utterances", oninput: () => { view.query = search.value; refresh(); } });
  const filter = element("select", { id: "filter", "aria-label": "Which utterances", onchange: () => { view.filter = filter.value; refresh(); } },
    Object.entries(filters).map(([key, [name]]) => element("option", { value: key }, name)));
  const heads = columns.map(c => element("th", { scope: "col", "data-key": c.key, title: c.hint ?? null, class: typeof c.of(rows[0]) === "number" ? "number" : null },
    element("button", { type: "button", class: two && "k" in c ? "name-" + c.k : null,
      onclick: () => sortBy(c.key, view.sort === c.key ? !view.falling : c.key !== "id" && c.key !== "speaker") }, c.name)));
  section("utterances").append(
    element("p", { class: "soft" }, "Keys: ", ...keys([["/", "search"], ["j", "next"], ["k", "the one before"], ["Enter", "look and hear"],
      ["Space", "play or stop"], ["← →", "word by word"], ["Esc", "close"]])),
    element("div", { class: "controls" }, search, filter, element("span", { id: "pair" }), element("span", { id: "count", class: "soft" }),
      element("button", { type: "button", id: "before", onclick: () => turn(-1) }, "← before"),
      element("button", { type: "button", id: "after", onclick: () => turn(1) }, "next →")),
    element("div", { class: "scroll" }, element("table", { id: "table" },
      element("thead", null, element("tr", null, heads, element("th", { scope: "col" }, "what was said and what was recognised"))),
      element("tbody"))));
  if (report.sound) section("utterances").append(element("p", { class: "soft" },
    `The sound of ${rows.filter(r => r.why).length} utterances is in this page (${(report.sound / 1e6).toFixed(1)} MB, compressed).`));
}

const keys = pairs => pairs.flatMap(([key, what], i) => [i ? ", " : "", element("kbd", null, key), " " + what]);

function drawRows() {
  closeDetail(false);
  const first = view.page * PAGE, last = Math.min(first + PAGE, view.shown.length);
  const body = document.querySelector("#table tbody");
  body.replaceChildren(...view.shown.slice(first, last).map(rowOf));
  for (const head of document.querySelectorAll("#table th[data-key]"))
    head.setAttribute("aria-sort", head.dataset.key !== view.sort ? "none" : view.falling ? "descending" : "ascending");
  section("count").textContent = view.shown.length ? `${first + 1} to ${last} of ${view.shown.length}` : "no utterance fits";
  section("before").disabled = view.page === 0;
  section("after").disabled = last === view.shown.length;
  const p = view.pair;
  section("pair").replaceChildren(...(p ? [pairShown([p.kind, p.said, p.other]), " ",
    element("button", { type: "button", onclick: () => { view.pair = null; refresh(); } }, "show all")] : []));
}

function turn(by) {
  view.page += by;
  drawRows();
}

function rowOf(i) {
  const row = rows[i];
  const name = row.why
    ? element("button", { type: "button", "aria-expanded": "false", title: row.why.join(", "), onclick: () => toggle(i) }, "▶ " + row.id)
    : row.id;
  const texts = subjects.map((_, k) => element("div", { class: two ? "name-" + k : null },
    row.of[k].pairs.length ? row.of[k].pairs.flatMap((p, n) => [n ? " " : "", pairShown(p)]) : element("span", { class: "soft" }, "(nothing said, nothing written)")));
  return element("tr", { "data-row": i }, columns.map(c => element("td", { class: typeof c.of(row) === "number" ? "number" : null },
    c.key === "id" ? name : (c.show ?? c.of)(row))), element("td", { class: "text" }, texts));
}
