"""A report on one or two recognisers: a web page in one file that needs no network."""
