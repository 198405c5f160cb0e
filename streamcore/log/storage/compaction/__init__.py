"""Compaction: which segments to clean, writing a cleaned segment, and replacing the old ones by it."""
