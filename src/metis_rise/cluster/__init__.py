"""What a recipe will take of machines before it is launched: memory, time, and where more machines stop helping."""
