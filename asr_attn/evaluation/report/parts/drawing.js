// Waveforms, spectrograms and attention on canvases that share a time axis.

const GUTTER = 64;  // pixels left of the time axis, for labels

// The bytes that were deflated into base64.
async function inflate(text) {
  const bytes = Uint8Array.from(atob(text), c => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

// A canvas as wide as its place and as sharp as the screen; `paint` gets its context and size.
function paintOn(canvas, height, paint) {
  const width = canvas.parentElement.clientWidth, scale = window.devicePixelRatio || 1;
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(height * scale);
  canvas.style.height = height + "px";
  const context = canvas.getContext("2d");
  context.scale(scale, scale);
  context.font = "11px system-ui, sans-serif";
  context.textBaseline = "middle";
  paint(context, width, height);
}

function channels(name) {
  const probe = document.createElement("canvas").getContext("2d");
  probe.fillStyle = colour(name);
  probe.fillRect(0, 0, 1, 1);
  return probe.getImageData(0, 0, 1, 1).data;
}

// An image of bytes: `at(x, y)` is from 0 (the ground) to 255 (the colour).
function image(wide, high, at, name) {
  const canvas = document.createElement("canvas");
  canvas.width = wide;
  canvas.height = high;
  const context = canvas.getContext("2d"), pixels = context.createImageData(wide, high);
  const [r, g, b] = channels(name);
  for (let y = 0; y < high; y++) for (let x = 0; x < wide; x++)
    pixels.data.set([r, g, b, at(x, y)], 4 * (y * wide + x));
  context.putImageData(pixels, 0, 0);
  return canvas;
}

const along = (time, seconds, width) => GUTTER + time / seconds * (width - GUTTER);

function paintWave(canvas, detail, wave) {
  paintOn(canvas, 64, (context, width, height) => {
    context.fillStyle = colour("--soft");
    context.fillText("sound", 0, height / 2);
    context.fillStyle = colour("--ink");
    const step = (width - GUTTER) / detail.points;
    for (let i = 0; i < detail.points; i++) {
      const top = (255 - wave[2 * i + 1]) / 255 * height, bottom = (255 - wave[2 * i]) / 255 * height;
      context.fillRect(GUTTER + i * step, top, Math.max(step, 0.7), Math.max(bottom - top, 1));
    }
  });
}

function paintSpectrogram(canvas, detail, bytes) {
  paintOn(canvas, 110, (context, width, height) => {
    context.fillStyle = colour("--soft");
    context.fillText("log-mel", 0, height / 2);
    const { frames, bands, hop, seconds } = detail;
    const picture = image(frames, bands, (x, y) => bytes[x * bands + bands - 1 - y], "--ink");
    context.imageSmoothingEnabled = false;
    // the middle of a column is where its time is
    context.beginPath();
    context.rect(GUTTER, 0, width - GUTTER, height);
    context.clip();
    context.drawImage(picture, along(-hop / 2, seconds, width), 0, frames * hop / seconds * (width - GUTTER), height);
  });
}

// Attention of one head, or the mean of all (head null): rows are tokens, the first one above.
function paintAttention(canvas, detail, heard, weights, head, k) {
  const { tokens, heads, steps, step } = heard, count = tokens.length;
  const rowHeight = Math.max(4, Math.min(15, 420 / count));
  const at = (x, y) => {
    if (head !== null) return weights[(head * count + y) * steps + x];
    let sum = 0;
    for (let h = 0; h < heads; h++) sum += (weights[(h * count + y) * steps + x] / 255) ** 2;
    return 255 * Math.sqrt(sum / heads);
  };
  paintOn(canvas, Math.round(rowHeight * count) + 4, (context, width, height) => {
    const every = Math.max(1, Math.ceil(11 / rowHeight));
    context.fillStyle = colour("--soft");
    for (let u = 0; u < count; u += every) context.fillText(tokens[u], 4, (u + 0.5) * rowHeight, GUTTER - 8);
    context.strokeStyle = colour("--line");
    context.strokeRect(GUTTER + 0.5, 0.5, width - GUTTER - 1, height - 1);
    context.save();
    context.beginPath();
    context.rect(GUTTER, 0, width - GUTTER, height);
    context.clip();
    context.imageSmoothingEnabled = false;
    context.drawImage(image(steps, count, at, "--" + "ab"[k]), GUTTER, 0, steps * step / detail.seconds * (width - GUTTER), count * rowHeight);
    context.fillStyle = colour("--right");
    heard.ctc.forEach(([from, to], u) =>
      context.fillRect(along((from + to) / 2, detail.seconds, width) - 1, u * rowHeight, 2, rowHeight));
    context.restore();
  });
  canvas.rowHeight = rowHeight;
}

// What a word rests on: attention filled, gradients and occlusion as lines.
function paintEvidence(canvas, detail, evidence, word, k) {
  paintOn(canvas, 90, (context, width, height) => {
    context.fillStyle = colour("--soft");
    context.fillText("evidence", 0, height / 2);
    const { frames, hop } = evidence;
    const trace = bytes => {
      context.beginPath();
      for (let t = 0; t < frames; t++) {
        const x = along((t + 0.5) * hop, detail.seconds, width), y = height - 2 - bytes[word * frames + t] / 255 * (height - 6);
        if (t) context.lineTo(x, y); else context.moveTo(x, y);
      }
    };
    trace(evidence.bytes.attention);
    context.lineTo(along(frames * hop, detail.seconds, width), height);
    context.lineTo(GUTTER, height);
    context.globalAlpha = 0.3;
    context.fillStyle = colour("--" + "ab"[k]);
    context.fill();
    context.globalAlpha = 1;
    context.lineWidth = 1.5;
    for (const [name, line, dashes] of [["gradients", "--extra", []], ["occlusion", "--right", [5, 3]]]) {
      trace(evidence.bytes[name]);
      context.strokeStyle = colour(line);
      context.setLineDash(dashes);
      context.stroke();
    }
  });
}
