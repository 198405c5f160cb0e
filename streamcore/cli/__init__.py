"""The command line: a thin layer over the public names, with one module per noun.

A command parses its words, calls the library and prints. ``main`` lists the commands, ``options`` holds the
options that they share, ``output`` prints. Modules import the library inside their functions, so that
``streamcore --help`` does not load it.
"""
