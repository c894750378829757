// Everything that is told of all utterances together.

function drawSummary() {
  const tiles = sideBySide(({ figures }) => element("div", { class: "tiles" },
    tile("word error rate", percent(figures.wer), between(figures.wer_interval)),
    tile("character error rate", percent(figures.cer), between(figures.cer_interval)),
    tile("utterances with an error", percent(figures.sentence_error_rate, 1),
      [between(figures.sentence_error_rate_interval), ` (${figures.wrong_sentences} of ${figures.sentences})`])));
  const lines = [
    ["substitutions, deletions, insertions", f => `${f.words.substitutions}, ${f.words.deletions}, ${f.words.insertions} of ${f.words.total} words`],
    ["match error rate", f => `${percent(f.mer)} (${between(f.mer_interval)})`],
    ["word information lost", f => `${percent(f.wil)} (${between(f.wil_interval)})`],
    ["words where nothing was said", f => f.hallucinations.utterances
      ? `${f.hallucinations.words} in ${f.hallucinations.with_words} of ${f.hallucinations.utterances} utterances` : "every utterance has words"],
    ["words unknown to the training", f => f.unknown_words
      ? `${f.unknown_words.count} (${f.unknown_words.different} different), ${f.unknown_words.recognised} recognised` : "not counted (--train MANIFEST)"],
    ["real-time factor", f => number(f.real_time_factor, 4)],
    ["peak memory", f => f.peak_memory_mb ? Math.round(f.peak_memory_mb) + " MB" : "–"],
    ["doubted, searched again", f => `${f.doubted}, ${f.searched_again}`],
  ].map(([name, make]) => [name, ...subjects.map(s => make(s.figures))]);
  lines.push(["model", ...subjects.map(s => s.path)],
    ["parameters", ...subjects.map(s => s.parameters.toLocaleString("en"))],
    ["search", ...subjects.map(s => searchOf(s.search))],
    ...["data", "seed", "epoch", "commit", "dev_wer"].filter(key => subjects.some(s => key in s.info)).map(key =>
      ["training: " + key.replace("_", " "), ...subjects.map(s => key in s.info
        ? (key === "dev_wer" ? percent(s.info[key]) : String(s.info[key])) : "–")]));
  section("summary").append(tiles, table(["", ...subjects.map(s => two ? s.name : "")], lines));
  const failed = Object.entries(report.failures);
  if (failed.length) section("summary").append(element("h3", null, `${failed.length} recordings could not be read`),
    element("ul", null, failed.map(([id, why]) => element("li", null, `${id}: ${why}`))));
  section("summary").append(element("p", { class: "soft" },
    `Intervals are 95 % bootstrap intervals over ${subjects[0].figures.interval_unit}; ` +
    `texts are compared in the form ${report.normalizer}.`));
}

const tile = (name, value, more) => element("div", { class: "tile" }, name, element("b", null, value), more ?? null);
const searchOf = search => Object.entries(search)
  .filter(([, v]) => v !== null && v !== 0).map(([k, v]) => `${k} ${v}`).join(", ");

function drawComparison() {
  const c = report.comparison, home = section("comparison");
  if (!c) return home.remove();
  const points = v => (v > 0 ? "+" : "") + (100 * v).toFixed(2);
  home.append(element("p", null, element("strong", null, c.conclusion)), table(["", ""], [
    ["difference in WER, in points", `${points(c.difference)} (95 %: ${points(c.interval.low)} to ${points(c.interval.high)})`],
    ["paired bootstrap", `p = ${c.p.toPrecision(2)}; ${subjects[1].name} is better in ${percent(c.b_better, 1)} of the draws`],
    ["matched-pairs segment test", c.segment_test.z === null ? `${c.segment_test.segments} segments`
      : `p = ${c.segment_test.p.toPrecision(2)} (Z = ${number(c.segment_test.z, 2)}, ${c.segment_test.segments} segments)`],
    ["utterances in which they differ", String(c.differing)],
  ]));
}

function drawCurves() {
  const home = section("curves");
  const charts = [
    ["Error rate on the validation set", [["val/wer", "WER"], ["val/ctc_wer", "WER by CTC", "5 4"]], v => percent(v, 0)],
    ["Training loss", [["train/attention_loss", "attention"], ["train/ctc_loss", "CTC", "5 4"]], v => number(v, 2)],
    ["Attention on the validation set", [["val/attention_entropy", "entropy (1: uniform)"], ["val/attention_diagonality", "diagonality", "5 4"]], v => number(v, 2)],
    ["Learning rate", [["learning_rate", "rate"]], v => v ? v.toExponential(1) : "0"],
  ].map(([title, lines, format]) => lineChart(title, subjects.flatMap((s, k) => lines.map(([key, name, dashes]) => ({
    name: two ? `${s.name}: ${name}` : name, dashes, colour: "--" + "ab"[k],
    points: s.curves.filter(r => key in r).map((r, i) => [(r.epoch ?? i) + 1, r[key]]),
  }))), format, "epoch"));
  if (charts.every(c => c === null)) home.append(element("p", { class: "soft" }, "There are no figures of a training (metrics.csv) beside the model."));
  home.append(element("div", { class: "columns" }, charts));
}

