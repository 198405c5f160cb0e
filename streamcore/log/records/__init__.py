"""Conversion between record batches and bytes. Pure: no files, no clock."""
