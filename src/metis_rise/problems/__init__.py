"""What is asked: reading and validating problems, the image store, the prompt and the procedural world."""
