"""Two-party computation with a dealer: the library that backends build on."""
