"""What is right: the answer format, answer extraction, equivalence and the rewards made of them."""
