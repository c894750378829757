// One utterance: to hear, and to see where each word comes from.

let player = null;  // of the open utterance: { audio, detail, play, words, word }
const MARGIN = 0.04;  // seconds played around a word

// a browser reports a sound that is paused before it began as an error, which it is not
function sound(audio) {
  audio.play().catch(error => { if (error.name !== "AbortError") throw error; });
}

function toggle(i) {
  if (view.open === i) return closeDetail(true);
  closeDetail(false);
  view.open = i;
  const row = document.querySelector(`#table tr[data-row="${i}"]`);
  row.classList.add("open");
  row.querySelector("button").setAttribute("aria-expanded", "true");
  const place = element("td", { colspan: columns.length + 1 });
  row.after(element("tr", { class: "of-detail" }, place));
  return drawDetail(i, place);
}

function closeDetail(focus) {
  if (view.open === null) return;
  player?.audio?.pause();
  player = null;
  document.querySelector("#table tr.of-detail")?.remove();
  const row = document.querySelector("#table tr.open"), button = row?.querySelector("button");
  row?.classList.remove("open");
  button?.setAttribute("aria-expanded", "false");
  if (focus) button?.focus();
  view.open = null;
}

async function drawDetail(i, place) {
  const detail = read("detail-" + i), stack = element("div", { class: "stack" });
  const head = element("div", { class: "head" }), band = element("div", { class: "span", hidden: true });
  const audio = detail.audio ? element("audio", { controls: true, preload: "auto", src: detail.audio }) : null;
  const wave = element("canvas", { role: "img", "aria-label": "waveform" });
  const sight = element("canvas", { role: "img", "aria-label": "spectrogram" });
  const stop = { at: null };
  const place_ = time => GUTTER + Math.min(Math.max(time, 0) / detail.seconds, 1) * (stack.clientWidth - GUTTER);
  const mark = (from, to) => {
    band.hidden = from === null;
    if (from === null) return;
    band.style.left = place_(from) + "px";
    band.style.width = Math.max(place_(to) - place_(from), 1) + "px";
  };
  const follow = () => {
    if (!audio) return;
    if (stop.at !== null && audio.currentTime >= stop.at) { audio.pause(); stop.at = null; }
    head.style.left = place_(audio.currentTime) + "px";
    light(audio.currentTime);
    if (!audio.paused) requestAnimationFrame(follow);
  };
  const play = (from, to) => {
    if (!audio) return;
    audio.currentTime = Math.max(from, 0);
    stop.at = to;
    sound(audio);
  };
  const current = player = { audio, detail, play, mark, buttons: [], word: -1 };
  const light = time => {
    for (const { button, word } of current.buttons) button.classList.toggle("on", !audio.paused && time >= word.start && time < word.end);
  };
  if (audio) for (const name of ["play", "seeked", "timeupdate"]) audio.addEventListener(name, follow);
  stack.append(wave, sight);
  const panels = detail.of.map((heard, k) => attentionPanel(heard, k, detail, current));
  place.append(element("div", { class: "detail" },
    detail.of.map((heard, k) => wordsOf(heard, k, current)), audio,
    audio ? null : element("p", { class: "soft" }, "Its sound was left out of this page (--audio none)."), stack,
    element("p", { class: "soft" }, "Click into a picture to hear from there, or on a token of attention to hear the token. Green marks: where CTC hears it.")));
  for (const panel of panels) stack.append(...panel.parts);
  stack.append(head, band);
  head.style.left = GUTTER + "px";
  for (const canvas of [wave, sight]) canvas.addEventListener("click", event => {
    const box = canvas.getBoundingClientRect();
    play((event.clientX - box.left - GUTTER) / (box.width - GUTTER) * detail.seconds, null);
  });
  const [waveBytes, sightBytes] = await Promise.all([inflate(detail.wave), inflate(detail.spectrogram), ...panels.map(p => p.ready())]);
  current.paint = () => {
    paintWave(wave, detail, waveBytes);
    paintSpectrogram(sight, detail, sightBytes);
    for (const panel of panels) panel.paint();
  };
  if (player === current) current.paint();
  place.querySelector(".detail").dataset.drawn = "true";
}

