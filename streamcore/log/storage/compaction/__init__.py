"""Compaction: what to clean, how a cleaned segment is written, and how it replaces the old ones."""