function drawGroups() {
  const home = section("groups");
  const fields = Object.keys(subjects[0].figures.groups ?? {});
  if (!fields.length) return home.append(element("p", { class: "soft" }, "No fields to group by were given (--by FIELD)."));
  home.append(element("div", { class: "columns wide" }, fields.map(field => {
    const groups = subjects.map(s => new Map(s.figures.groups[field].map(g => [g.name, g])));
    const most = Math.max(...groups.flatMap(g => [...g.values()].map(v => v.interval ? v.interval.high : 0)), 0.01);
    const body = [...groups[0].keys()].map(name => [name, String(groups[0].get(name).utterances),
      groups.map((g, k) => bar(g.get(name).wer ?? 0, ends(g.get(name)), Math.min(most, 1.5), k)),
      groups.map((g, k) => element("div", { class: two ? "name-" + k : null },
        `${percent(g.get(name).wer, 1)} (${between1(ends(g.get(name)))})`))]);
    return element("div", null, element("h3", null, field), table(["", "utterances", "", "WER"], body, [1]));
  })));
}

const ends = group => group.interval ? [group.interval.low, group.interval.high] : null;
const between1 = e => e ? `${percent(e[0], 1)} to ${percent(e[1], 1)}` : "–";

function drawConfusions() {
  const home = section("confusions");
  home.append(element("p", { class: "soft" }, "Choose one to see the utterances in which it happens."),
    sideBySide(({ figures }, k) => {
      const { substitutions, deletions, insertions } = figures.confusions;
      const list = (title, items, kind) => element("div", null, element("h3", null, title), items.length
        ? table(["", "times"], items.map(i => [finder(kind, i.said ?? "", i.recognised ?? "", k), String(i.count)]), [1])
        : element("p", { class: "soft" }, "none"));
      return element("div", { class: "columns", style: "grid-template-columns: repeat(auto-fit, minmax(11rem, 1fr))" },
        list("taken for others", substitutions, "s"), list("left out", deletions, "d"), list("put in", insertions, "i"));
    }));
}

const finder = (kind, said, other, k) => element("button", { type: "button",
  onclick: () => { showPair({ kind, said, other, k }); section("utterances").scrollIntoView(); } },
  pairShown([kind, said, other]));

// A pair of words as it is written everywhere: struck out, put in, or taken for another.
function pairShown([kind, said, other]) {
  if (kind === "=") return said;
  if (kind === "d") return element("span", { class: "w-d", title: "left out" }, said);
  if (kind === "i") return element("span", { class: "w-i", title: "put in" }, said || other);
  return element("span", { class: "w-s", title: `${said} taken for ${other}` }, element("del", null, said), " ", other);
}

function drawConfidence() {
  section("confidence").append(sideBySide((subject, k) => {
    const c = subject.figures.confidence;
    if (!c || !c.words) return element("p", { class: "soft" }, "No words were recognised.");
    return [reliabilityChart(subject, k), table(["", ""], [
      ["expected calibration error", `${percent(c.calibration_error, 1)} (${between1(c.calibration_error_interval)})`],
      ["a right word is surer than a wrong one", percent(c.discrimination, 1)],
      ["Brier score", number(c.brier, 3)],
      ["words", String(c.words)],
    ]), subject.calibrated ? null : element("p", { class: "soft" },
      "This model's confidence is not calibrated; asr-attn calibrate learns it on a validation set.")];
  }));
}

function drawAttention() {
  section("attention").append(sideBySide((subject, k) => {
    const h = subject.health;
    return [element("p", null, subject.diagnosis), table(["", ""], [
      ["utterances in which it has aligned", percent(subject.aligned, 1)],
      ["entropy (1: spread over everything)", number(h.entropy, 2)],
      ["diagonality (1: evenly along the utterance)", number(h.diagonality, 2)],
      ["monotonicity (share of moves that do not go back)", number(h.monotonicity, 2)],
      ["coverage of the speech", number(h.coverage, 2)],
      ["longest move back, ahead", `${number(h.jump_back, 2)} s, ${number(h.jump_ahead, 2)} s`],
      ["weight on the edges", number(h.edges, 2)],
      ["heads", String(subject.heads)],
      ...(subject.agreement ? [
        [`in common with gradients (${subject.explained} utterances)`, percent(subject.agreement.overlap.gradients, 0)],
        ["in common with occlusion", percent(subject.agreement.overlap.occlusion, 0)],
        ["gradients in common with occlusion", percent(subject.agreement.overlap.both, 0)],
      ] : []),
    ]), element("button", { type: "button", onclick: () => { sortBy("entropy" + k, true); section("utterances").scrollIntoView(); } },
      "Show the utterances with the least sharp attention")];
  }));
}
