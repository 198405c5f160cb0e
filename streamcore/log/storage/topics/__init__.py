"""Topics: their registry, folders and settings, and their creation, change and deletion."""
