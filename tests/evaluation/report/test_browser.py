"""A report in a browser: opened, clicked through, heard, and used by keyboard alone."""

import json
import os
import shutil
import time
from pathlib import Path

import numpy as np
import pytest

from asr_attn import cli
from asr_attn.audio.reading import audio_duration, read_audio
from asr_attn.checkpoint import save_model
from asr_attn.evaluation.report.page import page_of
from asr_attn.recognizer import load

playwright = pytest.importorskip(
    "playwright.sync_api", reason="Playwright is not installed (pip install playwright)"
)
NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
RATE = 8000


@pytest.fixture(scope="module")
def browser():
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip("no Chromium is installed; install it, or name it in CHROMIUM")
    flags = ["--no-sandbox", "--disable-gpu", "--autoplay-policy=no-user-gesture-required"]
    flags += ["--mute-audio", "--disable-background-networking", "--no-first-run"]
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=found, args=flags)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory, tiny_model, make_speech) -> Path:
    """A page on one model, one on two, and the manifest that they are of."""
    import soundfile

    home = tmp_path_factory.mktemp("report")
    random = np.random.default_rng(0)
    soundfile.write(home / "5.wav", make_speech(2.5, 5), RATE)  # of two words, the first short
    for i in range(5):
        loud = np.repeat(random.uniform(0.01, 0.4, 8 + i), RATE // 10)
        sound = (loud * random.standard_normal(len(loud))).astype(np.float32)
        soundfile.write(home / f"{i}.wav", np.clip(sound, -1, 1), RATE)
    for name in ("one", "two"):
        save_model(home / name / "model.safetensors", tiny_model)
    (home / "one" / "metrics.csv").write_text(
        "epoch,val/wer,train/attention_loss,val/attention_entropy\n0,0.9,2,0.8\n1,0.5,1,0.4\n",
        encoding="utf-8",
    )
    recognizer = load(home / "one")
    lines = []
    for i in range(6):
        path = home / f"{i}.wav"
        text = recognizer.transcribe(path).text
        said = text if i == 0 else text.replace("a", "b", 1) + " abc" * (i == 3)
        record = {"id": f"u{i}", "audio": path.name, "text": said, "speaker": f"s{i % 2}"}
        lines.append(json.dumps(record | {"duration": audio_duration(path)}) + "\n")
    (home / "list.jsonl").write_text("".join(lines), encoding="utf-8")
    one, two, manifest = home / "one", home / "two", home / "list.jsonl"
    for page, models, options in (
        ("one.html", [one], ["--details", 6]),
        ("two.html", [one, two], ["--explain", 0]),
    ):
        make = ["report", *models, manifest, "--output", home / page, *options]
        assert cli.main([str(part) for part in make]) == 0
    return home


@pytest.fixture
def opened(browser, folder):
    """Opens a page; nothing may go wrong in it, and nothing may be asked of a network."""
    faults: list[str] = []
    contexts = []

    def start(name: str, **options):
        context = browser.new_context(viewport={"width": 1200, "height": 900}, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda m: faults.append(m.text) if m.type == "error" else None)
        page.on(
            "request",
            lambda r: None if r.url.startswith(("file:", "data:")) else faults.append(r.url),
        )
        page.goto((folder / name).as_uri())
        return page

    yield start
    for context in contexts:
        context.close()
    assert faults == []


def rows(page) -> list[str]:
    names = page.locator("#table tbody tr[data-row] td:first-child").all_inner_texts()
    return [name.removeprefix("▶ ") for name in names]


def wait_for(page, condition: str) -> None:
    """Asks again and again: the page forbids what Playwright would do it by."""
    until = time.monotonic() + 20
    while not page.evaluate(condition):
        assert time.monotonic() < until, condition
        page.wait_for_timeout(20)


def open_first(page) -> None:
    page.locator("#table button[aria-expanded]").first.click()
    page.wait_for_selector(".detail[data-drawn]")


def test_what_is_told_of_all(opened, folder):
    page = opened("one.html")
    data = page.evaluate("report")
    wer = data["subjects"][0]["figures"]["wer"]
    assert f"{100 * wer:.2f} %" in page.inner_text("#summary")
    links = page.locator("#sections a").all_inner_texts()
    assert links == page.locator("main h2").all_inner_texts()
    assert "Comparison" not in links
    assert page.locator("#curves svg").count() == 3  # there is no learning rate among the figures
    assert page.locator("#groups h3").all_inner_texts() == ["duration", "rate", "snr", "speaker"]
    assert page.locator("#confidence circle").count() >= 1


def test_rows_are_sorted_searched_and_filtered(opened):
    page = opened("one.html")
    errors = {r["id"]: r["of"][0]["errors"] for r in page.evaluate("rows")}
    shown = [errors[name] for name in rows(page)]
    assert shown == sorted(errors.values(), reverse=True)  # the worst come first
    head = page.locator('th[data-key="seconds"]')
    for order in ("descending", "ascending"):
        head.locator("button").click()
        assert head.get_attribute("aria-sort") == order
        seconds = {r["id"]: r["seconds"] for r in page.evaluate("rows")}
        values = [seconds[name] for name in rows(page)]
        assert values == sorted(values, reverse=order == "descending")
    page.fill("#search", "s1")
    assert sorted(rows(page)) == ["u1", "u3", "u5"]
    page.fill("#search", "no such word")
    assert rows(page) == []
    assert page.inner_text("#count") == "no utterance fits"
    page.fill("#search", "")
    page.select_option("#filter", "errors")
    assert sorted(rows(page)) == sorted(name for name, count in errors.items() if count)


def test_a_confusion_leads_to_its_utterances(opened):
    page = opened("one.html")
    page.locator("#confusions button", has_text="abc").first.click()
    found = rows(page)
    assert found
    data = {r["id"]: r["of"][0]["pairs"] for r in page.evaluate("rows")}
    for name, pairs in data.items():
        assert (name in found) == any("abc" in pair[1:2] and pair[0] != "=" for pair in pairs)
    page.locator("#pair button").click()
    assert len(rows(page)) == 6


def open_of_several_words(page) -> None:
    """Open an utterance with different words, the first of which ends long before the sound."""
    found = page.evaluate("""rows.findIndex((row, i) => {
      if (!row.why) return false;
      const { of: [heard], seconds } = read("detail-" + i), words = heard.words.map(w => w.text);
      return new Set(words).size > 1 && heard.words[0].end < seconds - 0.6;
    })""")
    assert found >= 0
    page.locator(f'#table tr[data-row="{found}"] button').click()
    page.wait_for_selector(".detail[data-drawn]")


def test_words_are_heard_where_they_are(opened):
    page = opened("one.html")
    open_of_several_words(page)
    word = page.locator(".words button").first
    start, end = page.evaluate("[player.buttons[0].word.start, player.buttons[0].word.end]")
    word.click()
    wait_for(page, f"player.audio.currentTime >= {max(start - 0.05, 0)} && !player.audio.paused")
    wait_for(page, "player.audio.paused")
    stopped = page.evaluate("player.audio.currentTime")
    assert end - 0.05 <= stopped < page.evaluate("player.audio.duration") - 0.1
    assert page.inner_text("#status").startswith(word.inner_text() + ": ")


def test_sound_is_that_of_the_recording(opened, folder):
    page = opened("one.html")
    open_first(page)
    name = page.evaluate("rows[view.open].id")
    levels = page.evaluate("""async () => {
      const bytes = Uint8Array.from(atob(player.audio.src.split(",")[1]), c => c.charCodeAt(0));
      const context = new OfflineAudioContext(1, 8000, 8000);
      const samples = (await context.decodeAudioData(bytes.buffer)).getChannelData(0);
      const found = [];
      for (let i = 0; i + 800 <= samples.length; i += 800)
        found.push(Math.sqrt(samples.slice(i, i + 800).reduce((s, v) => s + v * v, 0) / 800));
      return found;
    }""")
    samples = read_audio(folder / f"{name[1:]}.wav", RATE)
    count = min(len(samples) // 800, len(levels))
    expected = np.sqrt(np.mean(samples[: 800 * count].reshape(count, 800) ** 2, axis=1))
    assert count == len(samples) // 800
    assert np.corrcoef(expected, levels[:count])[0, 1] > 0.95


def test_pictures_are_drawn_and_clicked(opened):
    page = opened("one.html")
    open_first(page)
    ink = """canvas => {
      const { width, height } = canvas;
      const bytes = canvas.getContext("2d").getImageData(0, 0, width, height).data;
      let sum = 0;
      for (let i = 3; i < bytes.length; i += 4) sum += bytes[i] > 0;
      return sum / (width * height);
    }"""
    shares = page.locator(".stack canvas").evaluate_all(f"all => all.map({ink})")
    assert len(shares) == 4  # waveform, spectrogram, attention and what a word rests on
    assert all(share > 0.01 for share in shares)
    wave = page.locator('canvas[aria-label="waveform"]')
    box = wave.bounding_box()
    page.mouse.click(box["x"] + 64 + (box["width"] - 64) / 2, box["y"] + 10)
    seconds = page.evaluate("player.detail.seconds")
    wait_for(page, f"player.audio.currentTime >= {seconds / 2 - 0.05}")
    head = page.locator(".stack .head")
    wait_for(page, "parseFloat(document.querySelector('.stack .head').style.left) > 64")
    assert head.is_visible()


def test_evidence_follows_the_word(opened):
    page = opened("one.html")
    open_of_several_words(page)
    for button in page.locator(".words button").all():
        button.focus()
        text = page.locator(".stack p.soft").inner_text()
        assert text.startswith(f"What “{button.inner_text()}” rests on: attention")
        assert "gradients" in text


def test_keys_are_enough(opened):
    page = opened("one.html")
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "search"
    page.keyboard.press("Escape")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.wait_for_selector(".detail[data-drawn]")
    first = page.evaluate("view.open")
    page.keyboard.press("ArrowRight")
    assert page.evaluate("player.word") == 0
    assert page.evaluate("document.activeElement.dataset.word") == "0"
    page.keyboard.press("j")
    page.wait_for_selector(".detail[data-drawn]")
    assert page.evaluate("view.open") != first
    page.keyboard.press("k")
    page.wait_for_selector(".detail[data-drawn]")
    assert page.evaluate("view.open") == first
    page.keyboard.press("Escape")
    assert page.locator(".detail").count() == 0
    assert page.evaluate("document.activeElement.getAttribute('aria-expanded')") == "false"


def test_sound_is_stopped_before_it_began(opened):
    page = opened("one.html")
    open_first(page)
    page.evaluate("player.play(0, null); closeDetail(true)")
    # a promise that nobody waits for is reported after those that were broken before this one
    page.evaluate("new Promise(done => setTimeout(done, 100))")


def test_themes(opened):
    ground = "getComputedStyle(document.body).backgroundColor"
    light, dark = opened("one.html", color_scheme="light"), opened("one.html", color_scheme="dark")
    colours = light.evaluate(ground), dark.evaluate(ground)
    assert colours[0] != colours[1]
    for _ in range(2):  # as the system, light, dark
        light.click("#theme")
    assert light.evaluate(ground) == colours[1]
    assert "dark" in light.inner_text("#theme")


def test_two_side_by_side(opened):
    page = opened("two.html")
    assert page.evaluate("report.comparison.conclusion") in page.inner_text("#comparison")
    assert page.locator("#summary .name-0").count() == page.locator("#summary .name-1").count() == 1
    open_first(page)
    assert page.locator(".words").count() == 2
    assert page.locator('canvas[aria-label^="attention of "]').count() == 2


def test_thousands_of_utterances(browser, folder):
    """Fifty rows at a time: a page of many is as quick as one of few."""
    page = browser.new_page()
    page.goto((folder / "one.html").as_uri())
    data, detail = page.evaluate("report"), page.evaluate("read('detail-0')")
    few = data["rows"]
    data["rows"] = [few[i % 6] | {"id": f"n{i:04d}", "why": None} for i in range(5000)]
    data["rows"][4321] |= {"why": ["errors"], "speaker": "somebody"}
    path = folder / "many.html"
    path.write_text(page_of("many", data, {4321: detail}), encoding="utf-8")
    page.goto(path.as_uri())
    assert len(rows(page)) == 50
    assert page.inner_text("#count") == "1 to 50 of 5000"
    page.click("#after")
    assert page.inner_text("#count") == "51 to 100 of 5000"
    page.fill("#search", "somebody")
    assert rows(page) == ["n4321"]
    open_first(page)
    page.close()
