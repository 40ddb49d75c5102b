"""A transformer as a program of the engine, and how nodes and a dealer run it: the library that backends build on."""
