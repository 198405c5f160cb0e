"""Applications on real data: what a newcomer reads first. Each is a package with its own README."""
