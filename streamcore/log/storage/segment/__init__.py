"""One data file of a partition with its indexes, and the list of a partition's segments."""
