"""Example applications on real data, to be read first. Each is a package with a README."""
