"""Language models of n-grams: training, files, and scores for the search."""
