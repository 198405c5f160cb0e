"""The command line: a thin surface over the public names, one module per noun.

A command parses its words, calls the library, prints. ``main`` knows the commands, ``options`` what
they share on the way in, ``output`` what they share on the way out. Modules import the library inside
their functions, so that ``streamcore --help`` costs nothing but the words it prints.
"""
