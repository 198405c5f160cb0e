"""Settings of the broker, defaults of topics, settings of groups, and how clients see and change them."""