// The words of one recogniser above the words that were said; each can be heard.
function wordsOf(heard, k, current) {
  const pairs = [];
  let next = 0;
  for (const [kind, said, other] of heard.pairs) {
    if (kind === "d") {
      pairs.push(element("span", { class: "pair" }, element("small", null, said), element("span", { class: "gone", title: "left out" }, "–")));
      continue;
    }
    const word = heard.words[next], n = next;
    next += 1;
    if (!word) continue;
    const meaning = { "=": "right", s: "taken for " + said, i: "put in" }[kind];
    const button = element("button", { type: "button", class: kind, "data-word": n, "data-of": k,
      title: `${word.start.toFixed(2)} to ${word.end.toFixed(2)} s, confidence ${percent(word.confidence, 0)}, ${kind === "s" ? "said: " + said : meaning}`,
      onclick: () => hear(current, current.buttons.findIndex(b => b.button === button)),
      onfocus: () => choose(current, k, n, word), onpointerenter: () => current.mark(word.start, word.end),
      onpointerleave: () => current.mark(null) }, other);
    current.buttons.push({ button, word, k, n });
    pairs.push(element("span", { class: "pair" }, element("small", null, kind === "i" ? "\u00a0" : said), button));
  }
  return element("div", null, two ? element("strong", { class: "name-" + k }, subjects[k].name + " ") : null,
    element("span", { class: "soft" }, "said (small) and recognised; click a word to hear it"),
    element("div", { class: "words" }, pairs.length ? pairs : "(nothing)"),
    heard.doubts.length ? element("p", null, "Doubts: " + heard.doubts.map(([kind, a, b]) => `${kind.replace("_", " ")} at ${a} to ${b} s`).join(", ") + (heard.again ? "; searched again" : "")) : null);
}

function choose(current, k, n, word) {
  current.word = current.buttons.findIndex(b => b.k === k && b.n === n);
  current.mark(word.start, word.end);
  current.show?.[k]?.(n);
  say(`${word.text}: ${word.start.toFixed(2)} to ${word.end.toFixed(2)} seconds, confidence ${percent(word.confidence, 0)}`);
}

// Hear a word by its place among the buttons.
function hear(current, place) {
  const found = current.buttons[place];
  if (!found) return;
  found.button.focus();
  choose(current, found.k, found.n, found.word);
  current.play(found.word.start - MARGIN, found.word.end + MARGIN);
}

function attentionPanel(heard, k, detail, current) {
  const canvas = element("canvas", { role: "img", "aria-label": "attention" + (two ? " of " + subjects[k].name : "") });
  const parts = [], data = {};
  let head = null, chosen = 0;
  const paint = () => paintAttention(canvas, detail, heard, data.weights, head, k);
  const title = element("p", null, two ? element("strong", { class: "name-" + k }, subjects[k].name + " ") : null, heard.sentence);
  if (heard.heads > 1) title.append(" ", element("select", { "aria-label": "Head of attention",
    onchange: event => { head = event.target.value === "all" ? null : Number(event.target.value); paint(); } },
    element("option", { value: "all" }, "all heads"),
    Array.from({ length: heard.heads }, (_, h) => element("option", { value: h }, `head ${h + 1}`))));
  parts.push(title, canvas);
  canvas.addEventListener("click", event => {
    const u = Math.min(Math.floor(event.offsetY / canvas.rowHeight), heard.tokens.length - 1);
    const span = heard.ctc[u];
    if (span) { current.mark(...span); current.play(span[0] - MARGIN, span[1] + MARGIN); }
  });
  const evidence = heard.evidence;
  const sight = evidence ? element("canvas", { role: "img", "aria-label": "what the word rests on" }) : null;
  const figures = element("p", { class: "soft" });
  if (evidence) parts.push(sight, figures);
  const paintWord = () => {
    if (!evidence) return;
    paintEvidence(sight, detail, evidence, chosen, k);
    const { overlap, inside } = evidence.agreement[chosen];
    figures.replaceChildren(`What “${heard.words[chosen].text}” rests on: attention (area, ${percent(inside.attention, 0)} of it where CTC hears the word), `,
      `gradients (line, ${percent(inside.gradients, 0)}; ${percent(overlap.gradients, 0)} in common with attention) `,
      `and occlusion (dashes, ${percent(inside.occlusion, 0)}; ${percent(overlap.occlusion, 0)} in common). `,
      evidence.fall[chosen] > 0.1
        ? `Without its most important stretch the word is ${Math.exp(evidence.fall[chosen]).toPrecision(2)} times less likely.`
        : "No single stretch of sound matters to it.");
  };
  current.show = { ...current.show, [k]: n => { chosen = n; paintWord(); } };
  return {
    parts,
    paint: () => { paint(); paintWord(); },
    async ready() {
      data.weights = await inflate(heard.weights);
      if (!evidence) return;
      evidence.bytes = {};
      for (const name of ["attention", "gradients", "occlusion"]) evidence.bytes[name] = await inflate(evidence[name]);
    },
  };
}
