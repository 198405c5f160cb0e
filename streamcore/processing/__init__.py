"""The processing framework: what an application declares, and the runtime that executes it."""
