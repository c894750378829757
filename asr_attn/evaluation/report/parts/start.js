// Putting the page together, its theme and its keys.

const themes = { auto: "◐ theme: as the system", light: "☀ theme: light", dark: "☾ theme: dark" };
const preferred = window.matchMedia("(prefers-color-scheme: dark)");
let theme = "auto";

function setTheme(name) {
  theme = name in themes ? name : "auto";
  const dark = theme === "dark" || (theme === "auto" && preferred.matches);
  document.documentElement.dataset.theme = dark ? "dark" : "light";
  section("theme").textContent = themes[theme];
  try { localStorage.setItem("asr-attn-theme", theme); } catch { /* pages from files may have no store */ }
  player?.paint?.();
}

try { theme = localStorage.getItem("asr-attn-theme") ?? "auto"; } catch { /* as above */ }
setTheme(theme);
preferred.addEventListener("change", () => setTheme(theme));
section("theme").addEventListener("click", () => {
  const names = Object.keys(themes);
  setTheme(names[(names.indexOf(theme) + 1) % names.length]);
});
window.addEventListener("resize", () => player?.paint?.());

section("made").textContent = `${rows.length} utterances, ${(report.seconds / 60).toFixed(1)} minutes of speech; ` +
  `made ${report.made} by asr-attn ${report.version}`;
drawSummary();
drawComparison();
drawCurves();
drawGroups();
drawConfusions();
drawConfidence();
drawAttention();
drawTable();
sortBy("errors0", true);
for (const part of document.querySelectorAll("main > section"))
  section("sections").append(element("a", { href: "#" + part.id }, part.querySelector("h2").textContent));

// The next row that can be opened, from the open one or the one that has the focus.
function step(by) {
  const able = [...document.querySelectorAll("#table tr[data-row] button[aria-expanded]")];
  if (!able.length) return;
  const open = able.findIndex(b => b.getAttribute("aria-expanded") === "true");
  const at = open >= 0 ? open : able.indexOf(document.activeElement);
  const next = able[Math.min(Math.max(at + by, 0), able.length - 1)];
  if (open >= 0 && next !== able[open]) next.click();
  next.focus();
  next.scrollIntoView({ block: "nearest" });
}

function wordBy(by) {
  if (player?.buttons.length) hear(player, Math.min(Math.max(player.word + by, 0), player.buttons.length - 1));
}

const bindings = {
  "/": () => section("search").focus(),
  j: () => step(1),
  k: () => step(-1),
  Escape: () => closeDetail(true),
  ArrowRight: () => wordBy(1),
  ArrowLeft: () => wordBy(-1),
  " ": () => { if (player?.audio) player.audio.paused ? sound(player.audio) : player.audio.pause(); },
};

document.addEventListener("keydown", event => {
  const typing = ["INPUT", "SELECT", "AUDIO"].includes(event.target.tagName);
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (typing) {
    if (event.key === "Escape" && event.target.tagName !== "AUDIO") event.target.blur();
    return;
  }
  if (event.key === " " && (event.target.tagName === "BUTTON" || !player)) return;  // it presses the button, or scrolls
  if (event.key.startsWith("Arrow") && !player) return;
  const action = bindings[event.key];
  if (action) { event.preventDefault(); action(); }
});
