"""The declared application as a frozen graph, and the pure plan made from it."""
