"""What each node means: an interpreter of one event at a time, which the engine must agree with."""
