"""Settings of the broker, of topics that do not say, and of groups; how clients see and change them."""
