"""Access control: users with their credentials, access rules, and decisions by them."""
