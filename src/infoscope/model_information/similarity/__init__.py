"""How much what is known of one task tells of another."""
