"""Tools that read the files of a log that no process has open: dump and verify."""
