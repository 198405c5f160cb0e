"""Tools that look at the files of a log nobody runs: dump and verify."""
