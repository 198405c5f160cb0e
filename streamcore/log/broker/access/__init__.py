"""Who may do what: users with their credentials, rules, and decisions by them."""
