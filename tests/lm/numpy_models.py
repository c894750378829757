"""The neural language models once more, in NumPy and one sentence at a time."""

import math

import numpy as np


def log_probs(weights: dict[str, np.ndarray], tokens: list[int], config) -> np.ndarray:
    """(U, V - 1) of the token after each of ``tokens`` (U,), the blank left out."""
    features = (lstm if config.name == "lstm" else transformer)(weights, tokens, config)
    logits = affine(features, weights, "output")
    logits = logits - logits.max(axis=-1, keepdims=True)
    return logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))


def affine(x, weights, name):
    return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def lstm(weights, tokens, config):
    x = weights["embedding.weight"][tokens]
    for i in range(config.layers):
        w, u = (weights[f"layers.{i}.weight_{k}_l0"] for k in ("ih", "hh"))
        bias = weights[f"layers.{i}.bias_ih_l0"] + weights[f"layers.{i}.bias_hh_l0"]
        hidden = cell = np.zeros(config.hidden_size)
        rows = []
        for step in x:
            entry, forget, new, out = np.split(w @ step + u @ hidden + bias, 4)
            cell = sigmoid(forget) * cell + sigmoid(entry) * np.tanh(new)
            hidden = sigmoid(out) * np.tanh(cell)
            rows.append(hidden)
        x = np.stack(rows)
    return x


def norm(x, weights, name):
    centred = x - x.mean(axis=-1, keepdims=True)
    scaled = centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-5)
    return scaled * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def gelu(x):
    return x * np.array([0.5 * (1 + math.erf(v / math.sqrt(2))) for v in x.flat]).reshape(x.shape)


def transformer(weights, tokens, config):
    size, steps = config.hidden_size, len(tokens)
    x = weights["embedding.weight"][tokens] * math.sqrt(size)
    for u in range(steps):
        for k in range(size // 2):
            angle = u / 10000 ** (2 * k / size)
            x[u, 2 * k] += math.sin(angle)
            x[u, 2 * k + 1] += math.cos(angle)
    for i in range(config.layers):
        layer = f"layers.{i}"
        before = norm(x, weights, f"{layer}.norm_attention")
        query, key, value = np.split(affine(before, weights, f"{layer}.attention.project_in"), 3, 1)
        width = size // config.heads
        context = np.zeros((steps, size))
        for h in range(config.heads):
            part = slice(h * width, (h + 1) * width)
            for u in range(steps):
                energies = key[: u + 1, part] @ query[u, part] / math.sqrt(width)
                shares = np.exp(energies - energies.max())
                context[u, part] = shares / shares.sum() @ value[: u + 1, part]
        x = x + affine(context, weights, f"{layer}.attention.project_out")
        inner = affine(
            norm(x, weights, f"{layer}.norm_feedforward"), weights, f"{layer}.feedforward.0"
        )
        x = x + affine(gelu(inner), weights, f"{layer}.feedforward.3")
    return norm(x, weights, "norm")
