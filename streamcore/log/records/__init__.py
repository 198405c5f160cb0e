"""Record batches, bytes to values and back. Pure: no files, no clock."""
