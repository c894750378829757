"""Building blocks of neural networks over padded batches.

Shapes everywhere in this package follow one legend: ``B`` batch, ``T`` frames, ``S`` memory steps,
``U`` tokens, ``D`` features, ``V`` vocabulary, ``H`` heads, ``N`` hypotheses.
"""
