"""What a student learns of its teacher."""
